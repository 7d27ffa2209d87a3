"""Frames in, sections of metrics.json out: what every evaluation (files, masks, bags) shares."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.evaluation.metrics import Confusion, confusion
from sartm_core.evaluation.protocols import all_scores
from sartm_core.files import write_bytes_atomic
from sartm_core.frames import Image


class Tally:
    """Confusion matrices of the frames seen so far; the result does not depend on their order."""

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self._frames: dict[str, tuple[Confusion, bool]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, name: str, truth: Image, prediction: Image, *, night: bool) -> Confusion:
        """Count one frame; see :func:`sartm_core.evaluation.metrics.confusion`.

        Raises:
            SartmError: sizes or ids do not fit.
            ValueError: a frame of this name was counted before.
        """
        if name in self._frames:
            raise ValueError(f"frame '{name}' was counted before")
        counts = confusion(truth, prediction, len(self.classes))
        self._frames[name] = (counts, night)
        return counts

    def total(self) -> Confusion:
        """The matrix over all frames."""
        return self._sum([counts for counts, _ in self._frames.values()])

    def summary(self) -> dict[str, Any]:
        """``frames``, ``protocols`` and ``subsets`` (``day``, ``night``, where there are any)."""
        subsets = {}
        for subset, wanted in (("day", False), ("night", True)):
            counts = [counts for counts, night in self._frames.values() if night == wanted]
            if counts:
                subsets[subset] = {
                    "frames": len(counts),
                    "protocols": all_scores(self._sum(counts), self.classes),
                }
        return {
            "frames": len(self),
            "protocols": all_scores(self.total(), self.classes),
            "subsets": subsets,
        }

    def write_per_frame(self, path: Path) -> None:
        """Write ``names`` [N] and ``confusion`` int64 [N, C, C+1] as npz, sorted by name."""
        names = sorted(self._frames)
        data = io.BytesIO()
        np.savez_compressed(
            data,
            names=np.array(names, dtype=np.str_),
            confusion=np.stack([self._frames[name][0] for name in names]),
            night=np.array([self._frames[name][1] for name in names]),
        )
        write_bytes_atomic(path, data.getvalue())

    def _sum(self, matrices: list[Confusion]) -> Confusion:
        size = len(self.classes)
        return sum(matrices, start=np.zeros((size, size + 1), np.int64))
