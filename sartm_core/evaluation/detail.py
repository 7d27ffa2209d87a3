"""What the confusion matrix does not show: outlines, small objects, confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.evaluation.boundary import boundary_counts, boundary_section
from sartm_core.evaluation.calibration import calibration_counts, calibration_section
from sartm_core.evaluation.object_size import SIZES, object_counts, object_size_section
from sartm_core.frames import Image


class Detail:
    """Integer counts over the frames seen so far; the result does not depend on their order."""

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self._boundary = np.zeros((len(classes), 3), np.int64)
        self._objects = np.zeros((len(classes), len(SIZES), 4), np.int64)
        self._calibration = np.zeros((256, 2), np.int64)

    def add(self, truth: Image, prediction: Image, confidence: Image | None = None) -> None:
        """Count one frame.

        Args:
            truth, prediction: HxW uint8 class ids, 255 = ignore, or no decision.
            confidence: HxW uint8, or None where only masks are known.
        """
        self._boundary += boundary_counts(truth, prediction, len(self.classes))
        self._objects += object_counts(truth, prediction, len(self.classes))
        if confidence is not None:
            self._calibration += calibration_counts(truth, prediction, confidence)

    def sections(self) -> dict[str, Any]:
        """``boundary``, ``object_size`` and, if confidences were counted, ``calibration``."""
        found = {
            "boundary": boundary_section(self._boundary, self.classes),
            "object_size": object_size_section(self._objects, self.classes),
        }
        if self._calibration.any():
            found["calibration"] = calibration_section(self._calibration)
        return found
