"""Which camera is there: field of view, whole cameras dropped, blocks hidden in one of them."""

from __future__ import annotations

import numpy as np

from sartm_core.data.augment.config import AugmentConfig
from sartm_core.frames import Image

RGB_HIDDEN, THERMAL_HIDDEN = 1, 2


def narrower_view(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """uint8 [H,W], 1 inside a rectangle whose edges are up to a fifth inside the crop."""
    width, height = size
    left, right = (rng.uniform(0.0, 0.2, 2) * width).astype(int)
    top, bottom = (rng.uniform(0.0, 0.2, 2) * height).astype(int)
    mask = np.zeros((height, width), np.uint8)
    mask[top : height - bottom, left : width - right] = 1
    return mask


def present_cameras(config: AugmentConfig, modalities: str, rng: np.random.Generator) -> np.ndarray:
    """float32 [2], RGB and thermal, 0 or 1."""
    draw = rng.random()
    if modalities != "rgb+thermal":
        return np.array([modalities == "rgb", modalities == "thermal"], np.float32)
    drop_rgb = draw < config.drop_rgb
    drop_thermal = not drop_rgb and draw < config.drop_rgb + config.drop_thermal
    return np.array([not drop_rgb, not drop_thermal], np.float32)


def hide_blocks(thermal_valid: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Complementary block masking: uint8 [H,W], 0 nothing, 1 RGB hidden, 2 thermal hidden.

    One number per pixel says which camera is hidden, so that never both are; where thermal does not
    look, RGB stays visible.
    """
    height, width = thermal_valid.shape
    block = config.mask_block
    top, left = rng.integers(0, block, 2)
    rows, columns = -(-(height + top) // block), -(-(width + left) // block)
    draw = rng.random((rows, columns))
    choice = np.where(draw < config.mask_share, THERMAL_HIDDEN, 0).astype(np.uint8)
    choice[draw < config.mask_share / 2] = RGB_HIDDEN
    hidden = choice.repeat(block, axis=0).repeat(block, axis=1)
    hidden = np.ascontiguousarray(hidden[top : top + height, left : left + width])
    hidden[(hidden == RGB_HIDDEN) & (thermal_valid == 0)] = 0
    return hidden
