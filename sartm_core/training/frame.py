"""A pair in memory, as training draws it."""

from __future__ import annotations

from dataclasses import dataclass

from sartm_core.data.teacher_planes import TeacherPlanes
from sartm_core.frames import Image


@dataclass(frozen=True)
class Frame:
    """A pair in memory.

    Attributes:
        stem: name of the frame.
        rgb: uint8 [H,W,3].
        thermal: uint8 [H,W], normalised by ``sartm_core.thermal``.
        thermal_valid: uint8 [H,W], 0 where the thermal camera does not look.
        label: uint8 [H,W], 255 = left out; 255 throughout where a data set has no labels.
        night: whether it was taken at night.
        teacher: what teachers say about it; None = they were not asked.
    """

    stem: str
    rgb: Image
    thermal: Image
    thermal_valid: Image
    label: Image
    night: bool
    teacher: TeacherPlanes | None = None
