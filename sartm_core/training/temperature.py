"""Temperatures that make the confidence mean what it says, fitted on held-out frames.

Temperature scaling (Guo et al., ICML 2017): logits are divided by one number before the softmax.
No mask changes; of the pixels with confidence 0.8, four of five should be right. Each set of
cameras has a number of its own: a network that lost a camera errs more often than it knows.

Where Guo et al. maximise the likelihood, here the expected calibration error itself is minimised,
over the same pixels as in ``sartm_core.evaluation.calibration``: those whose truth or prediction is
foreground. Predicted background counts there only where it is wrong, and so the most likely
temperature is not the one of the least error: a teacher of the ablation was left with 0.15 instead
of 0.09 on thermal alone. One number does not fit noise, which is what likelihood would guard from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

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
CELLS = 500_000  # at most, of each set of cameras

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
    chosen = frames[:: math.ceil(len(frames) / FRAMES)]
    cells = {cameras: _Cells(CELLS // len(chosen)) for cameras in MODALITIES}
    with progress("calibrating", 2 * len(chosen)) as bar:
        before = _errors(network, config, chosen, bar.advance, cells=cells)
        fitted = {cameras: kept.fit() for cameras, kept in cells.items()}
        after = _errors(network, config, chosen, bar.advance, temperature=in_order(fitted))
    return Calibration(fitted, before, after, len(chosen))


def in_order(temperature: Mapping[str, float]) -> tuple[float, float, float]:
    """The temperatures of ``MODALITIES`` as ``MaskGraph`` takes them."""
    both, rgb, thermal = (float(temperature[cameras]) for cameras in MODALITIES)
    return both, rgb, thermal


def fit_temperature(logits: Logits, truth: Image) -> float:
    """The temperature whose confidences have the least expected calibration error.

    Args:
        logits: float32 [N,C] of pixels.
        truth: uint8 [N] class ids. What ``calibration_counts`` leaves out has no say.

    Returns:
        Within ``BOUNDS``; 1 where nothing is left.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    winner = logits.argmax(axis=1).astype(np.uint8)
    if not calibration_counts(truth, winner, winner).any():
        return 1.0

    def error(temperature: float) -> float:
        largest = 1.0 / np.exp(shifted / np.float32(temperature)).sum(axis=1)
        confidence = (255.0 * largest).round().astype(np.uint8)
        return float(calibration_section(calibration_counts(truth, winner, confidence))["ece"])

    low, high = BOUNDS
    for _ in range(_ROUNDS):
        grid = np.geomspace(low, high, _GRID)
        best = int(np.argmin([error(temperature) for temperature in grid]))
        low, high = grid[max(0, best - 1)], grid[min(_GRID - 1, best + 1)]
    return round(float(grid[best]), 3)


class _Cells:
    """Logits and truth of foreground cells, a bounded number of each frame."""

    def __init__(self, per_frame: int) -> None:
        self._per_frame = per_frame
        self._logits: list[Logits] = []
        self._truth: list[Image] = []

    def add(self, logits: torch.Tensor, seen: torch.Tensor, label: Image) -> None:
        """Keep cells of one frame, evenly over the image.

        Args:
            logits: float32 [1,C,h,w].
            seen: bool [1,H,W], where a camera looks.
            label: HxW uint8 class ids.
        """
        size = (logits.shape[2], logits.shape[3])
        truth = nearest_label(torch.from_numpy(label)[None], size)
        winner = logits.argmax(dim=1)
        counted = nearest_label(seen, size) & (truth != IGNORE_ID) & ((truth != 0) | (winner != 0))
        step = max(1, math.ceil(int(counted.sum()) / self._per_frame))
        kept = counted.flatten().nonzero().flatten()[::step]
        self._logits.append(logits[0].flatten(1)[:, kept].T.numpy())
        self._truth.append(truth.flatten()[kept].numpy())

    def fit(self) -> float:
        """The temperature of the cells of all frames."""
        return fit_temperature(np.concatenate(self._logits), np.concatenate(self._truth))


def _errors(
    network: RgbThermalNetwork,
    config: Config,
    frames: Sequence[Sample],
    advance: Callable[[], None],
    *,
    temperature: tuple[float, float, float] = (1.0, 1.0, 1.0),
    cells: Mapping[str, _Cells] | None = None,
) -> dict[str, float | None]:
    """Expected calibration error with each set of cameras; ``cells`` are filled meanwhile."""
    segmenter = segmenter_of(network, config, temperature=temperature)
    counts = {cameras: np.zeros((256, 2), np.int64) for cameras in MODALITIES}
    with _watched(network) as given:
        for sample in frames:
            assert sample.label is not None
            for cameras, total in counts.items():
                rgb = None if cameras == "thermal" else sample.rgb
                thermal = None if cameras == "rgb" else sample.thermal
                result = segmenter(rgb, thermal, sample.thermal_valid)
                mask = fit_to_label(result.mask, sample.label)
                confidence = fit_to_label(result.confidence, sample.label)
                total += calibration_counts(sample.label, mask, confidence)
                logits, seen = given.pop()
                if cells is not None:
                    cells[cameras].add(logits, seen, sample.label)
            advance()
    return {cameras: calibration_section(total)["ece"] for cameras, total in counts.items()}


@contextmanager
def _watched(network: RgbThermalNetwork) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """What runtimes do not hand on of the frames that run meanwhile, on the CPU: logits
    float32 [1,C,h,w], and where a camera looks, bool [1,H,W]."""
    given: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...], logits: torch.Tensor) -> None:
        _, _, thermal_valid, present = inputs
        seen = (thermal_valid[..., 0] > 0) | (present[:, 0] > 0.5).view(-1, 1, 1)
        given.append((logits.cpu(), seen.cpu()))

    handle = network.register_forward_hook(keep)
    try:
        yield given
    finally:
        handle.remove()
