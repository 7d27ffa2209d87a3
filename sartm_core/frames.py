"""The two types that flow through sartm: what the cameras saw, and what the model says."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
ThermalImage = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RgbThermalFrame:
    """One moment as both cameras saw it; either camera may be missing.

    Attributes:
        rgb: HxWx3 uint8, RGB order, or None.
        thermal: hxw uint8 (AGC), uint16 (raw counts) or float32 (kelvin), or None.
        stamp_ns: time of the RGB image (of the thermal one if RGB is missing), nanoseconds.
        thermal_stamp_ns: time of the thermal image, nanoseconds, or None.
        frame_id: coordinate frame of the image that gives the mask its size.
    """

    rgb: Image | None
    thermal: ThermalImage | None
    stamp_ns: int = 0
    thermal_stamp_ns: int | None = None
    frame_id: str = ""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A semantic mask.

    Attributes:
        mask: HxW uint8 class ids at the RGB image's size (the thermal image's where RGB is
            missing); 255 = unlabelled.
        confidence: HxW uint8, 255 x the probability of the class in ``mask``.
        timings: milliseconds of "pre", "infer" and "post".
        modalities: the cameras that were used, of ("rgb", "thermal").
    """

    mask: Image
    confidence: Image
    timings: dict[str, float] = field(default_factory=dict)
    modalities: tuple[str, ...] = ()
