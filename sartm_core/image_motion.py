"""How far a picture has moved since the last one, measured on a thumbnail."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.errors import BadImageError

WIDTH, HEIGHT = 64, 48
"""Size of a thumbnail, pixels."""

Thumbnail = npt.NDArray[np.float32]

_ITERATIONS = 3
_FINE_ENOUGH = 0.1  # pixels


def thumbnail(image: npt.NDArray[Any]) -> Thumbnail | None:
    """A small picture of edges, the same for any gain, offset or bit depth.

    Args:
        image: HxWx3 uint8 (green is used), or HxW uint8, uint16 or float32.

    Returns:
        [HEIGHT, WIDTH] float32, mean about 0, standard deviation 1; None for a picture without any
        structure or with values that are not finite.

    Raises:
        BadImageError: another shape.
    """
    if image.ndim not in (2, 3) or image.size == 0:
        raise BadImageError(
            "wrong_shape", "no picture", got=image.shape, expected="HxWx3 or HxW with pixels"
        )
    grey = image[..., 1] if image.ndim == 3 else image
    # Every stride-th pixel, and from there the mean of 2x2 or more: half of what a full area
    # average gains against noise, at a fraction of its cost.
    stride = max(1, min(grey.shape[0] // (2 * HEIGHT), grey.shape[1] // (2 * WIDTH)))
    sampled = np.ascontiguousarray(grey[::stride, ::stride], np.float32)
    small = cv2.resize(sampled, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (5, 5), 1.0)
    edges = np.asarray(small - cv2.blur(small, (17, 17)), np.float32)
    contrast = float(edges.std())
    if not (np.isfinite(contrast) and contrast > 1e-6):
        return None
    edges /= np.float32(contrast)
    return edges


def shift(first: Thumbnail, second: Thumbnail) -> tuple[float, float]:
    """(right, down) in pixels by which the second thumbnail has moved against the first.

    One translation for the whole picture, by least squares on the gradients (Lucas and Kanade,
    1981), a few times over. Far more exact below a pixel than phase correlation; good to about 4
    pixels.
    """
    moved, right, down = second, 0.0, 0.0
    gx, gy = np.zeros_like(first), np.zeros_like(first)
    for iteration in range(_ITERATIONS):
        mean = (first + moved) * np.float32(0.5)
        gx[:, 1:-1] = mean[:, 2:] - mean[:, :-2]
        gy[1:-1] = mean[2:] - mean[:-2]
        weighted_x, weighted_y, step = gx * _WINDOW, gy * _WINDOW, first - moved
        xx, xy = float(np.vdot(weighted_x, gx)), float(np.vdot(weighted_x, gy))
        yy = float(np.vdot(weighted_y, gy))
        bx, by = 2 * float(np.vdot(weighted_x, step)), 2 * float(np.vdot(weighted_y, step))
        determinant = xx * yy - xy * xy
        if determinant < 1e-6 * xx * yy or determinant <= 0:
            break  # edges in one direction only
        dx = (yy * bx - xy * by) / determinant
        dy = (xx * by - xy * bx) / determinant
        right, down = right + dx, down + dy
        if max(abs(dx), abs(dy)) < _FINE_ENOUGH or iteration == _ITERATIONS - 1:
            break
        matrix = np.array(((1, 0, right), (0, 1, down)), np.float32)
        warped = cv2.warpAffine(
            second,
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        moved = np.asarray(warped, np.float32)
    limit = WIDTH / 2
    return min(max(right, -limit), limit), min(max(down, -limit), limit)


def change(first: Thumbnail, second: Thumbnail) -> float:
    """Mean absolute difference: motion of any kind, also before a camera that stands still."""
    return float(np.abs(second - first).mean())


_WINDOW = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
