"""A picture that shows whether a registration is right: thermal edges on RGB, before and after."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from sartm_core.data.alignment import edge_strength
from sartm_core.frames import Image
from sartm_core.registration import Registration

_WIDTH = 640
_LINE = 28
_EDGE = (255, 150, 0)
_OUTSIDE = 0.35  # brightness where thermal does not see


def before_and_after(
    rgb: Image, thermal: Image, before: Registration, after: Registration
) -> Image:
    """Thermal edges in orange on grey RGB, side by side under two registrations.

    Args:
        rgb: HxWx3 uint8, RGB order.
        thermal: hxw uint8, normalised.

    Returns:
        h x w x 3 uint8, each half 640 pixels wide; darker where the thermal camera does not see.
    """
    tiles = [
        _tile(rgb, thermal, registration, title)
        for registration, title in ((before, "before"), (after, "after"))
    ]
    return np.concatenate([tiles[0], np.full((tiles[0].shape[0], 4, 3), 255, np.uint8), tiles[1]],
                          axis=1)  # fmt: skip


def _tile(rgb: Image, thermal: Image, registration: Registration, title: str) -> Image:
    size = (_WIDTH, max(round(_WIDTH * rgb.shape[0] / rgb.shape[1]), 1))
    moved, valid = registration.apply(thermal, size)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey *= 200 / max(float(np.percentile(grey, 99)), 1.0)
    grey = np.minimum(grey, 255) * np.where(valid > 0, 1.0, _OUTSIDE).astype(np.float32)
    picture = np.repeat(grey[..., None], 3, axis=2)
    edges = edge_strength(np.asarray(moved, np.uint8), np.asarray(valid))
    strong = max(float(np.percentile(edges, 97)), 1e-3)
    opacity = np.clip(edges / strong * 2 - 1, 0, 1)[..., None]
    picture += (np.array(_EDGE, np.float32) - picture) * opacity
    line = np.full((_LINE, size[0], 3), 255, np.uint8)
    cv2.putText(line, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    return cast(Image, np.concatenate([line, picture.astype(np.uint8)]))
