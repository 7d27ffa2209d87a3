"""How training samples are varied."""

from __future__ import annotations

from dataclasses import dataclass, field

from sartm_core.classes import IGNORE_ID
from sartm_core.errors import SartmError

MODALITIES = ("rgb+thermal", "rgb", "thermal")

_PROBABILITIES = (
    "flip", "photometric", "darken", "overexpose", "blur", "thermal_gain", "thermal_clahe",
    "thermal_noise", "narrow_view", "drop_rgb", "drop_thermal", "masking", "mask_share",
    "copy_paste",
)  # fmt: skip
_LARGEST = {
    "rotation": (45.0, "0 to 45 degrees"),
    "perspective": (0.25, "0 to 0.25 of the crop's sides"),
    "thermal_shift": (float("inf"), "0 source pixels or more"),
    "thermal_homography": (100.0, "0 to 100 source pixels"),
}


@dataclass(frozen=True)
class AugmentConfig:
    """How training samples are varied. Probabilities are per sample; 0 = never.

    Attributes:
        crop_height, crop_width: size of the crop in pixels.
        scale: range of the zoom; 1 = source pixels.
        flip: probability of a horizontal flip.
        rotation: largest rotation in degrees.
        perspective: largest displacement of the crop's corners, as a share of its sides.
        photometric: probability of a jitter of brightness, contrast, saturation and hue (RGB).
        darken: probability of a strong darkening with noise (RGB).
        overexpose: probability of a gain that saturates (RGB).
        blur: probability of a Gaussian blur (RGB).
        thermal_gain: probability of a gamma, gain and offset (thermal).
        thermal_clahe: probability of an adaptive histogram equalisation (thermal).
        thermal_noise: probability of Gaussian noise (thermal).
        thermal_shift: largest misregistration of thermal, in source pixels.
        thermal_homography: largest displacement of thermal's corners, each on its own, in source
            pixels: a misregistration that differs over the image.
        narrow_view: probability of a narrower thermal field of view.
        drop_rgb, drop_thermal: probability of a sample without that camera; never both.
        masking: probability of blocks in which one camera is hidden, among samples with both.
        mask_block: side of a block in crop pixels.
        mask_share: share of the blocks that are hidden, half of them in RGB, half in thermal.
        copy_paste: probability of objects pasted from other frames of the same light.
        paste_count: largest number of them.
        paste_classes: ids of the classes that are pasted; empty = all but class 0.
    """

    crop_height: int = 256
    crop_width: int = 320
    scale: tuple[float, float] = (0.5, 1.4)
    flip: float = 0.5
    rotation: float = 0.0
    perspective: float = 0.0
    photometric: float = 0.8
    darken: float = 0.1
    overexpose: float = 0.0
    blur: float = 0.0
    thermal_gain: float = 0.8
    thermal_clahe: float = 0.0
    thermal_noise: float = 0.0
    thermal_shift: float = 3.0
    thermal_homography: float = 0.0
    narrow_view: float = 0.1
    drop_rgb: float = 0.07
    drop_thermal: float = 0.07
    masking: float = 0.0
    mask_block: int = 32
    mask_share: float = 0.5
    copy_paste: float = 0.0
    paste_count: int = 3
    paste_classes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(side < 1 or side % 32 for side in (self.crop_height, self.crop_width)):
            raise SartmError(
                "crop size does not fit the network",
                got=f"{self.crop_height}x{self.crop_width}",
                expected="augment.crop_height and augment.crop_width divisible by 32",
            )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise SartmError(
                "augment.scale is no range", got=self.scale, expected="0 < low <= high"
            )
        for key in _PROBABILITIES:
            self._require(key, 0 <= getattr(self, key) <= 1, "0 to 1")
        for key, (largest, expected) in _LARGEST.items():
            self._require(key, 0 <= getattr(self, key) <= largest, expected)
        for key in ("mask_block", "paste_count"):
            self._require(key, getattr(self, key) >= 1, "1 or more")
        self._require(
            "paste_classes",
            all(0 < class_id < IGNORE_ID for class_id in self.paste_classes),
            f"class ids from 1 to {IGNORE_ID - 1}",
        )
        if self.drop_rgb + self.drop_thermal > 1:
            raise SartmError(
                "augment.drop_rgb and augment.drop_thermal exclude each other",
                got=self.drop_rgb + self.drop_thermal,
                expected="a sum of at most 1",
            )

    def _require(self, key: str, fits: bool, expected: str) -> None:
        if not fits:
            raise SartmError(
                f"augment.{key} cannot be used", got=getattr(self, key), expected=expected
            )
