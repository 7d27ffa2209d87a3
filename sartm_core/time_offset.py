"""The clock offset between two cameras, from the motion that both see.

Each stream is reduced to three numbers per image: how far the picture has moved right and down
since the last one, and how much it has changed. Summed up they are curves over time, so that the
motion of the slower camera between two of its images can be compared with that of the faster one
over the same interval, moved by any lag. Where the two agree best is the offset; how fast they come
to disagree beside it tells how well it is known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.image_motion import Thumbnail, change, shift, thumbnail

SECOND = 1_000_000_000
STEP_S = 0.01
"""Between the lags that are tried."""
MIN_INTERVALS = 40
"""Of the slower camera, fewer tell nothing: 4.5 s at 9 Hz."""
MAX_IMAGES = 4096
"""Hard limit per stream, whatever the stamps say."""

_JUMP_BACK_NS = SECOND  # less is reordering
_SMOOTH_S = 1.0  # slower motion tells nothing about 10 ms, and differs between the cameras
_OUTLIER = 4.0  # robust standard deviations
_MIN_EVIDENCE = 25.0  # log-likelihood above that of a typical lag; noise alone reaches 10
_MIN_CORRELATION = 0.5
_MAX_DISAGREEMENT_S = 0.06  # of each half of the images with the whole
# A second peak that is less than this below the best one, in likelihood and as a share of the
# evidence, makes the answer ambiguous.
_RIVAL, _RIVAL_SHARE = 6.0, 0.3
_MAX_HALF_WIDTH_S = 0.03
_SYSTEMATIC_S = 0.005  # what exposure, rolling shutter and different views do to it
_OVERCONFIDENCE = 2.0  # of the likelihood, measured with planted offsets
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TimeOffset:
    """An estimate.

    Attributes:
        offset_s: what has to be added to thermal stamps, as ``sync.thermal_offset_s``: positive
            where thermal stamps are behind.
        low_s, high_s: 95 % interval.
        correlation: of the two cameras' motion at this offset, 0..1, the best of the three kinds.
        intervals: of the slower camera that were compared.
    """

    offset_s: float
    low_s: float
    high_s: float
    correlation: float
    intervals: int


class TimeOffsetEstimator:
    """Takes small pictures of both cameras as they come and tells their clock offset.

    ``add_rgb`` and ``add_thermal`` cost well below a millisecond, ``estimate`` some tens: call it
    every few seconds. Both cameras must look the same way and the same way up (after
    ``thermal.rotate`` and ``thermal.flip``); fields of view may differ. Not thread safe.

    Args:
        max_offset_s: offsets up to this are looked for. Motion that repeats within twice that, like
            steps of a walking robot, leaves the answer ambiguous, and there is none then.
        window_s: images older than this are forgotten.
    """

    def __init__(self, *, max_offset_s: float = 0.6, window_s: float = 60.0) -> None:
        if not 0 < max_offset_s <= window_s / 4:
            raise SartmError(
                "bad largest time offset",
                got=f"{max_offset_s} s",
                expected=f"above 0, at most {window_s / 4:g} s, a quarter of the window",
            )
        self._max_offset_s = max_offset_s
        self._rgb = _Track(window_s)
        self._thermal = _Track(window_s)
        self.unsure_because = "no images yet"
        """Why the last ``estimate`` gave none; empty after one that did."""

    def add_rgb(self, image: npt.NDArray[Any], stamp_ns: int) -> None:
        """Take an RGB image, HxWx3 uint8, with its stamp as it came."""
        self._rgb.add(image, stamp_ns)

    def add_thermal(self, image: npt.NDArray[Any], stamp_ns: int) -> None:
        """Take a thermal image, HxW of any dtype, with its stamp as it came."""
        self._thermal.add(image, stamp_ns)

    def estimate(self) -> TimeOffset | None:
        """The offset, or None when it cannot be told; ``unsure_because`` says why."""
        result = self._estimate()
        self.unsure_because = result if isinstance(result, str) else ""
        return None if isinstance(result, str) else result

    def _estimate(self) -> TimeOffset | str:
        if min(len(self._rgb), len(self._thermal)) <= MIN_INTERVALS:
            return (
                f"too few usable images: {len(self._rgb)} RGB, {len(self._thermal)} thermal, "
                f"more than {MIN_INTERVALS} of each are needed"
            )
        start_ns = self._rgb.newest_ns
        rgb, thermal = self._rgb.curves(start_ns), self._thermal.curves(start_ns)
        lags = np.arange(-self._max_offset_s, self._max_offset_s + STEP_S / 2, STEP_S)
        # RGB time = thermal time + offset.
        if rgb.period_s <= thermal.period_s:
            compared = _compare(thermal, rgb, lags)
        else:
            compared = _compare(rgb, thermal, -lags)
        if isinstance(compared, str):
            return compared
        return _judge(lags, compared)


class _Track:
    """One camera: its motion summed up at each of its images."""

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(window_s * SECOND)
        self._last: Thumbnail | None = None
        self._rows: deque[tuple[int, float, float, float]] = deque(maxlen=MAX_IMAGES)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def newest_ns(self) -> int:
        return self._rows[-1][0]

    def add(self, image: npt.NDArray[Any], stamp_ns: int) -> None:
        picture = thumbnail(image)
        if picture is None:
            return
        if self._rows and stamp_ns < self.newest_ns - _JUMP_BACK_NS:
            self._rows.clear()
        if not self._rows or self._last is None:
            self._rows.append((stamp_ns, 0.0, 0.0, 0.0))
        elif stamp_ns <= self.newest_ns:
            return  # reordered or repeated
        else:
            _, right, down, changed = self._rows[-1]
            dx, dy = shift(self._last, picture)
            changed += change(self._last, picture)
            self._rows.append((stamp_ns, right + dx, down + dy, changed))
        self._last = picture
        while self._rows[0][0] < stamp_ns - self._window_ns:
            self._rows.popleft()

    def curves(self, start_ns: int) -> _Curves:
        times = np.array([row[0] - start_ns for row in self._rows], np.float64) / SECOND
        return _Curves(times, np.array([row[1:] for row in self._rows], np.float64).T)


class _Curves:
    """``sums`` [3, n] at ``times`` [n], and how many gaps there have been up to each."""

    def __init__(self, times: _Floats, sums: _Floats) -> None:
        self.times = times
        self.sums = sums
        intervals = np.diff(times)
        self.period_s = float(np.median(intervals))
        gaps = intervals > 3 * self.period_s
        self.gaps = np.concatenate(((0,), np.cumsum(gaps)))

    def at(self, times: _Floats) -> _Floats:
        """The sums [3, ...] at any times."""
        return np.stack([np.interp(times, self.times, values) for values in self.sums])

    def covers(self, begins: _Floats, ends: _Floats) -> npt.NDArray[np.bool_]:
        """Which intervals lie inside the recording and have no gap in them."""
        first = np.searchsorted(self.times, begins, side="right") - 1
        last = np.searchsorted(self.times, ends)
        inside = (first >= 0) & (last < len(self.times))
        last = np.minimum(last, len(self.times) - 1)
        return np.asarray(inside & (self.gaps[np.maximum(first, 0)] == self.gaps[last]), np.bool_)


class _Comparison(NamedTuple):
    """Log-likelihood [lags] of all intervals and of each half, correlation [3, lags]."""

    likelihood: _Floats
    halves: list[_Floats]
    correlation: _Floats
    intervals: int


def _compare(slow: _Curves, fast: _Curves, lags: _Floats) -> _Comparison | str:
    """The motion in the slow camera's intervals against that of the fast one.

    ``lags`` are added to the slow camera's times. Every lag is judged by the same intervals.
    """
    begins, ends = slow.times[:-1], slow.times[1:]
    moved_begins, moved_ends = begins + lags[:, None], ends + lags[:, None]
    usable = slow.covers(begins, ends) & fast.covers(moved_begins, moved_ends).all(axis=0)
    count = int(usable.sum())
    if count < MIN_INTERVALS:
        return (
            f"too few images of both cameras at the same time: {count} usable intervals, "
            f"{MIN_INTERVALS} are needed"
        )
    lengths = (ends - begins)[usable]
    near = max(1, round(_SMOOTH_S / 2 / slow.period_s))
    own = _quick_part(np.diff(slow.sums)[:, usable] / lengths, near)
    other = fast.at(moved_ends[:, usable]) - fast.at(moved_begins[:, usable])
    other = _quick_part(other / lengths, near)
    likelihood, correlation = _agreement(own, other)
    half = count // 2
    halves = [
        _agreement(own[:, part], other[:, :, part])[0] for part in (slice(half), slice(half, None))
    ]
    return _Comparison(likelihood, halves, correlation, count)


def _agreement(own: _Floats, other: _Floats) -> tuple[_Floats, _Floats]:
    """Log-likelihood [lags] and correlation [3, lags] of ``own`` [3, n] given ``other``."""
    power = np.sqrt((own**2).sum(-1)[:, None] * (other**2).sum(-1))
    correlation = np.einsum("ckn,cn->ck", other, own) / np.maximum(power, 1e-12)
    likelihood = np.zeros(correlation.shape[1])
    for one, others, found in zip(own, other, correlation, strict=True):
        independent = len(one) * _independence(one, others[int(found.argmax())])
        likelihood -= 0.5 * independent * np.log1p(-(np.clip(found, 0.0, 0.9995) ** 2))
    return likelihood, correlation


def _quick_part(rates: _Floats, near: int) -> _Floats:
    """``rates`` [..., n] less their mean over ``near`` neighbours on each side; outliers capped."""
    length = rates.shape[-1]
    sums = np.concatenate((np.zeros((*rates.shape[:-1], 1)), np.cumsum(rates, -1)), -1)
    first = np.maximum(np.arange(length) - near, 0)
    last = np.minimum(np.arange(length) + near + 1, length)
    quick = rates - (sums[..., last] - sums[..., first]) / (last - first)
    limit = _OUTLIER * 1.4826 * np.median(np.abs(quick), -1, keepdims=True)
    return np.asarray(np.clip(quick, -limit, limit))


def _independence(one: _Floats, other: _Floats) -> float:
    """Share of the intervals that count: what is left unexplained is alike from one to the next."""
    rest = one - other * (other @ one) / max(float(other @ other), 1e-12)
    alike = float(rest[1:] @ rest[:-1]) / max(float(rest @ rest), 1e-12)
    return min(max((1 - alike) / (1 + alike), 0.2), 1.0)


def _judge(lags: _Floats, compared: _Comparison) -> TimeOffset | str:
    likelihood = compared.likelihood
    best = int(likelihood.argmax())
    evidence = float(likelihood[best] - np.median(likelihood))
    correlation = float(compared.correlation[:, best].max())
    if evidence < _MIN_EVIDENCE or correlation < _MIN_CORRELATION:
        return (
            "no motion that both cameras see (standing still, darkness, or views that differ): "
            f"evidence {evidence:.0f} of {_MIN_EVIDENCE:.0f}, correlation {correlation:.2f} of "
            f"{_MIN_CORRELATION} needed"
        )
    if best in (0, len(lags) - 1):
        return f"the offset may be beyond {abs(lags[-1]):g} s, the largest that is looked for"
    likely = np.flatnonzero(likelihood > likelihood[best] - max(_RIVAL, _RIVAL_SHARE * evidence))
    if likely[-1] - likely[0] >= len(likely):
        return (
            f"several offsets from {lags[likely].min():.2f} to {lags[likely].max():.2f} s fit "
            "alike: motion that repeats itself, or too little of it"
        )
    early, late = (float(lags[half.argmax()]) for half in compared.halves)
    if max(abs(early - lags[best]), abs(late - lags[best])) > _MAX_DISAGREEMENT_S:
        return f"the first half of the images says {early:.2f} s, the second {late:.2f} s"
    before, at, after = likelihood[best - 1 : best + 2]
    curvature = max(2 * at - before - after, 1e-9) / STEP_S**2
    offset = float(lags[best] + (after - before) / (2 * STEP_S * curvature))
    half = 1.96 * float(np.hypot(_OVERCONFIDENCE * curvature**-0.5, _SYSTEMATIC_S))
    if half > _MAX_HALF_WIDTH_S:
        return f"too little motion: known to {1e3 * half:.0f} ms only"
    return TimeOffset(
        offset_s=offset,
        low_s=offset - half,
        high_s=offset + half,
        correlation=correlation,
        intervals=compared.intervals,
    )
