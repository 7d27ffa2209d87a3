"""Labelled RGB-thermal data sets behind one door: `open_dataset("KIND:PATH", split)`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sartm_core.classes import ClassTable
from sartm_core.errors import SartmError
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


def open_dataset(spec: str, split: str | None = None) -> Dataset:
    """Open `KIND:PATH`, for example `folder:data/site` or `synthetic:7?frames=200`.

    Raises SartmError for an unknown kind or split and for pairs that are not complete.
    """
    kind, colon, where = spec.partition(":")
    if not colon or kind not in _KINDS or not where:
        raise SartmError(
            f"cannot open the data set '{spec}'",
            got=f"kind '{kind}'" if colon else "no kind",
            expected="KIND:PATH with KIND one of " + ", ".join(_KINDS),
            remedy=f"write for example folder:{where or spec}",
        )
    return _KINDS[kind](where, split)


def is_night(stem: str) -> bool:
    """Whether a frame name says night: MFNet and MSRS end theirs in D or N."""
    return stem.endswith("N")


def sample_data_root() -> Path | None:
    """Where the real development frames lie: $SARTM_DATA, else ../shared/data beside the checkout.

    None where there are none, so that tests can skip.
    """
    named = os.environ.get("SARTM_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return root if root.is_dir() else None


def _open_folder(where: str, split: str | None) -> Dataset:
    from sartm_core.data.folder import FolderDataset

    return FolderDataset.open(Path(where), split)


def _open_synthetic(where: str, split: str | None) -> Dataset:
    from sartm_core.data.synthetic_set import SyntheticDataset

    return SyntheticDataset.open(where, split)


_KINDS: dict[str, Callable[[str, str | None], Dataset]] = {
    "folder": _open_folder,
    "synthetic": _open_synthetic,
}
