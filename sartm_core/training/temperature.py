"""Temperatures that make the confidence mean what it says, fitted on held-out frames.

Temperature scaling (Guo et al., ICML 2017): logits are divided by one number before the softmax.
No mask changes; of the pixels with confidence 0.8, four of five should be right. Each set of
cameras has a number of its own: a network that lost a camera errs more often than it knows.

Where Guo et al. maximise the likelihood, here the expected calibration error itself is minimised,
over the same pixels as in ``sartm_core.evaluation.calibration``: those whose truth or prediction is
foreground. That choice depends on the prediction, as background that was predicted counts only
where it is wrong, and then the likelihood has its optimum elsewhere: with one camera missing it
left up to twice the error. One number cannot fit noise, so its smoothness is not missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sartm_core.classes import IGNORE_ID
from sartm_core.data.sample import Sample
from sartm_core.evaluation.calibration import calibration_counts, calibration_section
from sartm_core.evaluation.evaluate import MODALITIES, fit_to_label
from sartm_core.frames import Image
from sartm_core.losses.labels import nearest_label
from sartm_core.models import RgbThermalNetwork
from sartm_core.progress import progress
from sartm_core.training.config import Config
from sartm_core.training.predictor import segmenter_of

BOUNDS = (0.25, 8.0)
FRAMES = 100  # at most, taken evenly over the dev list
CELLS = 200_000  # at most, of each set of cameras

_GRID = 17
_ROUNDS = 3  # each narrows the interval to an eighth: the last step is 0.3 %

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """What was fitted, and what it is worth.

    Attributes:
        temperature: of each of ``MODALITIES``.
        before, after: expected calibration error on the same frames at temperature 1 and at the
            fitted one, as ``sartm evaluate`` measures it; None without foreground.
        frames: how many.
    """

    temperature: Mapping[str, float]
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    frames: int


def calibrate(network: RgbThermalNetwork, config: Config, frames: Sequence[Sample]) -> Calibration:
    """Fit a temperature for each set of cameras.

    The fit is made at the size of the logits, where the confidence is computed; the errors before
    and after are measured at the size of the labels, in the line that a bundle runs in.

    Args:
        network: in evaluation mode.
        config: of its run.
        frames: at least one, with labels in the run's ids.
    """
    frames = frames[:: math.ceil(len(frames) / FRAMES)]
    cells = {cameras: _Cells(CELLS // len(frames)) for cameras in MODALITIES}
    with progress("calibrating", 2 * len(frames)) as bar:
        plain = dict.fromkeys(MODALITIES, 1.0)
        with _logits_of(network) as given:
            before = _errors(network, config, frames, plain, bar.advance, cells, given)
        fitted = {cameras: fit_temperature(*kept.joined()) for cameras, kept in cells.items()}
        after = _errors(network, config, frames, fitted, bar.advance)
    return Calibration(fitted, before, after, len(frames))
