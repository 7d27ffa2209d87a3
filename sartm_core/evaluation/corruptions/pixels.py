"""What the corruptions share: images as light or as floats, noise, blur, slow fields."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.frames import Image, ThermalImage

Views = tuple[Image, ThermalImage, Image | None]
"""RGB, thermal and thermal_valid, as a ``Sample`` has them."""
Float = npt.NDArray[np.float32]

REFERENCE_WIDTH = 640
_GAMMA = 2.2


def scaled(pixels: float, image: npt.NDArray[np.generic]) -> float:
    """A length given for an image ``REFERENCE_WIDTH`` wide, in pixels of ``image``."""
    width: int = image.shape[1]
    return pixels * width / REFERENCE_WIDTH


def linear(rgb: Image) -> Float:
    """float32 0..1, in proportion to light."""
    return np.asarray((rgb / np.float32(255)) ** np.float32(_GAMMA), np.float32)


def display(light: Float) -> Image:
    """The uint8 image of what :func:`linear` gave."""
    return to_uint8(255 * np.clip(light, 0, 1) ** np.float32(1 / _GAMMA))


def to_uint8(image: Float) -> Image:
    """Rounded and clipped."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def like(thermal: ThermalImage, heat: Float) -> ThermalImage:
    """``heat`` in the dtype of ``thermal``, clipped to its range."""
    if thermal.dtype == np.uint8:
        return to_uint8(heat)
    if thermal.dtype == np.uint16:
        return np.clip(np.rint(heat), 0, 65535).astype(np.uint16)
    return heat


def heat_range(heat: Float, valid: Image | None) -> tuple[np.float32, np.float32]:
    """Low end and span of a thermal image, between its 1st and 99th percentile."""
    seen = heat if valid is None or not valid.any() else heat[valid > 0]
    low, high = np.percentile(seen, (1, 99))
    return np.float32(low), np.float32(max(high - low, 1e-3))


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Float:
    """float32 of standard deviation 1."""
    return rng.standard_normal(shape, np.float32)


def blur(image: Float, sigma: float) -> Float:
    """Gaussian; wide ones are computed at a quarter of the size."""
    if sigma < 0.2:
        return image
    if sigma < 8:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    height, width = image.shape[:2]
    size = (max(1, width // 4), max(1, height // 4))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / 4)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def slow_field(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> Float:
    """float32 [H,W], smooth, within about -1..1, with ``cells`` bumps across."""
    coarse = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)
