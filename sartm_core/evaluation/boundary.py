"""Boundary IoU (Cheng et al., 2021, arXiv:2103.16562): how well the outlines of a class fit.

The boundary region of a mask is the mask's pixels within the distance d of its contour. Boundary
IoU is the IoU of the boundary regions of truth and prediction. As with mean IoU, pixels are summed
over all frames before dividing.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID, ClassTable
from sartm_core.frames import Image

DISTANCE = 0.005
"""d as a share of the image's diagonal (4 pixels at 640x480), as the paper takes it for
Cityscapes; with the 0.02 it takes for COCO, most objects of MFNet are all boundary."""

BoundaryCounts = npt.NDArray[np.int64]
"""int64 [C, 3]: pixels in the boundary region of the truth, of the prediction, of both. Frames
merge by addition."""


def boundary_distance(height: int, width: int) -> int:
    """d in pixels, at least 1."""
    return max(1, round(DISTANCE * math.hypot(height, width)))


def boundary_counts(truth: Image, prediction: Image, classes: int) -> BoundaryCounts:
    """Count the boundary regions of each class but 0 in one frame.

    Distance is measured as in the paper's code: d erosions by 3x3 pixels, with nothing beyond the
    image's edge, so that an object cut off by the edge has a boundary there. Pixels whose truth is
    255 belong to no class in either mask.

    Args:
        truth, prediction: HxW uint8 class ids, 255 = ignore, or no decision.
        classes: number of classes C.

    Returns:
        See :data:`BoundaryCounts`.
    """
    distance = boundary_distance(*truth.shape)
    prediction = np.where(truth == IGNORE_ID, np.uint8(IGNORE_ID), prediction)
    counts = np.zeros((classes, 3), np.int64)
    for k in range(1, classes):
        true, predicted = (_boundary(mask == k, distance) for mask in (truth, prediction))
        counts[k] = true.sum(), predicted.sum(), (true & predicted).sum()
    return counts


def boundary_section(counts: BoundaryCounts, classes: ClassTable) -> dict[str, Any]:
    """The section ``boundary`` of metrics.json.

    ``iou`` is the boundary IoU of each class but 0, None for one that the ground truth never
    shows; ``miou`` their mean, ``distance`` the share of the diagonal.
    """
    iou: dict[str, float | None] = {}
    for info in classes.classes[1:]:
        truth, predicted, both = map(int, counts[info.id])
        iou[info.name] = both / (truth + predicted - both) if truth else None
    known = [value for value in iou.values() if value is not None]
    return {
        "measure": "boundary_iou",
        "distance": DISTANCE,
        "miou": float(np.mean(known)) if known else None,
        "iou": iou,
    }


def _boundary(mask: npt.NDArray[np.bool_], distance: int) -> npt.NDArray[np.bool_]:
    """bool HxW: pixels of the mask within ``distance`` of a pixel outside it."""
    if not mask.any():
        return mask
    kernel = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    inside = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask & (inside == 0), bool)
