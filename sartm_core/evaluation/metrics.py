"""The confusion matrix: the one thing that is counted; every score is computed from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID
from sartm_core.errors import SartmError
from sartm_core.frames import Image

Confusion = npt.NDArray[np.int64]
"""int64 [C, C+1]: row = truth, column = prediction; the last column counts pixels without a
decision (prediction 255): a miss for their class, a false positive for none. Matrices of frames
merge by addition, in any order."""


def confusion(truth: Image, prediction: Image, classes: int) -> Confusion:
    """Count how often each class was taken for each other.

    Args:
        truth: HxW uint8, ids 0..classes-1; pixels of 255 are left out.
        prediction: HxW uint8 of the same shape, ids 0..classes-1 or 255 (no decision).
        classes: number of classes C.

    Returns:
        int64 [C, C+1], see :data:`Confusion`.

    Raises:
        SartmError: shapes differ, or an id is out of range.
    """
    if truth.shape != prediction.shape:
        raise SartmError(
            "mask and label differ in size",
            got=f"mask {prediction.shape}, label {truth.shape}",
            expected="the same height and width",
            remedy="resize the mask to the label, with nearest interpolation",
        )
    pairs = np.bincount((truth.astype(np.intp) * 256 + prediction).ravel(), minlength=1 << 16)
    joint = pairs.reshape(256, 256)
    _check_ids("label", joint.sum(axis=1), classes)
    _check_ids("mask", joint.sum(axis=0), classes)
    counts = np.zeros((classes, classes + 1), np.int64)
    counts[:, :classes] = joint[:classes, :classes]
    counts[:, classes] = joint[:classes, IGNORE_ID]
    return counts


def agreement(counts: Confusion) -> float:
    """Share of a frame's foreground pixels, true or predicted, whose class is right, 0..1.

    A single figure for a single frame, in which most classes are absent; 1 without foreground.
    """
    either = int(counts.sum() - counts[0, 0] - counts[0, -1])
    return float(counts.diagonal()[1:].sum() / either) if either else 1.0


def _check_ids(what: str, histogram: npt.NDArray[np.intp], classes: int) -> None:
    strangers = classes + np.flatnonzero(histogram[classes:IGNORE_ID])
    if strangers.size:
        raise SartmError(
            f"the {what} has ids that are not in the class table",
            got=", ".join(map(str, strangers[:8])),
            expected=f"0 to {classes - 1}, or {IGNORE_ID}",
            remedy="check that model, masks and labels use the same class table",
        )
