"""Joint augmentation of an RGB-thermal pair and its label, in NumPy and OpenCV.

All geometry of a sample is one affine map from the crop to the source image, so that each image
is resampled once. Labels are always taken from the nearest source pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from sartm_core.classes import IGNORE_ID
from sartm_core.errors import SartmError
from sartm_core.frames import Image

MODALITIES = ("rgb+thermal", "rgb", "thermal")


@dataclass(frozen=True)
class AugmentConfig:
    """How training samples are varied. Probabilities are per sample.

    Attributes:
        crop_height, crop_width: size of the crop in pixels.
        scale: range of the zoom; 1 = source pixels.
        flip: probability of a horizontal flip.
        photometric: probability of a jitter of brightness, contrast, saturation and hue (RGB).
        darken: probability of a strong darkening with noise (RGB).
        thermal_gain: probability of a gamma, gain and offset (thermal).
        thermal_shift: largest misregistration of thermal, in source pixels.
        narrow_view: probability of a narrower thermal field of view.
        drop_rgb, drop_thermal: probability of a sample without that camera; never both.
    """

    crop_height: int = 256
    crop_width: int = 320
    scale: tuple[float, float] = (0.5, 1.4)
    flip: float = 0.5
    photometric: float = 0.8
    darken: float = 0.1
    thermal_gain: float = 0.8
    thermal_shift: float = 3.0
    narrow_view: float = 0.1
    drop_rgb: float = 0.07
    drop_thermal: float = 0.07

    def __post_init__(self) -> None:
        if self.crop_height % 32 or self.crop_width % 32:
            raise SartmError(
                "crop size does not fit the network",
                got=f"{self.crop_height}x{self.crop_width}",
                expected="augment.crop_height and augment.crop_width divisible by 32",
            )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise SartmError(
                "augment.scale is no range", got=self.scale, expected="0 < low <= high"
            )
        if self.drop_rgb + self.drop_thermal > 1:
            raise SartmError(
                "augment.drop_rgb and augment.drop_thermal exclude each other",
                got=self.drop_rgb + self.drop_thermal,
                expected="a sum of at most 1",
            )


@dataclass(frozen=True)
class TrainingSample:
    """What the network and the loss take, for one crop.

    Attributes:
        rgb: uint8 [H,W,3].
        thermal: uint8 [H,W], normalised.
        thermal_valid: uint8 [H,W], 0 or 1.
        present: float32 [2], RGB and thermal, 0 or 1.
        label: uint8 [H,W], 255 outside the source image.
    """

    rgb: Image
    thermal: Image
    thermal_valid: Image
    present: np.ndarray
    label: Image


def augment(
    rgb: Image,
    thermal: Image,
    thermal_valid: Image,
    label: Image,
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    center: tuple[float, float] | None = None,
    modalities: str = "rgb+thermal",
) -> TrainingSample:
    """One random crop of a pair.

    Args:
        rgb: uint8 [h,w,3].
        thermal: uint8 [h,w], normalised by ``sartm_core.thermal``.
        thermal_valid: uint8 [h,w], 0 where the thermal camera does not look.
        label: uint8 [h,w].
        config: ranges and probabilities.
        rng: the only source of randomness.
        center: (x, y) source pixel near the middle of the crop; None = anywhere.
        modalities: one of ``MODALITIES``; a camera that is not named is always absent.
    """
    size = (config.crop_width, config.crop_height)
    view = _crop_map(label.shape[:2], center, config, rng)
    shift = rng.uniform(-config.thermal_shift, config.thermal_shift, 2)
    thermal_view = view.copy()
    thermal_view[:, 2] += shift

    crop_rgb = _resample(rgb, view, size, cv2.INTER_LINEAR, 0)
    crop_label = _resample(label, view, size, cv2.INTER_NEAREST, IGNORE_ID)
    crop_thermal = _resample(thermal, thermal_view, size, cv2.INTER_LINEAR, 0)
    valid = _resample(
        (thermal_valid > 0).astype(np.uint8), thermal_view, size, cv2.INTER_NEAREST, 0
    )

    if rng.random() < config.photometric:
        crop_rgb = _jitter(crop_rgb, rng)
    if rng.random() < config.darken:
        crop_rgb = _darken(crop_rgb, rng)
    if rng.random() < config.thermal_gain:
        crop_thermal = _vary_gain(crop_thermal, rng)
    if rng.random() < config.narrow_view:
        valid = valid * _narrower_view(size, rng)
    return TrainingSample(
        rgb=crop_rgb,
        thermal=crop_thermal * valid,
        thermal_valid=valid,
        present=_present(config, modalities, rng),
        label=crop_label,
    )


def _crop_map(
    shape: tuple[int, ...],
    center: tuple[float, float] | None,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """[2,3] affine map from crop pixels to source pixels."""
    height, width = shape
    zoom = float(np.exp(rng.uniform(*np.log(config.scale))))
    window = np.array([config.crop_width, config.crop_height]) / zoom
    if center is None:
        middle = rng.uniform(0.0, 1.0, 2) * [width, height]
    else:
        middle = np.array(center) + rng.uniform(-0.3, 0.3, 2) * window
    room = np.array([width, height]) - window
    corner = np.where(room > 0, np.clip(middle - window / 2, 0, np.maximum(room, 0)), room / 2)
    scale_x, offset_x = 1.0 / zoom, corner[0]
    if rng.random() < config.flip:
        scale_x, offset_x = -scale_x, corner[0] + window[0] - 1.0 / zoom
    return np.array([[scale_x, 0.0, offset_x], [0.0, 1.0 / zoom, corner[1]]])


def _resample(
    image: Image, view: np.ndarray, size: tuple[int, int], interpolation: int, border: int
) -> Image:
    flags = interpolation | cv2.WARP_INVERSE_MAP
    filled = (border, border, border)
    return cast(Image, cv2.warpAffine(image, view, size, flags=flags, borderValue=filled))


def _jitter(rgb: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, colour temperature and saturation."""
    image = rgb.astype(np.float32)
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    saturation = np.float32(rng.uniform(0.5, 1.4))
    image = grey[..., None] + (image - grey[..., None]) * saturation
    balance = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    contrast, brightness = rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.4)
    mean = np.float32(grey.mean())
    image = (image - mean) * np.float32(contrast) * balance + mean * np.float32(brightness)
    return cast(Image, np.clip(image, 0, 255).astype(np.uint8))


