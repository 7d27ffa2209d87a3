"""A stream that repeats an image: told from shutter events, and proven on every byte."""

from __future__ import annotations

import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.errors import SartmError
from sartm_core.freeze import FreezeCounters, FreezeDetector

MS = 1_000_000


def image(number: int, shape: tuple[int, ...] = (48, 64), dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 250, shape).astype(dtype)


def play(detector: FreezeDetector, numbers: str, period_ms: int = 100) -> list[bool]:
    """Each letter is an image; equal letters have equal bytes in different memory."""
    return [
        detector.add(image(ord(letter)), index * period_ms * MS)
        for index, letter in enumerate(numbers)
    ]


def test_a_live_stream_is_never_frozen() -> None:
    detector = FreezeDetector()
    assert not any(play(detector, "abcdefghijklmnopqrstuvwxyz"))
    assert detector.repeats_since_ns is None
    assert detector.counters == FreezeCounters(images=26)


def test_a_freeze_is_told_after_freeze_s_and_ends_with_the_next_new_image() -> None:
    detector = FreezeDetector(1.5)
    told = play(detector, "ab" + 20 * "c")
    assert told.index(True) == 2 + 15
    assert all(told[17:])
    assert detector.repeats_since_ns == 200 * MS
    assert detector.repeated_ns == 1900 * MS
    assert detector.counters == FreezeCounters(images=22, repeated=19, freezes=1)
    assert not detector.add(image(0), 2200 * MS)
    assert not detector.frozen
    assert detector.repeats_since_ns is None
    assert detector.counters.shutter_events == 0, "it was no shutter event"


def test_a_shutter_event_is_counted_as_one() -> None:
    detector = FreezeDetector()
    assert not any(play(detector, "ab" + 9 * "c" + "def" + 4 * "g" + "h"))
    assert detector.counters == FreezeCounters(images=19, repeated=11, shutter_events=2)


def test_a_driver_that_sends_each_image_thrice_has_no_shutter_events() -> None:
    detector = FreezeDetector()
    assert not any(play(detector, "aaabbbcccdddeeefff", period_ms=37))
    assert detector.counters == FreezeCounters(images=18, repeated=12)


def test_two_freezes_are_two() -> None:
    detector = FreezeDetector(0.5)
    play(detector, 10 * "a" + 10 * "b" + "c")
    assert detector.counters.freezes == 2


def test_after_a_step_back_in_time_the_duration_counts_anew() -> None:
    detector = FreezeDetector()
    same = image(1)
    assert not detector.add(same, 10_000 * MS)
    assert not detector.add(same.copy(), 11_000 * MS)
    assert not detector.add(same.copy(), 500 * MS)
    assert not detector.add(same.copy(), 1_900 * MS)
    assert detector.add(same.copy(), 2_000 * MS)


def test_a_new_subscription_starts_anew() -> None:
    detector = FreezeDetector()
    detector.add(image(1), 0)
    detector.reset()
    assert not detector.add(image(1), 10_000 * MS)
    assert detector.counters.repeated == 0


def test_the_limit_may_be_changed_while_it_runs() -> None:
    detector = FreezeDetector(10.0)
    play(detector, 20 * "a")
    assert not detector.frozen
    detector.freeze_s = 1.0
    assert detector.frozen
    with pytest.raises(SartmError, match="freeze_s must be above 0"):
        detector.freeze_s = 0.0


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((48, 64), np.uint8),
        ((480, 640), np.uint16),
        ((48, 64), np.float32),
        ((480, 640, 3), np.uint8),
        ((300_001,), np.uint8),
        ((1, 1), np.uint8),
    ],
)
def test_a_single_changed_byte_anywhere_is_a_new_image(shape: tuple[int, ...], dtype: type) -> None:
    first = image(1, shape, dtype)
    for place in {0, first.nbytes // 3, first.nbytes - 1}:
        second = first.copy()
        second.reshape(-1).view(np.uint8)[place] ^= 1
        detector = FreezeDetector(0.001)
        detector.add(first, 0)
        assert not detector.add(second, 10 * MS)
        assert detector.add(second.copy(), 20 * MS)


def test_messages_arrays_with_padding_and_nan_are_compared_too() -> None:
    data = array.array("B", bytes(range(200)))
    for one, other in (
        (data, array.array("B", data)),
        (bytes(data), bytearray(data)),
        (image(1, (20, 40))[:, :30], image(1, (20, 40))[:, :30]),
        (np.full((4, 4), np.nan, np.float32), np.full((4, 4), np.nan, np.float32)),
    ):
        detector = FreezeDetector(0.001)
        assert not detector.add(one, 0)
        assert detector.add(other, 10 * MS)


def test_another_size_or_depth_is_another_image() -> None:
    detector = FreezeDetector(0.001)
    zeros = np.zeros((4, 4), np.uint8)
    detector.add(zeros, 0)
    assert not detector.add(zeros.reshape(2, 8), 10 * MS)
    assert not detector.add(np.zeros((2, 8), np.uint16), 20 * MS)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 400)), min_size=1, max_size=60),
    st.integers(1, 30),
)
def test_the_account_fits_a_plain_reckoning(stream: list[tuple[int, int]], freeze_ds: int) -> None:
    """Against the runs of equal numbers, by hand."""
    detector = FreezeDetector(freeze_ds / 10)
    now, told = 0, []
    arrivals: list[tuple[int, int]] = []
    for number, gap_ms in stream:
        now += gap_ms
        arrivals.append((number, now))
        told.append(detector.add(np.full((3, 3), number, np.uint8), now * MS))
    runs: list[list[int]] = []
    for index, (number, at) in enumerate(arrivals):
        if index and arrivals[index - 1][0] == number:
            runs[-1].append(at)
        else:
            runs.append([at])
    limit = 100 * freeze_ds
    assert told == [at - run[0] >= limit for run in runs for at in run]
    lasted = [run[-1] - run[0] for run in runs]
    assert detector.counters == FreezeCounters(
        images=len(stream),
        repeated=len(stream) - len(runs),
        shutter_events=sum(200 <= duration < limit for duration in lasted[:-1]),
        freezes=sum(duration >= limit for duration in lasted),
    )
