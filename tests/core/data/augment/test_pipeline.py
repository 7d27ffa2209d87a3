"""A whole sample: what stays together, what is repeatable, which cameras are there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sartm_core.data.augment import AugmentConfig, TrainingSample, augment
from sartm_core.errors import SartmError
from tests.pairs import PLAIN, blocks

DEFAULT = AugmentConfig(crop_height=64, crop_width=96)
EVERYTHING = replace(
    DEFAULT, rotation=20, perspective=0.1, overexpose=0.5, blur=0.5, thermal_clahe=0.5,
    thermal_noise=0.5, thermal_homography=4, narrow_view=0.5, masking=0.5,
)  # fmt: skip


def sample(config: AugmentConfig, seed: int = 0, modalities: str = "rgb+thermal") -> TrainingSample:
    return augment(*blocks(), config, np.random.default_rng(seed), modalities=modalities)


@pytest.mark.parametrize("config", [DEFAULT, EVERYTHING], ids=["default", "everything"])
def test_same_generator_gives_the_same_bytes(config: AugmentConfig) -> None:
    first, again, other = sample(config, 1), sample(config, 1), sample(config, 2)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert not np.array_equal(first.rgb, other.rgb)


def test_global_random_state_plays_no_part() -> None:
    np.random.seed(0)  # noqa: NPY002
    first = sample(EVERYTHING, 1)
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first.rgb, sample(EVERYTHING, 1).rgb)


def test_the_frame_is_left_as_it_was() -> None:
    pair, copy = blocks(), blocks()
    for seed in range(5):
        augment(*pair, EVERYTHING, np.random.default_rng(seed))
    for image, expected in zip(pair, copy, strict=True):
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.4, 1.4)])
def test_shapes_and_dtypes(scale: tuple[float, float]) -> None:
    result = sample(replace(EVERYTHING, scale=scale))
    assert result.rgb.shape == (64, 96, 3)
    for image in (result.rgb, result.thermal, result.thermal_valid, result.label, result.hidden):
        assert image.shape[:2] == (64, 96)
        assert image.dtype == np.uint8
    assert result.present.dtype == np.float32


def test_thermal_is_zero_where_it_is_not_valid() -> None:
    rgb, thermal, valid, label = blocks()
    config = replace(EVERYTHING, narrow_view=1.0)
    for seed in range(5):
        result = augment(rgb, thermal + 10, valid, label, config, np.random.default_rng(seed))
        assert 0 < result.thermal_valid.mean() < 1
        assert not result.thermal[result.thermal_valid == 0].any()
        assert set(np.unique(result.thermal_valid)) == {0, 1}


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        ("rgb", {(1.0, 0.0)}),
        ("thermal", {(0.0, 1.0)}),
        ("rgb+thermal", {(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)}),  # never without both
    ],
)
def test_cameras_that_are_present(modalities: str, expected: set[tuple[float, float]]) -> None:
    config = replace(PLAIN, drop_rgb=0.3, drop_thermal=0.3)
    found = {tuple(sample(config, seed, modalities).present.tolist()) for seed in range(40)}
    assert found == expected


def test_cameras_are_dropped_at_the_rates_of_the_configuration() -> None:
    config = replace(PLAIN, drop_rgb=0.3, drop_thermal=0.1)
    present = np.stack([sample(config, seed).present for seed in range(1000)])
    assert (present[:, 0] == 0).mean() == pytest.approx(0.3, abs=0.05)
    assert (present[:, 1] == 0).mean() == pytest.approx(0.1, abs=0.04)


def test_a_dropped_camera_is_still_in_the_sample() -> None:
    # A loss may compare the dropped view with the whole pair.
    whole = sample(PLAIN)
    dropped = sample(replace(PLAIN, drop_rgb=1.0))
    assert dropped.present.tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(dropped.rgb, whole.rgb)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_width": 100}, "divisible by 32"),
        ({"crop_height": 0}, "divisible by 32"),
        ({"scale": (1.4, 0.5)}, "low <= high"),
        ({"drop_rgb": 0.6, "drop_thermal": 0.6}, "at most 1"),
        ({"rotation": 60}, r"augment\.rotation .* 60.* 0 to 45 degrees"),
        ({"perspective": -0.1}, r"augment\.perspective .* -0\.1"),
        ({"thermal_homography": 1000}, r"augment\.thermal_homography"),
        ({"blur": 1.5}, r"augment\.blur .* 1\.5.* 0 to 1"),
        ({"copy_paste": -0.5}, r"augment\.copy_paste"),
        ({"mask_share": 2}, r"augment\.mask_share"),
        ({"mask_block": 0}, r"augment\.mask_block .* 1 or more"),
        ({"paste_count": 0}, r"augment\.paste_count .* 1 or more"),
        ({"paste_classes": [0, 3]}, r"augment\.paste_classes .* from 1 to 254"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(SartmError, match=message):
        replace(PLAIN, **changes)
