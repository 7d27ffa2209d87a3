"""How much of small and of large objects is found.

An object is a connected region (8 neighbours) of one class in the ground truth. A false positive
belongs to no true object, so there is a recall by size, but no IoU.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.classes import ClassTable
from sartm_core.frames import Image

SIZES = ("tiny", "small", "medium", "large")
LIMITS = (16**2, 32**2, 96**2)
"""Upper ends of the sizes but the last, in pixels of a 640x480 image (32 and 96 are COCO's); in
other images the same share of the area."""
FOUND = 0.5
"""Share of its pixels from which on an object counts as found."""

_REFERENCE_AREA = 640 * 480

ObjectCounts = npt.NDArray[np.int64]
"""int64 [C, 4, 4]: class x size x (objects, objects found, their pixels, pixels that are right).
Frames merge by addition."""


def object_counts(truth: Image, prediction: Image, classes: int) -> ObjectCounts:
    """Count the objects of each class but 0 in one frame, by size.

    Args:
        truth, prediction: HxW uint8 class ids, 255 = ignore, or no decision.
        classes: number of classes C.

    Returns:
        See :data:`ObjectCounts`.
    """
    counts = np.zeros((classes, len(SIZES), 4), np.int64)
    limits = np.array(LIMITS) * (truth.size / _REFERENCE_AREA)
    for k in range(1, classes):
        mask = truth == k
        if not mask.any():
            continue
        number, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        area = np.bincount(regions.ravel(), minlength=number)[1:]
        right = np.bincount(regions[prediction == k], minlength=number)[1:]
        size = np.searchsorted(limits, area, side="right")
        for column, values in enumerate((np.ones_like(area), right >= FOUND * area, area, right)):
            np.add.at(counts[k, :, column], size, values)
    return counts


def object_size_section(counts: ObjectCounts, classes: ClassTable) -> dict[str, Any]:
    """The section ``object_size`` of metrics.json.

    For each size and class but 0: ``objects``, ``found`` (share of the objects of which at least
    half the pixels are right) and ``recall`` (share of their pixels). Classes without objects of
    a size are left out there; ``all`` counts the classes together, with None if there is none.
    """
    sizes: dict[str, Any] = {}
    for index, size in enumerate(SIZES):
        sizes[size] = {
            "all": _shares(counts[1:, index].sum(axis=0)),
            "classes": {
                info.name: _shares(counts[info.id, index])
                for info in classes.classes[1:]
                if counts[info.id, index, 0]
            },
        }
    return {"limits": list(LIMITS), "reference": [480, 640], "sizes": sizes}


def _shares(row: npt.NDArray[np.int64]) -> dict[str, Any]:
    objects, found, pixels, right = map(int, row)
    return {
        "objects": objects,
        "found": found / objects if objects else None,
        "recall": right / pixels if pixels else None,
    }
