"""How sure a score is: block bootstrap over the frames' confusion matrices (Künsch, 1989).

Neighbouring frames of a recording are alike, so they are drawn together, in blocks. A resample is
a sum of int64 matrices and its score is computed by the protocol itself. Two models are compared
on the same resamples of the same frames, which removes what is common to both: how hard the frames
happen to be. The spread over training seeds is not in these intervals.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import Confusion
from sartm_core.evaluation.protocols import class_iou, mean_iou
from sartm_core.evaluation.recording import find_blocks
from sartm_core.files import write_bytes_atomic

RESAMPLES = 2000
LEVEL = 0.95
MIN_BLOCKS = 5
"""With fewer blocks there is no interval: resampling so few says nothing."""
DETECTABLE = 1.96 + 0.84
"""Standard errors of a true difference that a two-sided 5 % test finds in 80 % of the cases."""


@dataclass(frozen=True)
class PerFrame:
    """What per_frame.npz holds.

    Attributes:
        names: of the N frames, sorted.
        confusion: int64 [N, C, C+1]; axes between N and C are variants of one model (seeds, inputs)
            whose scores are averaged.
        night: bool [N].
    """

    names: tuple[str, ...]
    confusion: Confusion
    night: npt.NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path) -> PerFrame:
        """Read a per_frame.npz.

        Raises:
            SartmError: no such file, or not one.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                names = tuple(map(str, data["names"]))
                frames = cls(names, data["confusion"], data["night"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise SartmError(
                f"{path} does not hold the confusion matrices of frames",
                got=f"{type(error).__name__}: {error}".splitlines()[0],
                expected="the per_frame.npz that stands beside metrics.json",
                remedy="run `sartm evaluate` or `sartm score` again with --out",
            ) from error
        return frames

    def select(self, where: npt.NDArray[np.bool_]) -> PerFrame:
        """The frames at which ``where`` bool [N] is true."""
        names = tuple(name for name, wanted in zip(self.names, where, strict=True) if wanted)
        return PerFrame(names, self.confusion[where], self.night[where])

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        data = io.BytesIO()
        names = np.array(self.names, dtype=np.str_)
        np.savez_compressed(data, names=names, confusion=self.confusion, night=self.night)
        write_bytes_atomic(path, data.getvalue())


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: on all frames; None if nothing counts.
        low, high: percentile interval of level ``LEVEL``; None with fewer than ``MIN_BLOCKS``.
        spread: standard error, None likewise.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    spread: float | None = None

    @property
    def smallest_detectable(self) -> float | None:
        """The true difference that would be found in 80 % of the cases at 5 % error."""
        return None if self.spread is None else DETECTABLE * self.spread


@dataclass(frozen=True)
class Estimates:
    """Mean IoU and IoU of each class of a protocol, or differences of them.

    Attributes:
        miou: of the protocol.
        iou: of its classes, in the order of their ids, see ``protocols.class_iou``.
        blocks: independent blocks that the frames form.
    """

    miou: Estimate
    iou: tuple[Estimate, ...]
    blocks: int


def interval(
    frames: PerFrame, protocol: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimates:
    """Scores of one model with their intervals.

    Args:
        frames: of the model.
        protocol: a name of ``protocols.PROTOCOLS``.
        resamples: number of bootstrap resamples.
        seed: of the resampling; the result is a function of the arguments.
    """
    scores, blocks = _scores(frames, protocol, resamples, seed)
    return _estimates(scores, blocks)


def difference(
    a: PerFrame, b: PerFrame, protocol: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimates:
    """How much better B scores than A on the same frames: B - A, resampled in pairs.

    Args:
        a, b: frames of the two models; the same names with the same ground truth.
        protocol: a name of ``protocols.PROTOCOLS``.
        resamples: number of bootstrap resamples.
        seed: of the resampling.

    Raises:
        SartmError: the frames, or their ground truth, differ.
    """
    check_same_frames(a, b)
    scores_a, blocks = _scores(a, protocol, resamples, seed)
    scores_b, _ = _scores(b, protocol, resamples, seed)
    return _estimates(scores_b - scores_a, blocks)


def check_same_frames(a: PerFrame, b: PerFrame) -> None:
    """Raise SartmError unless both hold the same frames with the same ground truth."""
    if a.names != b.names:
        only_a, only_b = sorted({*a.names} - {*b.names}), sorted({*b.names} - {*a.names})
        raise SartmError(
            "the two evaluations are not of the same frames",
            got=f"{len(only_a)} frames only in A{_some(only_a)}, "
            f"{len(only_b)} only in B{_some(only_b)}",
            expected="the same names",
            remedy="evaluate both models on the same --data and --split",
        )
    same_shape = a.confusion.shape == b.confusion.shape
    truth_a, truth_b = a.confusion.sum(axis=-1), b.confusion.sum(axis=-1)
    if not same_shape or not np.array_equal(truth_a, truth_b):
        differ = np.ones(len(a.names), bool)
        if same_shape:
            differ = (truth_a != truth_b).reshape(len(a.names), -1).any(axis=1)
        names = [name for name, other in zip(a.names, differ, strict=True) if other]
        raise SartmError(
            "the two evaluations do not have the same ground truth",
            got=f"other labels in {len(names)} frames{_some(names)}",
            expected="the same labels at the same size",
            remedy="evaluate both models on the same --data and --split",
        )


def _scores(
    frames: PerFrame, protocol: str, resamples: int, seed: int
) -> tuple[npt.NDArray[np.float64], int]:
    """float64 [1+R, 1+K]: mean IoU and IoU per class, of all frames and of each resample."""
    block = find_blocks(frames.names, frames.night)
    blocks = int(block.max()) + 1
    matrices = np.zeros((blocks, *frames.confusion.shape[1:]), np.int64)
    np.add.at(matrices, block, frames.confusion)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples)
    weights = np.concatenate((np.ones((1, blocks), np.int64), weights))
    confusion = (weights @ matrices.reshape(blocks, -1)).reshape(-1, *matrices.shape[1:])
    iou = class_iou(confusion, protocol)
    scores = np.concatenate((mean_iou(iou)[..., None], iou), axis=-1)
    return scores.reshape(len(weights), -1, scores.shape[-1]).mean(axis=1), blocks


def _estimates(scores: npt.NDArray[np.float64], blocks: int) -> Estimates:
    first, *others = (_estimate(column, blocks) for column in scores.T)
    return Estimates(first, tuple(others), blocks)


def _estimate(column: npt.NDArray[np.float64], blocks: int) -> Estimate:
    """From the score on all frames, and on each resample in which it exists."""
    value, resampled = float(column[0]), column[1:][~np.isnan(column[1:])]
    if np.isnan(value):
        return Estimate(None)
    if blocks < MIN_BLOCKS or resampled.size < 2:
        return Estimate(value)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(resampled, (tail, 100 - tail))
    return Estimate(value, float(low), float(high), float(resampled.std(ddof=1)))


def interval_section(frames: PerFrame, protocol: str) -> dict[str, Any]:
    """The section ``interval`` of metrics.json: the mean IoU of a protocol, how sure it is."""
    found = interval(frames, protocol)
    return {
        "protocol": protocol,
        "miou": found.miou.value,
        "low": found.miou.low,
        "high": found.miou.high,
        "level": LEVEL,
        "blocks": found.blocks,
    }


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
