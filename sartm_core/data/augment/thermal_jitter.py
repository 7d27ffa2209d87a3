"""What a thermal camera's own processing does. uint8 [H,W] in and out.

Contrast is never inverted: warm stays bright, which is what separates a person from a post.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from sartm_core.frames import Image


def vary_gain(thermal: Image, rng: np.random.Generator) -> Image:
    """Gamma, gain and offset."""
    levels = np.linspace(0.0, 1.0, 256) ** np.exp(rng.uniform(-0.35, 0.35))
    levels = levels * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)
    return cast(Image, cv2.LUT(thermal, np.clip(255.0 * levels, 0, 255).astype(np.uint8)))


def equalise(thermal: Image, rng: np.random.Generator) -> Image:
    """Adaptive histogram equalisation (CLAHE), as many thermal cameras apply it."""
    tiles = int(rng.integers(2, 9))
    return cast(Image, cv2.createCLAHE(rng.uniform(1.0, 4.0), (tiles, tiles)).apply(thermal))


def add_noise(thermal: Image, rng: np.random.Generator) -> Image:
    """Noise of each pixel and, half as strong, of each column, as uncooled sensors show it."""
    height, width = thermal.shape
    noise = rng.standard_normal((height, width), np.float32)
    noise += 0.5 * rng.standard_normal(width, np.float32)
    noise *= np.float32(rng.uniform(1.0, 8.0))
    return cast(Image, np.clip(thermal + noise, 0, 255).astype(np.uint8))
