"""What teachers say about a frame, small enough to be kept for every frame of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

PROBABILITY_STRIDE = 4  # the grid of the networks' logits
FEATURE_STRIDE = 16
CODES_PER_OCTAVE = 16.0  # a step of 4.4 %: one rounds by half of that at most
LEAST = float(2.0 ** (-255 / CODES_PER_OCTAVE))  # what is less likely is kept as this
_PROBABILITY_OF = np.exp2(-np.arange(256) / CODES_PER_OCTAVE).astype(np.float32)


@dataclass(frozen=True)
class TeacherPlanes:
    """Coarse grids that span the frame's image, each cell a part of equal size.

    Attributes:
        codes: uint8 [h,w,C], round(-16 log2 p) of every class's probability, 255 at most.
        feature: int8 [h',w',D], a feature in steps of ``scale``; None = there is none.
        scale: float32 [D], the step of each channel.
        centre: float32 [D], the mean over a run's frames, which :meth:`features` subtracts.
    """

    codes: Codes
    feature: npt.NDArray[np.int8] | None = None
    scale: Floats | None = None
    centre: Floats | None = None

    @classmethod
    def encode(cls, probability: Floats, feature: Floats | None) -> TeacherPlanes:
        """Round what a network says.

        Args:
            probability: [h,w,C], 0..1.
            feature: [h',w',D] or None.
        """
        bits = -CODES_PER_OCTAVE * np.log2(np.maximum(probability, LEAST))
        codes = np.clip(np.rint(bits), 0, 255).astype(np.uint8)
        if feature is None:
            return cls(codes)
        scale = np.maximum(np.abs(feature).max(axis=(0, 1)) / 127.0, 1e-12).astype(np.float32)
        return cls(codes, np.rint(feature / scale).astype(np.int8), scale)

    def around(self, centre: Floats) -> TeacherPlanes:
        """The same, with another centre of the feature."""
        return replace(self, centre=centre)

    def probabilities(self, rows: Indices, columns: Indices) -> Floats:
        """float32 [N,C], each row of sum 1, of N cells."""
        values = _PROBABILITY_OF[self.codes[rows, columns]]
        return cast(Floats, values / values.sum(axis=1, keepdims=True))

    def features(self, rows: Indices, columns: Indices) -> Floats:
        """float32 [N,D] around the centre, of N cells; only where there is a feature."""
        assert self.feature is not None
        assert self.scale is not None
        values = self.feature[rows, columns] * self.scale
        return values if self.centre is None else values - self.centre

    def mean_feature(self) -> Floats:
        """float32 [D], over all cells, whatever the centre."""
        assert self.feature is not None
        return cast(Floats, self.feature.mean(axis=(0, 1), dtype=np.float64) * self.scale)


def confident(planes: list[TeacherPlanes], share: float, least: float) -> Floats:
    """The confidence above which the most confident cells of each class lie.

    One threshold for all classes would leave nothing of the rare ones, of which a teacher is less
    sure (Zou et al., Unsupervised Domain Adaptation via Class-Balanced Self-Training, ECCV 2018).

    Args:
        planes: of all frames of a source.
        share: part of the cells that are predicted as a class that lies above, 0..1.
        least: no threshold is below this probability.

    Returns:
        float32 [C].
    """
    classes = planes[0].codes.shape[2]
    counts = np.zeros((classes, 256), np.int64)
    for plane in planes:
        winner, code = plane.codes.argmin(axis=2), plane.codes.min(axis=2)
        np.add.at(counts, (winner.ravel(), code.ravel()), 1)
    reached = counts.cumsum(axis=1)  # from the most confident on
    last = (reached < share * reached[:, -1:]).sum(axis=1)
    thresholds = np.exp2(-(last + 0.5) / CODES_PER_OCTAVE)  # cells of this code lie above
    thresholds[reached[:, -1] == 0] = 1.0
    return cast(Floats, np.maximum(thresholds, least).astype(np.float32))
