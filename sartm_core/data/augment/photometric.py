"""What light and lens do to RGB. uint8 [H,W,3] in and out; thermal is never touched by these."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from sartm_core.frames import Image

_LUMA = np.array([0.299, 0.587, 0.114])


def jitter(rgb: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, colour temperature and saturation."""
    saturation = rng.uniform(0.5, 1.4)
    balance = rng.uniform(0.85, 1.15, 3)
    contrast, brightness = rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.4)
    mean = float(_LUMA @ cv2.mean(rgb)[:3])
    # Every step is linear in the colour, so that together they are one 3x4 matrix.
    saturate = saturation * np.eye(3) + (1.0 - saturation) * _LUMA
    gain = contrast * balance
    matrix = np.column_stack([gain[:, None] * saturate, mean * (brightness - gain)])
    return cast(Image, cv2.transform(rgb, matrix))


def darken(rgb: Image, rng: np.random.Generator) -> Image:
    """Night: a fraction of the light, and the noise of a camera that amplifies it."""
    image = rgb.astype(np.float32) * np.float32(rng.uniform(0.03, 0.4))
    image += rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(0.0, 6.0))
    return cast(Image, np.clip(image, 0, 255).astype(np.uint8))


def overexpose(rgb: Image, rng: np.random.Generator) -> Image:
    """Too long an exposure: highlights saturate, shadows are lifted by stray light."""
    return cast(
        Image, cv2.convertScaleAbs(rgb, alpha=rng.uniform(1.5, 4.0), beta=rng.uniform(0.0, 40.0))
    )


def blur(rgb: Image, rng: np.random.Generator) -> Image:
    """Out of focus: Gaussian of 0.5 to 2 pixels."""
    return cast(Image, cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.5, 2.0)))
