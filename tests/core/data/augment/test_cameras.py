"""Changes of one camera's image: each does what it says and leaves the other camera alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sartm_core.data.augment import TrainingSample, augment
from tests.pairs import PLAIN, same_pattern

RGB = ("photometric", "darken", "overexpose", "blur")
THERMAL = ("thermal_gain", "thermal_clahe", "thermal_noise")


PAIR = same_pattern()


def sample(seed: int = 5, **changes: float) -> TrainingSample:
    return augment(*PAIR, replace(PLAIN, **changes), np.random.default_rng(seed))


@pytest.mark.parametrize("knob", RGB)
def test_rgb_changes_leave_thermal_and_label_alone(knob: str) -> None:
    plain, changed = sample(), sample(**{knob: 1.0})
    assert not np.array_equal(changed.rgb, plain.rgb)
    np.testing.assert_array_equal(changed.thermal, plain.thermal)
    np.testing.assert_array_equal(changed.label, plain.label)


@pytest.mark.parametrize("knob", THERMAL)
def test_thermal_changes_leave_rgb_and_label_alone(knob: str) -> None:
    plain, changed = sample(), sample(**{knob: 1.0})
    assert not np.array_equal(changed.thermal, plain.thermal)
    np.testing.assert_array_equal(changed.rgb, plain.rgb)
    np.testing.assert_array_equal(changed.label, plain.label)


@pytest.mark.parametrize("knob", [*RGB, *THERMAL])
def test_a_change_happens_at_its_probability(knob: str) -> None:
    image = "rgb" if knob in RGB else "thermal"
    changed = [
        not np.array_equal(vars(sample(seed, **{knob: 0.3}))[image], vars(sample(seed))[image])
        for seed in range(150)
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.12)


@pytest.mark.parametrize("seed", range(10))
def test_warm_stays_brighter_than_cold(seed: int) -> None:
    plain = sample(seed)
    changed = sample(seed, **dict.fromkeys(THERMAL, 1.0))
    assert np.corrcoef(plain.thermal.ravel(), changed.thermal.ravel())[0, 1] > 0.5


def test_exposure() -> None:
    plain = sample().rgb.mean()
    assert sample(darken=1.0).rgb.mean() < 0.6 * plain
    bright = sample(overexpose=1.0).rgb
    assert bright.mean() > 1.3 * plain
    assert (bright == 255).mean() > (sample().rgb == 255).mean() + 0.1


def test_blur_smooths() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (120, 160, 3), np.uint8)
    grey = noise[..., 0]
    config = replace(PLAIN, blur=1.0)
    for seed in range(5):
        blurred = augment(
            noise, grey, grey * 0 + 1, grey * 0, config, np.random.default_rng(seed)
        ).rgb
        assert blurred.std() < 0.9 * noise.std()
        assert blurred.mean() == pytest.approx(noise.mean(), abs=5)


def test_colour_jitter_is_a_matrix_on_the_colours() -> None:
    # Pixels of one colour stay of one colour, and grey stays between the darkest and the lightest.
    plain, changed = sample().rgb, sample(photometric=1.0).rgb
    assert len(np.unique(changed.reshape(-1, 3), axis=0)) <= len(
        np.unique(plain.reshape(-1, 3), axis=0)
    )
    order = np.argsort(plain[..., 0].ravel(), kind="stable")
    assert (np.diff(changed[..., 0].ravel()[order].astype(int)) >= 0).all()


def test_local_equalisation_raises_weak_contrast() -> None:
    rgb, thermal, valid, label = same_pattern()
    weak = 100 + thermal // 16
    config = replace(PLAIN, thermal_clahe=1.0)
    plain = augment(rgb, weak, valid, label, PLAIN, np.random.default_rng(1))
    equalised = augment(rgb, weak, valid, label, config, np.random.default_rng(1))
    assert equalised.thermal.std() > 1.2 * plain.thermal.std()


def test_noise_is_of_pixels_and_of_columns() -> None:
    rgb, thermal, valid, label = same_pattern()
    flat = np.full_like(thermal, 128)
    config = replace(PLAIN, thermal_noise=1.0)
    for seed in range(5):
        noisy = augment(rgb, flat, valid, label, config, np.random.default_rng(seed)).thermal
        noise = noisy.astype(float)
        assert abs(noise.mean() - 128) < 3
        # White noise would give rows and columns alike.
        assert noise.mean(axis=0).std() > 2 * noise.mean(axis=1).std()
        assert cv2.blur(noise, (9, 9)).std() < noise.std()
