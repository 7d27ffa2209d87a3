"""Small RGB-thermal pairs whose pixels tell where they come from, and settings that change
nothing but what a test asks for."""

from __future__ import annotations

import cv2
import numpy as np

from sartm_core.data.augment import AugmentConfig

Pair = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # as augment() takes them

HEIGHT, WIDTH = 120, 160
PLAIN = AugmentConfig(
    crop_height=64, crop_width=96, scale=(1.0, 1.0), flip=0, photometric=0, darken=0,
    thermal_gain=0, thermal_shift=0, narrow_view=0, drop_rgb=0, drop_thermal=0,
)  # fmt: skip


def blocks(seed: int = 0) -> Pair:
    """RGB and thermal whose values tell the label, in blocks of 8 pixels of classes 0, 3, 8."""
    rng = np.random.default_rng(seed)
    ids = rng.choice(np.array([0, 3, 8], np.uint8), (HEIGHT // 8, WIDTH // 8))
    label = np.kron(ids, np.ones((8, 8), np.uint8))
    rgb = np.repeat(label[..., None] * 25, 3, axis=2)
    return rgb, label * 30, np.ones_like(label), label


def same_pattern(seed: int = 0) -> Pair:
    """Both cameras show one smooth random pattern; the label is 1 where it is bright."""
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 5)
    pattern = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    label = (pattern > 127).astype(np.uint8)
    return np.repeat(pattern[..., None], 3, axis=2), pattern, np.ones_like(label), label