def _darken(rgb: Image, rng: np.random.Generator) -> Image:
    """Night: a fraction of the light, and the noise of a camera that amplifies it."""
    image = rgb.astype(np.float32) * np.float32(rng.uniform(0.03, 0.4))
    image += rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(0.0, 6.0))
    return cast(Image, np.clip(image, 0, 255).astype(np.uint8))


def _vary_gain(thermal: Image, rng: np.random.Generator) -> Image:
    levels = np.linspace(0.0, 1.0, 256) ** np.exp(rng.uniform(-0.35, 0.35))
    levels = levels * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)
    return cast(Image, cv2.LUT(thermal, np.clip(255.0 * levels, 0, 255).astype(np.uint8)))


def _narrower_view(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """uint8 [H,W], 1 inside a rectangle whose edges are up to a fifth inside the crop."""
    width, height = size
    left, right = (rng.uniform(0.0, 0.2, 2) * width).astype(int)
    top, bottom = (rng.uniform(0.0, 0.2, 2) * height).astype(int)
    mask = np.zeros((height, width), np.uint8)
    mask[top : height - bottom, left : width - right] = 1
    return mask


def _present(config: AugmentConfig, modalities: str, rng: np.random.Generator) -> np.ndarray:
    draw = rng.random()
    if modalities != "rgb+thermal":
        return np.array([modalities == "rgb", modalities == "thermal"], np.float32)
    drop_rgb = draw < config.drop_rgb
    drop_thermal = not drop_rgb and draw < config.drop_rgb + config.drop_thermal
    return np.array([not drop_rgb, not drop_thermal], np.float32)
