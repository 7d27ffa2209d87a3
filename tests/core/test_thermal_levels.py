"""Levels that follow the scene over time, by stamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.errors import SartmError
from sartm_core.segmenter import load
from sartm_core.thermal import ThermalSpec, normalise
from sartm_core.thermal_levels import Levels, LevelSmoothing

SECOND = 1_000_000_000
CONTRACTS = ("agc8", "raw16", "kelvin")


def picture(contract: str, warmer: float = 0.0) -> np.ndarray:
    """A gradient of 20 K with a warm spot, in each contract's numbers."""
    y, x = np.mgrid[:60, :80]
    kelvin = 285 + 20 * x / 80 + 8 * np.exp(-((x - 30) ** 2 + (y - 30) ** 2) / 60) + warmer
    if contract == "agc8":
        return (4 * (kelvin - 275)).clip(0, 255).astype(np.uint8)
    if contract == "raw16":
        return (100 * kelvin).astype(np.uint16)
    return kelvin.astype(np.float32)


def shown(contract: str, smoothing: LevelSmoothing, warmer: float, time_s: float) -> np.ndarray:
    stamp = round(time_s * SECOND)
    return normalise(picture(contract, warmer), smoothing=smoothing, stamp_ns=stamp)


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("warmer", [0.0, 3.3])
def test_a_still_scene_looks_the_same_as_without(contract: str, warmer: float) -> None:
    smoothing = LevelSmoothing(1.0)
    for number in range(4):
        smoothed = shown(contract, smoothing, warmer, number / 9)
        assert np.array_equal(smoothed, normalise(picture(contract, warmer)))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_step_is_followed_to_63_percent_in_the_time_constant(contract: str) -> None:
    """The scene warms by 6 K at once: brighter at first, and back to its own levels in time."""
    smoothing = LevelSmoothing(1.0)
    own = shown(contract, smoothing, 0.0, 0.0).mean()
    first = shown(contract, smoothing, 6.0, 0.01).mean() - own
    later = shown(contract, smoothing, 6.0, 1.01).mean() - own
    settled = [shown(contract, smoothing, 6.0, 1.01 + t).mean() for t in (1.5, 3.0, 4.5, 6.0)]
    assert first > 40
    assert 0.2 < later / first < 0.5
    assert abs(settled[-1] - own) < 2


def test_the_rate_has_no_say() -> None:
    """Smoothed at 30 Hz or at 5 Hz, the levels are the same at the same time."""
    ends = []
    for rate in (30, 5):
        smoothing = LevelSmoothing(0.8)
        smoothing.follow(Levels(0, 0, 0), 0, None)
        levels = Levels(0, 0, 0)
        for number in range(1, 2 * rate + 1):
            levels = smoothing.follow(Levels(10, 20, 30), number * SECOND // rate, None)
        ends.append(levels)
    assert ends[0].high == pytest.approx(ends[1].high)
    assert ends[0].high == pytest.approx(30 * (1 - np.exp(-2 / 0.8)))


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1.9)),
        min_size=2,
        max_size=20,
    ),
    smoothing_s=st.floats(0.01, 100),
)
@settings(deadline=None)
def test_levels_stay_in_order_and_within_what_was_seen(
    steps: list[tuple[float, float, float, float]], smoothing_s: float
) -> None:
    smoothing, now = LevelSmoothing(smoothing_s), 0.0
    seen = [sorted(step[:3]) for step in steps]
    for own, step in zip(seen, steps, strict=True):
        now += step[3]
        levels = smoothing.follow(Levels(*own), round(now * SECOND), "agc8")
        assert levels.low <= levels.median + 1e-9 <= levels.high + 2e-9
    for name, values in zip(("low", "median", "high"), zip(*seen, strict=True), strict=True):
        assert min(values) - 1e-9 <= getattr(levels, name) <= max(values) + 1e-9


@pytest.mark.parametrize(
    ("stamp_s", "meaning", "fresh"),
    [
        (10.2, "counts", False),
        (10.0, "counts", False),  # the same image for another RGB image
        (11.9, "counts", False),  # a shutter event
        (12.1, "counts", True),  # a gap
        (9.9, "counts", True),  # a jump back
        (10.2, "kelvin", True),  # other numbers
    ],
)
def test_it_starts_anew_where_the_past_says_nothing(
    stamp_s: float, meaning: str, fresh: bool
) -> None:
    smoothing = LevelSmoothing(1.0)
    smoothing.follow(Levels(0, 10, 20), 10 * SECOND, "counts")
    now = Levels(100, 110, 120)
    assert (smoothing.follow(now, round(stamp_s * SECOND), meaning) == now) is fresh


def test_a_repeated_image_changes_nothing() -> None:
    smoothing = LevelSmoothing(1.0)
    shown("raw16", smoothing, 0.0, 1.0)
    first = shown("raw16", smoothing, 5.0, 1.1)
    assert np.array_equal(shown("raw16", smoothing, 5.0, 1.1), first)
    assert not np.array_equal(normalise(picture("raw16", 5.0)), first)


def test_a_fixed_window_is_not_touched() -> None:
    spec, smoothing = ThermalSpec("raw16", 0.01, window=(280.0, 320.0)), LevelSmoothing(1.0)
    normalise(picture("raw16"), spec, smoothing=smoothing, stamp_ns=SECOND)
    warm = normalise(picture("raw16", 5.0), spec, smoothing=smoothing, stamp_ns=SECOND + 1)
    assert np.array_equal(warm, normalise(picture("raw16", 5.0), spec))


def test_nothing_valid_leaves_the_levels_alone() -> None:
    smoothing = LevelSmoothing(1.0)
    before = shown("agc8", smoothing, 0.0, 1.0)
    nothing = np.zeros((60, 80), np.uint8)
    black = normalise(picture("agc8", 9), valid=nothing, smoothing=smoothing, stamp_ns=SECOND)
    assert not black.any()
    assert np.array_equal(shown("agc8", smoothing, 0.0, 1.0), before)


def test_no_smoothing_is_no_object() -> None:
    with pytest.raises(SartmError, match="above 0"):
        LevelSmoothing(0.0)


def test_the_segmenter_hands_it_through(tiny_bundle: Path) -> None:
    """The tiny model sees a person where thermal is bright."""
    rgb = np.zeros((60, 80, 3), np.uint8)
    smoothing = LevelSmoothing(1.0)
    with load(tiny_bundle) as segment:
        segment(rgb, picture("raw16"), smoothing=smoothing, thermal_stamp_ns=SECOND)
        warm = picture("raw16", 8.0)
        plain = segment(rgb, warm)
        smoothed = segment(rgb, warm, smoothing=smoothing, thermal_stamp_ns=SECOND + 1)
    assert (smoothed.mask == 2).sum() > (plain.mask == 2).sum() + 100
