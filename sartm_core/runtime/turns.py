"""Models timed in turns: what else the machine does then slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.evaluation.bootstrap import LEVEL, MIN_BLOCKS, RESAMPLES
from sartm_core.progress import progress
from sartm_core.runtime.onnxruntime import open_session

WARM_UP = 2
COUNTED = 3  # runs in a row, after one in which threads of the model before still spin
_DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}
_CHANNELS = range(1, 9)  # a dimension of these sizes is one of channels, not of pixels


class Timed(Protocol):
    """Something that takes time."""

    def run(self) -> None: ...


class TimedModel:
    """Any ONNX file with an input for each of its tensors.

    Args:
        path: of the file.
        threads: CPU threads.
        image_size: (height, width) of inputs whose size the file leaves open.
        ours: run it as :class:`~sartm_core.runtime.onnxruntime.OnnxRuntime` does; otherwise with
            ONNX Runtime's own settings, which suit a network with larger tensors better.

    Raises:
        SartmError: no such file, one that ONNX Runtime refuses or cannot run, or an input that
            cannot be made up.
    """

    def __init__(
        self, path: Path, threads: int, image_size: tuple[int, int], *, ours: bool = False
    ) -> None:
        if not path.is_file():
            raise SartmError("no such ONNX file", got=path)
        self.path = path
        self._session = open_session(path, threads, memory_pattern=not ours)
        noise = np.random.default_rng(0)
        self.feed = {
            tensor.name: _made_up(tensor, image_size, noise)
            for tensor in self._session.get_inputs()
        }
        with _explained(path):
            self.run()

    def run(self) -> None:
        """Compute all outputs once."""
        self._session.run(None, self.feed)


def time_in_turns(
    models: Sequence[Timed],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Milliseconds of each model, after a few rounds that do not count.

    Args:
        models: each runs four times in a row, of which three count, then it is the next one's turn.
        rounds: turns of each that count.
        clock: seconds.
    """
    times: list[list[float]] = [[] for _ in models]
    with progress("timing in turns", WARM_UP + rounds) as bar:
        for turn in range(WARM_UP + rounds):
            for model, taken in zip(models, times, strict=True):
                model.run()
                for _ in range(COUNTED):
                    start = clock()
                    model.run()
                    if turn >= WARM_UP:
                        taken.append(1e3 * (clock() - start))
            bar.advance()
    return times


def ratio_interval(
    ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0
) -> tuple[float, float] | None:
    """How sure the ratio of two medians of :func:`time_in_turns` is: rounds are drawn again, with
    all runs of both models in them, which keeps together what a busy moment slowed.

    Args:
        ours, theirs: times of two models of the same call.
        seed: of the resampling.

    Returns:
        Bounds of the percentile interval of level ``LEVEL``; None with fewer than ``MIN_BLOCKS``
        rounds.
    """
    pairs = np.stack([np.reshape(times, (-1, COUNTED)) for times in (ours, theirs)])  # [2,R,3]
    rounds = pairs.shape[1]
    if rounds < MIN_BLOCKS:
        return None
    drawn = np.random.default_rng(seed).integers(0, rounds, (RESAMPLES, rounds))
    medians = np.median(pairs[:, drawn].reshape(2, RESAMPLES, -1), axis=2)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(medians[0] / medians[1], (tail, 100 - tail))
    return float(low), float(high)


def _made_up(
    tensor: Any, image_size: tuple[int, int], noise: np.random.Generator
) -> npt.NDArray[np.generic]:
    """Random bytes for images of bytes; ones for the rest: a camera that is there, an index, or an
    image of floats, whose values do not change the time."""
    dtype = _DTYPES.get(tensor.type)
    if dtype is None:
        raise SartmError(
            f"cannot make up an input '{tensor.name}'",
            got=tensor.type,
            expected=", ".join(_DTYPES),
        )
    shape = _shape(tensor, image_size)
    return noise.integers(0, 256, shape, np.uint8) if dtype == np.uint8 else np.ones(shape, dtype)


def _shape(tensor: Any, image_size: tuple[int, int]) -> list[int]:
    """The shape of an input; a batch that is left open has one image, an image that is left open
    has the given size."""
    shape = list(tensor.shape)
    if shape and not isinstance(shape[0], int):
        shape[0] = 1
    if len(shape) in (3, 4) and not all(isinstance(side, int) for side in shape[1:]):
        last = len(shape) == 4 and shape[-1] in _CHANNELS
        pixels = slice(1, 3) if last else slice(-2, None)
        shape[pixels] = [
            side if isinstance(side, int) else wanted
            for side, wanted in zip(shape[pixels], image_size, strict=True)
        ]
    if not all(isinstance(side, int) for side in shape):
        raise SartmError(
            f"input '{tensor.name}' has a size that the file leaves open",
            got=tensor.shape,
            expected="numbers, except for the batch, the height and the width of an image",
            remedy="export the file with fixed shapes",
        )
    return shape


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        yield
    except (
        state.Fail,
        state.InvalidArgument,
        state.RuntimeException,
        state.NotImplemented,
    ) as error:
        raise SartmError(
            f"ONNX Runtime cannot run {path}",
            got=error,
            remedy="export the file with fixed shapes; its inputs were made up from what it says",
        ) from error
