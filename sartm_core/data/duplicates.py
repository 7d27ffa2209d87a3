"""Pictures that stand in two lists: the same frame, or nearly the same moment.

Each frame gets a difference hash of both cameras: 16 x 16 steps to the right and down, of the RGB
brightness and of the normalised thermal image, each +1 (brighter), -1 (darker) or 0 (flat), 1024
values together. The distance of two frames is (1 - cosine) / 2: 0 = the same, about 0.5 =
unrelated. Flat places have no say, so a black night image does not match every other one; thermal
decides there.

The thresholds come from 357 real frames of MFNet's recordings, 25 + 7 of them in two renderings
(RGB as PNG and JPEG, thermal as it was and contrast-enhanced). Such twins are at most 0.15 apart
and their RGB alone at most 0.003; other frames 9 to 40 numbers away at least 0.29, and 57,057
pairs further apart at least 0.33. The nearest RGB of two different frames (a car that waits) is
0.023 apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.frames import Image

NEAR = 0.22
"""Frames of two lists below this distance are near-duplicates."""

SAME_RGB = 0.012
"""Near-duplicates whose RGB alone is below this distance are one picture, stored twice."""

_SIDE = 16
_FLAT = 1.0  # grey levels; smaller steps are noise and JPEG
_LABEL_SIZE = (80, 60)  # width, height
_ROWS = 512  # of the distance matrix at a time: bounds the memory


@dataclass(frozen=True, eq=False)
class Signature:
    """What frames are compared by.

    Attributes:
        rgb, thermal: int8 [512], each -1, 0 or 1.
        label: uint8 [60, 80] class ids, or None.
    """

    rgb: npt.NDArray[np.int8]
    thermal: npt.NDArray[np.int8]
    label: Image | None


@dataclass(frozen=True)
class Match:
    """A frame of one list that nearly stands in another.

    Attributes:
        frame, other: places in the two lists.
        distance: of both cameras together, 0 to `NEAR`.
        same: whether the RGB image is the same picture.
        label_agreement: of the pixels that are foreground in either label, the share with the
            same id, 0 to 1; None without two labels or without foreground.
    """

    frame: int
    other: int
    distance: float
    same: bool
    label_agreement: float | None


def signature(rgb: Image, thermal: Image, label: Image | None) -> Signature:
    """The signature of a frame.

    Args:
        rgb: HxWx3 uint8.
        thermal: hxw uint8, normalised.
        label: HxW uint8 class ids, or None.
    """
    grey = cast(Image, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    if label is not None:
        label = cast(Image, cv2.resize(label, _LABEL_SIZE, interpolation=cv2.INTER_NEAREST))
    return Signature(_steps(grey), _steps(thermal), label)


def near_duplicates(frames: Sequence[Signature], others: Sequence[Signature]) -> list[Match]:
    """The frames that have a near-duplicate among the others, each with its nearest one."""
    if not frames or not others:
        return []
    matches = []
    left, right = _codes(frames), _codes(others)
    for start in range(0, len(frames), _ROWS):
        similarity = left[start : start + _ROWS] @ right.T
        nearest = similarity.argmax(axis=1)
        distances = (1 - similarity[np.arange(len(nearest)), nearest]) / 2
        for row in np.flatnonzero(distances <= NEAR):
            frame, other = start + int(row), int(nearest[row])
            matches.append(_match(frame, other, float(distances[row]), frames, others))
    return matches


def _match(
    frame: int,
    other: int,
    distance: float,
    frames: Sequence[Signature],
    others: Sequence[Signature],
) -> Match:
    first, second = frames[frame], others[other]
    rgb = _unit(first.rgb[None]) @ _unit(second.rgb[None]).T
    return Match(
        frame=frame,
        other=other,
        distance=max(distance, 0.0),
        same=bool((1 - rgb[0, 0]) / 2 <= SAME_RGB),
        label_agreement=_agreement(first.label, second.label),
    )


def _steps(grey: Image) -> npt.NDArray[np.int8]:
    """Signs of the steps between neighbouring cells, to the right and down."""
    levels = grey.astype(np.float32)
    across = cv2.resize(levels, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA)
    down = cv2.resize(levels, (_SIDE, _SIDE + 1), interpolation=cv2.INTER_AREA)
    steps = np.concatenate([np.diff(across, axis=1).ravel(), np.diff(down, axis=0).ravel()])
    return np.where(np.abs(steps) < _FLAT, 0, np.sign(steps)).astype(np.int8)


def _codes(signatures: Sequence[Signature]) -> npt.NDArray[np.float32]:
    """[N, 1024], rows of length 1 (0 for a frame without any texture)."""
    return _unit(np.stack([np.concatenate([row.rgb, row.thermal]) for row in signatures]))


def _unit(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    rows = codes.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
    return rows


def _agreement(first: Image | None, second: Image | None) -> float | None:
    if first is None or second is None:
        return None
    foreground = (first > 0) | (second > 0)
    if not foreground.any():
        return None
    return float((first == second)[foreground].mean())
