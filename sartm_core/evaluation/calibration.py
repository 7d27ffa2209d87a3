"""Whether confidence means what it says: expected calibration error on the foreground.

Nearly all pixels are background, sure and right; over all of them any model looks calibrated. So
only pixels count whose truth or prediction is a foreground class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID
from sartm_core.frames import Image

BINS = 15

CalibrationCounts = npt.NDArray[np.int64]
"""int64 [256, 2]: confidence 0..255 x (pixels, pixels that are right). Frames merge by addition."""


def calibration_counts(truth: Image, prediction: Image, confidence: Image) -> CalibrationCounts:
    """Count right and wrong pixels of one frame by confidence.

    Args:
        truth, prediction: HxW uint8 class ids. Pixels where either is 255 are left out, and so are
            those where both are 0.
        confidence: HxW uint8, 255 = certain.

    Returns:
        See :data:`CalibrationCounts`.
    """
    counted = (truth != IGNORE_ID) & (prediction != IGNORE_ID) & ((truth != 0) | (prediction != 0))
    right = counted & (truth == prediction)
    levels = [np.bincount(confidence[where], minlength=256) for where in (counted, right)]
    return np.stack(levels, axis=1).astype(np.int64)


def calibration_section(counts: CalibrationCounts) -> dict[str, Any]:
    """The section ``calibration`` of metrics.json.

    ``ece``: expected calibration error with ``BINS`` bins of equal mass (Nixon et al., 2019),
    sum over bins of their share times abs(accuracy - confidence); ``gap``: mean confidence minus
    accuracy (above 0 = too sure); ``bins``: ``confidence`` and ``accuracy`` of each bin, by rising
    confidence. A confidence level that reaches over the edge of a bin is divided between them.
    Without pixels ``ece`` and ``gap`` are None.
    """
    pixels = int(counts[:, 0].sum())
    if not pixels:
        return {"ece": None, "gap": None, "pixels": 0, "bins": []}
    levels = np.arange(256) / 255
    running = np.cumsum(np.stack((counts[:, 0], counts[:, 0] * levels, counts[:, 1])), axis=1)
    running = np.concatenate((np.zeros((3, 1)), running), axis=1)
    edges = np.linspace(0, pixels, BINS + 1)
    at_edges = np.stack([np.interp(edges, *_rising(running[0], row)) for row in running])
    mass, sure, right = np.diff(at_edges, axis=1)
    confidence, accuracy = sure / mass, right / mass
    return {
        "ece": float(np.abs(accuracy - confidence).mean()),
        "gap": float((sure.sum() - right.sum()) / pixels),
        "pixels": pixels,
        "bins": [
            {"confidence": float(c), "accuracy": float(a)}
            for c, a in zip(confidence, accuracy, strict=True)
        ],
    }


def _rising(
    mass: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The points of a running sum at which mass was added, for interpolation."""
    keep = np.concatenate(([True], np.diff(mass) > 0))
    return mass[keep], values[keep]
