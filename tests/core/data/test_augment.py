"""Joint augmentation: labels stay labels, pairs stay pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sartm_core.data.augment import AugmentConfig, augment
from sartm_core.errors import SartmError

HEIGHT, WIDTH = 120, 160
CONFIG = AugmentConfig(crop_height=64, crop_width=96)
GEOMETRY = replace(
    CONFIG, photometric=0, darken=0, thermal_gain=0, thermal_shift=0, narrow_view=0,
    drop_rgb=0, drop_thermal=0,
)  # fmt: skip


def frame(seed: int = 0) -> tuple[np.ndarray, ...]:
    """RGB and thermal whose values tell the label, in blocks of 8 pixels of classes 0, 3, 8."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(np.array([0, 3, 8], np.uint8), (HEIGHT // 8, WIDTH // 8))
    label = np.kron(blocks, np.ones((8, 8), np.uint8))
    rgb = np.repeat(label[..., None] * 25, 3, axis=2)
    return rgb, label * 30, np.ones_like(label), label


def test_labels_hold_only_ids_of_the_source_or_ignore() -> None:
    # Interpolation between 0 and 8 would give ids from 1 to 7.
    for seed in range(30):
        sample = augment(*frame(seed), CONFIG, np.random.default_rng(seed))
        assert set(np.unique(sample.label)) <= {0, 3, 8, 255}


@pytest.mark.parametrize("seed", range(5))
def test_images_and_label_move_together(seed: int) -> None:
    sample = augment(*frame(), GEOMETRY, np.random.default_rng(seed))
    inside = sample.label != 255
    assert inside.any()
    expected_rgb = np.where(inside, sample.label, 0).astype(int) * 25
    expected_thermal = np.where(inside, sample.label, 0).astype(int) * 30
    # Only at the borders of blocks do images mix what labels do not.
    assert (abs(sample.rgb[..., 0] - expected_rgb)[inside] <= 1).mean() > 0.6
    assert (abs(sample.thermal - expected_thermal)[inside] <= 1).mean() > 0.6


def test_same_generator_gives_the_same_bytes() -> None:
    first = augment(*frame(), CONFIG, np.random.default_rng((1, 2, 3)))
    again = augment(*frame(), CONFIG, np.random.default_rng((1, 2, 3)))
    other = augment(*frame(), CONFIG, np.random.default_rng((1, 2, 4)))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert not np.array_equal(first.rgb, other.rgb)


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.4, 1.4)])
def test_shapes_and_dtypes(scale: tuple[float, float]) -> None:
    sample = augment(*frame(), replace(CONFIG, scale=scale), np.random.default_rng(0))
    assert sample.rgb.shape == (64, 96, 3)
    for image in (sample.thermal, sample.thermal_valid, sample.label):
        assert image.shape == (64, 96)
        assert image.dtype == np.uint8
    assert sample.present.dtype == np.float32


def test_crop_around_a_pixel_shows_it() -> None:
    rgb, thermal, valid, label = frame()
    label = np.zeros_like(label)
    label[100:104, 20:24] = 7
    for seed in range(20):
        sample = augment(
            rgb, thermal, valid, label, GEOMETRY, np.random.default_rng(seed), center=(22, 102)
        )
        assert (sample.label == 7).any()


def test_thermal_is_zero_where_it_is_not_valid() -> None:
    rgb, thermal, valid, label = frame()
    config = replace(CONFIG, narrow_view=1.0)
    sample = augment(rgb, thermal + 10, valid, label, config, np.random.default_rng(0))
    assert 0 < sample.thermal_valid.mean() < 1
    assert not sample.thermal[sample.thermal_valid == 0].any()
    assert set(np.unique(sample.thermal_valid)) == {0, 1}


def test_photometric_changes_leave_the_other_camera_alone() -> None:
    plain = augment(*frame(), GEOMETRY, np.random.default_rng(5))
    darker = augment(*frame(), replace(GEOMETRY, darken=1.0), np.random.default_rng(5))
    gained = augment(*frame(), replace(GEOMETRY, thermal_gain=1.0), np.random.default_rng(5))
    assert darker.rgb.mean() < 0.6 * plain.rgb.mean()
    np.testing.assert_array_equal(darker.thermal, plain.thermal)
    assert not np.array_equal(gained.thermal, plain.thermal)
    np.testing.assert_array_equal(gained.rgb, plain.rgb)


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        ("rgb", {(1.0, 0.0)}),
        ("thermal", {(0.0, 1.0)}),
        ("rgb+thermal", {(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)}),  # never without both
    ],
)
def test_cameras_that_are_present(modalities: str, expected: set[tuple[float, float]]) -> None:
    config = replace(CONFIG, drop_rgb=0.3, drop_thermal=0.3)
    found = {
        tuple(
            augment(
                *frame(), config, np.random.default_rng(seed), modalities=modalities
            ).present.tolist()
        )
        for seed in range(40)
    }
    assert found == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_width": 100}, "divisible by 32"),
        ({"scale": (1.4, 0.5)}, "low <= high"),
        ({"drop_rgb": 0.6, "drop_thermal": 0.6}, "at most 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(SartmError, match=message):
        replace(CONFIG, **changes)
