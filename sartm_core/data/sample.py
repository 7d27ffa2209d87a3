"""What every data set gives: frames with labels, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sartm_core.classes import ClassTable
from sartm_core.frames import Image, ThermalImage


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One frame of a data set.

    rgb: HxWx3 uint8 RGB. thermal: hxw uint8, uint16 or float32, as the camera gave it.
    label: HxW uint8 class ids, 255 = ignore; None where the set has no labels.
    night: whether the frame was taken at night.
    thermal_valid: hxw uint8, 0 where the thermal camera does not look; None = it looks everywhere.
    """

    stem: str
    rgb: Image
    thermal: ThermalImage
    label: Image | None
    night: bool
    thermal_valid: Image | None = None


class Dataset(Protocol):
    """What training, evaluation and the bag maker need of a data set."""

    @property
    def name(self) -> str:
        """How reports call it, without the split."""

    @property
    def classes(self) -> ClassTable:
        """The ids that its labels use."""

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the frames, in the order of recording."""

    @property
    def split(self) -> str | None:
        """The list that was opened; None = everything."""

    def read(self, stem: str) -> Sample:
        """Load one frame; raises SartmError naming the file that is missing or wrong."""


def is_night(stem: str) -> bool:
    """Whether a frame name says night: MFNet and MSRS end theirs in D or N."""
    return stem.endswith("N")
