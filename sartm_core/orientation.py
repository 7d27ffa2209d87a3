"""How a camera is mounted: images turned upright before anything else looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from sartm_core.errors import SartmError
from sartm_core.frames import Image, ThermalImage

AnyImage = TypeVar("AnyImage", Image, ThermalImage)

ROTATIONS = (0, 90, 180, 270)
FLIPS = ("none", "horizontal", "vertical")
_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_MIRRORS = {"horizontal": 1, "vertical": 0}


@dataclass(frozen=True, slots=True)
class Orientation:
    """First rotated, then mirrored.

    Attributes:
        rotate: degrees clockwise: 0, 90, 180 or 270.
        flip: ``none``, ``horizontal`` (left and right change places) or ``vertical``.

    Raises:
        SartmError: another value.
    """

    rotate: int = 0
    flip: str = "none"

    def __post_init__(self) -> None:
        if self.rotate not in ROTATIONS or self.flip not in FLIPS:
            raise SartmError(
                "unknown orientation",
                got=f"rotate {self.rotate}, flip {self.flip}",
                expected=f"rotate {', '.join(map(str, ROTATIONS))}; flip {', '.join(FLIPS)}",
            )

    def apply(self, image: AnyImage) -> AnyImage:
        """HxW or HxWx3 of any dtype, upright; the same array if nothing is to be done."""
        upright = image
        if self.rotate:
            upright = np.asarray(cv2.rotate(upright, _TURNS[self.rotate]), image.dtype)  # type: ignore[assignment]
        if self.flip != "none":
            upright = np.asarray(cv2.flip(upright, _MIRRORS[self.flip]), image.dtype)  # type: ignore[assignment]
        return upright
