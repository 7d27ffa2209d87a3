"""Clock offsets that were planted, found again; and silence where nothing can be known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.errors import BadImageError, SartmError
from sartm_core.image_motion import HEIGHT, WIDTH, shift, thumbnail
from sartm_core.time_offset import MAX_IMAGES, TimeOffset, TimeOffsetEstimator
from tests.shaky_camera import SECOND, START_NS, ShakyCamera, feed


def estimate(camera: ShakyCamera, **how: object) -> TimeOffset:
    estimator = TimeOffsetEstimator()
    feed(estimator, camera, camera, **how)  # type: ignore[arg-type]
    found = estimator.estimate()
    assert found is not None, estimator.unsure_because
    assert estimator.unsure_because == ""
    return found


@pytest.mark.parametrize("offset_s", [-0.12, 0.0, 0.04, 0.25])
def test_a_planted_offset_is_found(offset_s: float) -> None:
    found = estimate(ShakyCamera(3), offset_s=offset_s)
    assert abs(found.offset_s - offset_s) < 0.005
    assert found.low_s < offset_s < found.high_s
    assert found.correlation > 0.9
    assert found.intervals > 80


@given(
    offset_s=st.floats(-0.45, 0.45),
    seed=st.integers(0, 1000),
    rates=st.sampled_from([(30.0, 9.0), (15.0, 9.0), (10.0, 10.0), (10.0, 30.0)]),
    drop=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=8, deadline=None)
def test_any_offset_is_found_at_any_rates(
    offset_s: float, seed: int, rates: tuple[float, float], drop: float
) -> None:
    found = estimate(ShakyCamera(seed), offset_s=offset_s, rates=rates, drop=drop)
    assert abs(found.offset_s - offset_s) < 0.01
    assert found.low_s < offset_s < found.high_s


@pytest.mark.parametrize(
    ("rgb", "thermal", "reason"),
    [
        # Two robots.
        (ShakyCamera(1), ShakyCamera(2), "no motion that both cameras see"),
        # Standing still: only noise.
        (ShakyCamera(1, shake=0), ShakyCamera(1, shake=0), "no motion that both cameras see"),
        # Night: RGB sees nothing.
        (ShakyCamera(1, brightness=0), ShakyCamera(1), "no motion that both cameras see"),
        # Steps of a walking robot: one step earlier fits as well.
        (ShakyCamera(1, period_s=0.4), ShakyCamera(1, period_s=0.4), "fit alike"),
    ],
)
def test_nothing_is_claimed_where_nothing_can_be_known(
    rgb: ShakyCamera, thermal: ShakyCamera, reason: str
) -> None:
    estimator = TimeOffsetEstimator()
    feed(estimator, rgb, thermal)
    assert estimator.estimate() is None
    assert reason in estimator.unsure_because


def test_too_few_images_tell_nothing() -> None:
    estimator = TimeOffsetEstimator()
    assert estimator.estimate() is None
    camera = ShakyCamera(0)
    feed(estimator, camera, camera, seconds=3)
    assert estimator.estimate() is None
    assert "too few usable images" in estimator.unsure_because


def test_an_offset_beyond_the_range_is_not_taken_for_another() -> None:
    estimator, camera = TimeOffsetEstimator(), ShakyCamera(0)
    feed(estimator, camera, camera, offset_s=0.9)
    assert estimator.estimate() is None
    wider = TimeOffsetEstimator(max_offset_s=1.2)
    feed(wider, camera, camera, offset_s=0.9)
    found = wider.estimate()
    assert found is not None
    assert abs(found.offset_s - 0.9) < 0.01


def test_a_clock_that_is_set_in_between_is_noticed() -> None:
    """Half of the images say one thing, half the other."""
    estimator, camera = TimeOffsetEstimator(), ShakyCamera(0)
    for number in range(14 * 30):
        time_s = 1 + number / 30
        estimator.add_rgb(camera.rgb(time_s), START_NS + round(time_s * SECOND))
    for number in range(14 * 9):
        time_s = 1 + number / 9
        stamp = START_NS + round((time_s - (0.0 if number < 63 else 0.2)) * SECOND)
        estimator.add_thermal(camera.thermal(time_s), stamp)
    assert estimator.estimate() is None
    assert "half" in estimator.unsure_because or "fit alike" in estimator.unsure_because


def test_a_bag_loop_starts_anew_and_memory_stays_bounded() -> None:
    estimator, camera = TimeOffsetEstimator(window_s=10), ShakyCamera(0)
    for offset_s in (0.2, -0.1, 0.04):  # the stamps jump back twice
        feed(estimator, camera, camera, offset_s=offset_s, seconds=9)
    found = estimator.estimate()
    assert found is not None
    assert abs(found.offset_s - 0.04) < 0.005
    assert found.intervals <= 81

    picture = camera.rgb(1.0)
    sizes = []
    for number in range(2 * MAX_IMAGES):  # a driver whose clock stands nearly still
        estimator.add_rgb(picture, START_NS + 100 * SECOND + number)
        if number in (MAX_IMAGES, 2 * MAX_IMAGES - 1):
            sizes.append(len(pickle.dumps(estimator)))
    assert abs(sizes[1] - sizes[0]) < 1000


def test_reordered_repeated_and_unusable_images_are_left_out() -> None:
    plain, disturbed, camera = TimeOffsetEstimator(), TimeOffsetEstimator(), ShakyCamera(5)
    feed(plain, camera, camera, seconds=8)
    feed(disturbed, ShakyCamera(5), ShakyCamera(5), seconds=8)
    last = START_NS + 8 * SECOND
    disturbed.add_rgb(camera.rgb(3.0), last)  # 0.9 s back: reordered
    disturbed.add_thermal(np.full((72, 96), np.nan, np.float32), last + 2 * SECOND)
    disturbed.add_thermal(np.zeros((72, 96), np.uint16), last + 2 * SECOND)
    first, second = plain.estimate(), disturbed.estimate()
    assert first is not None
    assert second is not None
    assert abs(first.offset_s - second.offset_s) < 0.005


def test_wrong_use_is_refused() -> None:
    with pytest.raises(SartmError, match="a quarter of the window"):
        TimeOffsetEstimator(max_offset_s=20)
    with pytest.raises(BadImageError):
        TimeOffsetEstimator().add_rgb(np.zeros((0, 4, 3), np.uint8), 1)


@given(
    right=st.floats(-2.5, 2.5),
    down=st.floats(-2.5, 2.5),
    gain=st.floats(0.2, 3.0),
    offset=st.floats(-50, 3000),
)
@settings(max_examples=30, deadline=None)
def test_shift_of_a_thumbnail(right: float, down: float, gain: float, offset: float) -> None:
    """Gain, offset and bit depth of the two pictures do not matter."""
    y, x = np.mgrid[: 2 * HEIGHT, : 2 * WIDTH].astype(np.float64)

    def picture(dx: float, dy: float) -> np.ndarray:
        u, v = x - 2 * dx, y - 2 * dy
        return np.sin(u / 7) + np.sin(v / 5 + u / 11) + np.cos(v / 9) + np.sin((u - v) / 13)

    first = thumbnail((1000 * picture(0, 0) + 9000).astype(np.uint16))
    second = thumbnail((gain * picture(right, down) + offset).astype(np.float32))
    assert first is not None
    assert second is not None
    assert shift(first, second) == pytest.approx((right, down), abs=0.12)
