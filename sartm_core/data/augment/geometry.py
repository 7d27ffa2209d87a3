"""Where each pixel of a crop lies in the source image: 3x3 maps, applied once per image."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.data.augment.config import AugmentConfig
from sartm_core.frames import Image

Point = tuple[float, float]
Matrix = npt.NDArray[np.float64]


def crop_map(
    shape: tuple[int, ...],
    center: Point | None,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> Matrix:
    """float64 [3,3], from crop pixels (x, y, 1) to source pixels.

    Zoom, place and flip; then, where the configuration asks for them, a rotation and a perspective
    that leave ``center`` where it is in the crop, so that they never push it out.

    Args:
        shape: (height, width) of the source image.
        center: (x, y) source pixel near the middle of the crop; None = anywhere.
    """
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
    view = np.array([[scale_x, 0.0, offset_x], [0.0, 1.0 / zoom, corner[1]], [0.0, 0.0, 1.0]])
    if not config.rotation and not config.perspective:
        return view
    pivot = corner + window / 2 if center is None else np.array(center)
    return cast(Matrix, view @ _turn(project(np.linalg.inv(view), pivot), config, rng))


def misregistration(
    shape: tuple[int, ...], config: AugmentConfig, rng: np.random.Generator
) -> Matrix:
    """float64 [3,3], from pixels of the source image to the thermal pixels shown there: a shift
    and, where the configuration asks for it, each corner of the image displaced on its own.
    """
    height, width = shape
    drift = translation(rng.uniform(-config.thermal_shift, config.thermal_shift, 2))
    if not config.thermal_homography:
        return drift
    reach = config.thermal_homography
    displaced = _displaced((width, height), rng.uniform(-reach, reach, (4, 2)))
    return drift @ displaced


def footprint(
    view: Matrix, size: tuple[int, int], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the part of the source image that a crop may show.

    Args:
        view: [3,3], from crop pixels to source pixels.
        size: (width, height) of the crop.
        shape: (height, width) of the source image.
    """
    width, height = size
    corners = project(view, np.array([[0, 0], [width, 0], [width, height], [0, height]]))
    limit = [shape[1], shape[0]]
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, limit).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, limit).astype(int).tolist()
    return left, top, right, bottom


def resample(
    image: Image, view: Matrix, size: tuple[int, int], interpolation: int, border: int
) -> Image:
    """The crop of an image.

    Args:
        image: uint8 [h,w] or [h,w,3].
        view: [3,3], from crop pixels to pixels of ``image``.
        size: (width, height) of the crop.
        interpolation: OpenCV's; ``cv2.INTER_NEAREST`` for labels.
        border: value outside the image.
    """
    flags = interpolation | cv2.WARP_INVERSE_MAP
    filled = (border, border, border)
    if view[2].tolist() == [0.0, 0.0, 1.0]:
        warped = cv2.warpAffine(image, view[:2], size, flags=flags, borderValue=filled)
    else:
        warped = cv2.warpPerspective(image, view, size, flags=flags, borderValue=filled)
    return cast(Image, warped)


def _turn(pivot: Matrix, config: AugmentConfig, rng: np.random.Generator) -> Matrix:
    """[3,3] in crop pixels: a rotation and a perspective that keep ``pivot`` in its place."""
    angle = np.deg2rad(rng.uniform(-config.rotation, config.rotation))
    turned = np.eye(3)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    size = (config.crop_width, config.crop_height)
    reach = config.perspective
    turned = _displaced(size, rng.uniform(-reach, reach, (4, 2)) * size) @ turned
    return translation(pivot - project(turned, pivot)) @ turned


def _displaced(size: tuple[int, int], offsets: Matrix) -> Matrix:
    """[3,3] homography that moves the corners of a rectangle of (width, height) by [4,2] pixels."""
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = (corners + offsets).astype(np.float32)
    return cast(Matrix, cv2.getPerspectiveTransform(corners, moved))


def translation(offset: npt.ArrayLike) -> Matrix:
    """float64 [3,3] that moves points by (x, y)."""
    view = np.eye(3)
    view[:2, 2] = offset
    return view


def project(view: Matrix, points: Matrix) -> Matrix:
    """float64 [...,2] points through a [3,3] map."""
    mapped = points @ view[:, :2].T + view[:, 2]
    return mapped[..., :2] / mapped[..., 2:]
