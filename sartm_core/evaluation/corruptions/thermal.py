"""The thermal camera: drift since its last shutter, and where it looks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.evaluation.corruptions.pixels import (
    Views,
    heat_range,
    like,
    noise,
    scaled,
    slow_field,
)


def gain_drift(views: Views, level: float, rng: np.random.Generator) -> Views:
    """A microbolometer long after its last shutter: flatter, shaded, striped, clipped.

    A change of gain and offset alone would vanish in ``sartm_core.thermal.normalise``.
    """
    rgb, thermal, valid = views
    heat = thermal.astype(np.float32)
    low, span = heat_range(heat, valid)
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in heat.shape)
    bowl = (rows[:, None] ** 2 + columns[None] ** 2) / 2 - np.float32(0.33)
    shading = np.float32(rng.choice((-1, 1))) * bowl + 0.6 * slow_field(heat.shape, 2, rng)
    stripes = noise(rng, (1, heat.shape[1]))
    unit = 0.5 + ((heat - low) / span - 0.5) * np.float32(1 - 0.6 * level)
    unit += np.float32(level) * (0.5 * shading + 0.03 * stripes)
    return rgb, like(thermal, np.clip(unit, 0, 1) * span + low), valid


def shift(views: Views, pixels: float, rng: np.random.Generator) -> Views:
    """The thermal image beside its place, in any direction."""
    angle = rng.uniform(0, 2 * math.pi)
    step = scaled(pixels, views[1])
    offset = step * math.cos(angle), step * math.sin(angle)
    return _warp(views, np.array(((1, 0, offset[0]), (0, 1, offset[1]), (0, 0, 1))))


def homography(views: Views, share: float, rng: np.random.Generator) -> Views:
    """A mounting that was bent: each corner of the thermal image moves by a share of its width."""
    height, width = views[1].shape
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    angles = rng.uniform(0, 2 * math.pi, 4)
    moved = corners + share * width * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return _warp(views, np.asarray(matrix, np.float64))


def _warp(views: Views, matrix: npt.NDArray[np.float64]) -> Views:
    """Thermal and its field of view move together; beyond the edge its last pixels go on."""
    rgb, thermal, valid = views
    size, edge = (thermal.shape[1], thermal.shape[0]), cv2.BORDER_REPLICATE
    heat = cv2.warpPerspective(
        thermal.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge
    )
    if valid is not None:
        flags = cv2.INTER_NEAREST
        moved = cv2.warpPerspective(valid, matrix, size, flags=flags, borderMode=edge)
        valid = np.asarray(moved, np.uint8)
    return rgb, like(thermal, np.asarray(heat, np.float32)), valid
