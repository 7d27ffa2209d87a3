"""Teachers' planes under the geometry of a sample: the map from the crop to the source image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from sartm_core.data.augment.copy_paste import Pasted
from sartm_core.data.augment.geometry import Matrix, project, resample
from sartm_core.data.teacher_planes import (
    FEATURE_STRIDE,
    PROBABILITY_STRIDE,
    Floats,
    Indices,
    TeacherPlanes,
)
from sartm_core.frames import Image

Read = Callable[[Indices, Indices], Floats]


@dataclass(frozen=True)
class SoftTarget:
    """What teachers say about a crop; zeros throughout a cell = nothing.

    Attributes:
        probability: float32 [C,H/4,W/4], of sum 1 in every other cell.
        feature: float32 [D,H/16,W/16] around its mean over the run's frames; None = there is none.
    """

    probability: Floats
    feature: Floats | None


def crop_target(
    planes: TeacherPlanes,
    shape: tuple[int, int],
    view: Matrix,
    size: tuple[int, int],
    pasted: Sequence[Pasted] = (),
) -> SoftTarget:
    """What teachers say about a crop, bilinearly between the cells of their planes.

    A pasted object brings the probabilities that it has in its own frame, in proportion to the
    part of a cell that it covers: rare objects are what is pasted, and what else they look like is
    what a label cannot tell. Cells of the feature that it touches have no target: they are so large
    that they tell of an object's surroundings, which are others here.

    Args:
        planes: of the source frame.
        shape: (height, width) of the source frame.
        view: [3,3], from crop pixels to source pixels.
        size: (width, height) of the crop, divisible by 16.
        pasted: objects of other frames in the source frame, the later ones in front.
    """
    owner = _owners(shape, view, size, pasted)
    grid, cells = _centres(size, PROBABILITY_STRIDE)
    points = project(view, cells)
    probability = _bilinear(planes.probabilities, planes.codes, shape, points)
    probability *= 1.0 - _covered(owner > 0, grid)
    for index, item in enumerate(pasted, start=1):
        donor = item.donor
        assert donor.teacher is not None
        there = project(item.view, points)
        theirs = _bilinear(
            donor.teacher.probabilities, donor.teacher.codes, donor.label.shape, there
        )
        probability += _covered(owner == index, grid) * theirs
    probability[~_inside(points, shape)] = 0.0
    feature = None
    if planes.feature is not None:
        coarse, cells = _centres(size, FEATURE_STRIDE)
        points = project(view, cells)
        found = _bilinear(planes.features, planes.feature, shape, points)
        touched = _covered(owner > 0, coarse)[:, 0] > 0
        found[touched | ~_inside(points, shape)] = 0.0
        feature = _planes(found, coarse)
    return SoftTarget(_planes(probability, grid), feature)


def _owners(
    shape: tuple[int, int], view: Matrix, size: tuple[int, int], pasted: Sequence[Pasted]
) -> Image:
    """uint8 [H,W] of the crop: 1, 2, ... where the first, second, ... pasted object is shown."""
    if not pasted:
        return np.zeros((size[1], size[0]), np.uint8)
    owner = np.zeros(shape, np.uint8)
    for index, item in enumerate(pasted, start=1):
        height, width = item.shown.shape
        place = owner[item.row : item.row + height, item.column : item.column + width]
        place[item.shown] = index
    return resample(owner, view, size, cv2.INTER_NEAREST, 0)


def _centres(size: tuple[int, int], stride: int) -> tuple[tuple[int, int], Matrix]:
    """(width, height) of a grid over the crop; [N,2], (x, y) of the centres of its cells, row by
    row, in crop pixels."""
    grid = (size[0] // stride, size[1] // stride)
    x, y = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]))
    cells = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    return grid, (cells + 0.5) * stride - 0.5


def _covered(shown: np.ndarray, grid: tuple[int, int]) -> Floats:
    """float32 [N,1], the part of each cell that is shown, of bool [H,W]."""
    if not shown.any():
        return np.zeros((grid[0] * grid[1], 1), np.float32)
    share = cv2.resize(shown.astype(np.float32), grid, interpolation=cv2.INTER_AREA)
    return cast(Floats, share.reshape(-1, 1))


def _inside(points: Matrix, shape: tuple[int, int]) -> np.ndarray:
    """bool [N], whether the pixel nearest to a point is one of the image, as it is for labels."""
    return cast(
        np.ndarray, ((points >= -0.5) & (points < [shape[1] - 0.5, shape[0] - 0.5])).all(axis=1)
    )


def _bilinear(read: Read, grid: np.ndarray, shape: tuple[int, ...], points: Matrix) -> Floats:
    """float32 [N,C] between the centres of the four cells around each point.

    Args:
        read: the values of cells, of rows and columns.
        grid: [h,w,...], the plane that it reads.
        shape: (height, width) of the image that the plane spans.
        points: [N,2], (x, y) in pixels of the image; beyond the outermost centres the plane is
            continued.
    """
    last = np.array([grid.shape[1], grid.shape[0]]) - 1
    cells = (points + 0.5) * (last + 1) / [shape[1], shape[0]] - 0.5
    cells = cells.clip(0, last)
    first = np.floor(cells).astype(np.intp)
    left, top = first.T
    right, bottom = np.minimum(first + 1, last).T
    x, y = (cells - first).astype(np.float32).T[..., None]
    above = (1 - x) * read(top, left) + x * read(top, right)
    below = (1 - x) * read(bottom, left) + x * read(bottom, right)
    return cast(Floats, (1 - y) * above + y * below)


def _planes(values: Floats, grid: tuple[int, int]) -> Floats:
    """[C,h,w] of [N,C]."""
    return np.ascontiguousarray(values.T.reshape(-1, grid[1], grid[0]))
