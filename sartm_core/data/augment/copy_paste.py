"""Objects from other frames, pasted with both cameras' pixels and the label at the same place.

After Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation (CVPR 2021), with what a camera
on a vehicle demands: an object keeps about its row and size, since both tell its distance; nearer
objects stay in front of it; its levels follow the place that it comes to, since every thermal image
is normalised on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from sartm_core.classes import IGNORE_ID
from sartm_core.data.augment.geometry import Matrix, translation
from sartm_core.data.teacher_planes import TeacherPlanes
from sartm_core.frames import Image

MIN_PIXELS = 50
EDGE = 4  # an object nearer to the frame's edge may go on beyond it, pixels
MAX_SHARE = 0.15  # of the frame: what is larger has no other place to go
SCALE = (0.8, 1.25)
ROW_JITTER = 0.02  # of the frame's height
FEATHER = 0.8  # sigma of the edge, pixels
GAP, RING = 3, 8  # the surroundings begin and end that far from the object, pixels
ATTEMPTS = 5  # places tried for one object
MAX_COVERED = 0.2  # of the object that may lie over other objects
MAX_THERMAL_STEP = 50.0  # levels between the surroundings here and there
MAX_LIGHT_RATIO = 1.6  # the same for RGB, as a factor

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Region:
    """A connected region of pasted classes: one object, or several that touch (rider and bike).

    Attributes:
        row, column: of its top left corner in the frame.
        mask: uint8 [h,w], 1 = object.
        classes: ids of the classes with at least ``MIN_PIXELS`` pixels.
    """

    row: int
    column: int
    mask: Image
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Donor:
    """A frame and the region that is taken from it.

    Attributes:
        rgb: uint8 [h,w,3].
        thermal: uint8 [h,w], normalised.
        label: uint8 [h,w].
        region: where the object is.
        teacher: what teachers say about the frame, if they were asked.
    """

    rgb: Image
    thermal: Image
    label: Image
    region: Region
    teacher: TeacherPlanes | None = None


@dataclass(frozen=True)
class Pasted:
    """An object in its new place.

    Attributes:
        donor: what was pasted.
        view: float64 [3,3], from pixels of the target to those of the donor's frame.
        row, column: of the top left corner of ``shown`` in the target.
        shown: bool [h,w], the pixels that it took over, before nearer objects took them.
    """

    donor: Donor
    view: Matrix
    row: int
    column: int
    shown: np.ndarray


@dataclass(frozen=True)
class _Patch:
    """Images of one place; ``mask`` uint8 [h,w] is 1 on the object, and in the target frame where
    the thermal camera looks."""

    rgb: Image
    thermal: Image
    label: Image
    mask: Image


@dataclass(frozen=True)
class _Placed:
    """A patch whose levels fit, its top left corner in the target, and where it comes from."""

    patch: _Patch
    row: int
    column: int
    bottom: int
    donor: Donor
    view: Matrix  # as that of Pasted


def find_regions(label: Image, thermal_valid: Image, classes: Sequence[int]) -> list[Region]:
    """The regions of a frame that can be pasted elsewhere: whole (away from the frame's edges),
    seen by both cameras, neither tiny nor huge.

    Args:
        label: uint8 [h,w].
        thermal_valid: uint8 [h,w], 0 where the thermal camera does not look.
        classes: ids; empty = all but 0.
    """
    height, width = label.shape
    count, components, stats, _ = cv2.connectedComponentsWithStats(
        cv2.LUT(label, _chosen(classes)), connectivity=8
    )
    regions = []
    for index in range(1, count):
        left, top, w, h, area = (int(value) for value in stats[index])
        inside = min(left, top, width - left - w, height - top - h) >= EDGE
        if not inside or not MIN_PIXELS <= area <= MAX_SHARE * label.size:
            continue
        window = np.s_[top : top + h, left : left + w]
        mask = (components[window] == index).astype(np.uint8)
        counts = np.bincount(label[window][mask > 0], minlength=256)
        shown = tuple(int(class_id) for class_id in np.flatnonzero(counts >= MIN_PIXELS))
        if shown and thermal_valid[window][mask > 0].all():
            regions.append(Region(top, left, mask, shown))
    return regions


def paste_objects(
    rgb: Image,
    thermal: Image,
    thermal_valid: Image,
    label: Image,
    donors: Sequence[Donor],
    *,
    limit: int,
    classes: Sequence[int],
    window: Window,
    rng: np.random.Generator,
) -> tuple[Image, Image, Image, list[Pasted]]:
    """RGB, thermal and label with up to ``limit`` donors' objects, and these, far to near; the
    arguments stay as they are.

    A donor for which no plausible place is found is passed over.

    Args:
        rgb, thermal, thermal_valid, label: the target, as :func:`sartm_core.data.augment.augment`
            takes them.
        donors: candidates, in order.
        limit: how many are pasted at most.
        classes: ids that count as objects, which may stand in front; empty = all but 0.
        window: (left, top, right, bottom) of the part that will be seen.
        rng: the only source of randomness.
    """
    target = _Patch(rgb, thermal, label, thermal_valid)
    placed: list[_Placed] = []
    for donor in donors:
        if len(placed) == limit:
            break
        placed.extend(_place(donor, target, window, rng))
    if not placed:
        return rgb, thermal, label, []
    _, components, stats, _ = cv2.connectedComponentsWithStats(
        cv2.LUT(label, _chosen(classes)), connectivity=8
    )
    bottoms = stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT]
    bottoms[0] = 0  # what is no object is never in front
    target = _Patch(rgb.copy(), thermal.copy(), label.copy(), thermal_valid)
    pasted = []
    for item in sorted(placed, key=lambda item: item.bottom):  # far to near
        shown = _blend(item, target, bottoms[components[_span(item)]] > item.bottom)
        pasted.append(Pasted(item.donor, item.view, item.row, item.column, shown))
    return target.rgb, target.thermal, target.label, pasted


def _chosen(classes: Sequence[int]) -> np.ndarray:
    """uint8 [256] lookup table, 1 = pasted class."""
    table = np.zeros(256, np.uint8)
    table[list(classes) if classes else slice(1, IGNORE_ID)] = 1
    return table


def _place(
    donor: Donor, target: _Patch, window: Window, rng: np.random.Generator
) -> Iterator[_Placed]:
    """The donor's object at a place where it may stand, or nothing."""
    patch, origin = _cut(
        donor, scale=float(np.exp(rng.uniform(*np.log(SCALE)))), mirror=rng.random() < 0.5
    )
    rows = np.flatnonzero(patch.mask.any(axis=1))
    columns = np.flatnonzero(patch.mask.any(axis=0))
    left, top, right, bottom = window
    jitter = rng.uniform(-ROW_JITTER, ROW_JITTER) * target.label.shape[0]
    foot = donor.region.row + donor.region.mask.shape[0] + round(jitter)
    row = foot - int(rows[-1]) - 1
    free = right - left - (int(columns[-1]) - int(columns[0]) + 1)
    if free < 0 or foot > bottom or foot - rows.size / 2 < top:
        return
    for _ in range(ATTEMPTS):
        column = left + int(rng.integers(free + 1)) - int(columns[0])
        view = origin @ translation((-column, -row))
        item = _Placed(patch, row, column, foot, donor, view)
        fitted = _fit(item, target)
        if fitted is not None:
            yield fitted
            return


def _cut(donor: Donor, *, scale: float, mirror: bool) -> tuple[_Patch, Matrix]:
    """A region and its surroundings, resized and perhaps mirrored; from its pixels to the donor's,
    float64 [3,3]."""
    region = donor.region
    height, width = donor.label.shape
    h, w = region.mask.shape
    margin = int(np.ceil(RING / scale)) + 1
    above, before = min(margin, region.row), min(margin, region.column)
    below = min(margin, height - region.row - h)
    after = min(margin, width - region.column - w)
    window = np.s_[
        region.row - above : region.row + h + below,
        region.column - before : region.column + w + after,
    ]
    mask = np.pad(region.mask, ((above, below), (before, after)))
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    turn = -1 if mirror else 1

    def resized(image: Image, interpolation: int) -> Image:
        scaled = cv2.resize(image, size, interpolation=interpolation)
        return cast(Image, np.ascontiguousarray(scaled[:, ::turn]))

    patch = _Patch(
        rgb=resized(donor.rgb[window], cv2.INTER_LINEAR),
        thermal=resized(donor.thermal[window], cv2.INTER_LINEAR),
        label=resized(donor.label[window], cv2.INTER_NEAREST_EXACT),
        mask=resized(mask, cv2.INTER_NEAREST_EXACT),
    )
    step_x, step_y = mask.shape[1] / size[0], mask.shape[0] / size[1]
    # About pixel centres, as OpenCV resizes; mirrored, the last column comes first.
    first_x = region.column - before + (size[0] - 0.5 if mirror else 0.5) * step_x - 0.5
    first_y = region.row - above + 0.5 * step_y - 0.5
    origin = np.array([[turn * step_x, 0, first_x], [0, step_y, first_y], [0, 0, 1]])
    return patch, origin


def _span(item: _Placed) -> tuple[slice, slice]:
    """The target's pixels under a patch that lies inside it."""
    height, width = item.patch.mask.shape
    return np.s_[item.row : item.row + height, item.column : item.column + width]


def _fit(item: _Placed, target: _Patch) -> _Placed | None:
    """The object cut to the target's frame, its levels those of the place; None = not here."""
    height, width = target.label.shape
    top, left = max(0, -item.row), max(0, -item.column)
    inside = np.s_[top : height - item.row, left : width - item.column]
    patch = _Patch(*(image[inside] for image in vars(item.patch).values()))
    fitted = replace(item, patch=patch, row=item.row + top, column=item.column + left)
    here = _Patch(*(image[_span(fitted)] for image in vars(target).values()))
    objects = (here.label > 0) & (here.label < IGNORE_ID)
    if objects[patch.mask > 0].mean() > MAX_COVERED:
        return None
    ring = _ring(patch.mask)
    if not ring.any():
        return None
    seen = ring & (here.mask > 0)
    step = 0.0
    if seen.any():
        step = float(np.median(here.thermal[seen]) - np.median(patch.thermal[ring]))
    light = (here.rgb[ring].mean() + 4.0) / (patch.rgb[ring].mean() + 4.0)
    if abs(step) > MAX_THERMAL_STEP or not 1 / MAX_LIGHT_RATIO <= light <= MAX_LIGHT_RATIO:
        return None
    matched = _Patch(
        rgb=cast(Image, cv2.convertScaleAbs(patch.rgb, alpha=light)),
        thermal=np.clip(patch.thermal + np.float32(step), 0, 255).astype(np.uint8),
        label=patch.label,
        mask=patch.mask,
    )
    return replace(fitted, patch=matched)


def _ring(mask: Image) -> np.ndarray:
    """bool [h,w], the surroundings of an object without its immediate edge."""
    near, far = (cv2.dilate(mask, np.ones((2 * reach + 1,) * 2, np.uint8)) for reach in (GAP, RING))
    return np.asarray(far > near)


def _blend(item: _Placed, target: _Patch, in_front: np.ndarray) -> np.ndarray:
    """Draw an object into the target, behind the pixels that are ``in_front``; bool [h,w], what is
    shown of it."""
    span = _span(item)
    shown = (item.patch.mask > 0) & ~in_front
    alpha = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), FEATHER)
    for drawn, image in ((item.patch.rgb, target.rgb), (item.patch.thermal, target.thermal)):
        weight = alpha[..., None] if drawn.ndim == 3 else alpha
        mixed = image[span] + weight * (drawn.astype(np.float32) - image[span])
        image[span] = np.rint(mixed).astype(np.uint8)
    target.label[span][shown] = item.patch.label[shown]
    return np.asarray(shown)
