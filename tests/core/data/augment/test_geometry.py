"""Geometry: labels stay labels, the pair stays a pair, the chosen pixel stays in the crop."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.data.augment import AugmentConfig, Donor, augment, find_regions
from tests.pairs import HEIGHT, PLAIN, WIDTH, blocks, same_pattern

VIEWS = st.builds(
    lambda low, zoom, flip, rotation, perspective, shift, homography: replace(
        PLAIN, scale=(low, low * zoom), flip=flip, rotation=rotation, perspective=perspective,
        thermal_shift=shift, thermal_homography=homography,
    ),
    low=st.floats(0.3, 2.0), zoom=st.floats(1.0, 2.0), flip=st.sampled_from([0, 0.5, 1]),
    rotation=st.sampled_from([0, 5, 45]), perspective=st.sampled_from([0, 0.05, 0.25]),
    shift=st.sampled_from([0, 5]), homography=st.sampled_from([0, 8]),
)  # fmt: skip
SEEDS = st.integers(0, 2**32 - 1)
TURNED = replace(PLAIN, scale=(0.7, 1.4), flip=0.5, rotation=20, perspective=0.1)


@settings(max_examples=60, deadline=None)
@given(config=VIEWS, seed=SEEDS, paste=st.booleans())
def test_labels_hold_only_ids_of_the_frames_or_ignore(
    config: AugmentConfig, seed: int, paste: bool
) -> None:
    # Interpolation between 0 and 8 would give ids from 1 to 7.
    donors = []
    if paste:
        rgb, thermal, valid, label = blocks(1)
        donors = [Donor(rgb, thermal, label, region) for region in find_regions(label, valid, ())]
        config = replace(config, copy_paste=1.0)
    sample = augment(*blocks(), config, np.random.default_rng(seed), donors=donors)
    assert set(np.unique(sample.label)) <= {0, 3, 8, 255}
    assert set(np.unique(sample.thermal_valid)) <= {0, 1}


@settings(max_examples=40, deadline=None)
@given(config=VIEWS, seed=SEEDS)
def test_the_pair_and_its_label_stay_aligned(config: AugmentConfig, seed: int) -> None:
    config = replace(config, thermal_shift=0, thermal_homography=0)
    sample = augment(*same_pattern(), config, np.random.default_rng(seed))
    rgb, thermal = sample.rgb[..., 0].astype(int), sample.thermal.astype(int)
    inside = sample.thermal_valid > 0
    assert abs(rgb - thermal)[inside].max(initial=0) <= 1
    # The label is the pattern above 127; its nearest pixel lies up to 0.7 px from the crop's. At
    # the frame's edge, images mix with the black outside and labels do not.
    within = cv2.erode((sample.label != 255).astype(np.uint8), np.ones((9, 9)), borderValue=0) > 0
    clear = within & (abs(rgb - 127) > 40)
    np.testing.assert_array_equal(sample.label[clear], rgb[clear] > 127)


def test_every_view_differs() -> None:
    crops = [augment(*same_pattern(), TURNED, np.random.default_rng(seed)) for seed in range(8)]
    assert len({crop.rgb.tobytes() for crop in crops}) == 8


@pytest.mark.parametrize("knob", ["rotation", "perspective"])
def test_a_turn_changes_the_view(knob: str) -> None:
    turned = replace(PLAIN, **{knob: 0.1})
    plain = augment(*same_pattern(), PLAIN, np.random.default_rng(3))
    other = augment(*same_pattern(), turned, np.random.default_rng(3))
    difference = abs(plain.rgb.astype(int) - other.rgb)
    assert difference.max() > 0


def test_rotation_keeps_lengths_and_turns_by_at_most_its_limit() -> None:
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[58:62] = 1  # a horizontal bar
    rgb = np.repeat(label[..., None], 3, axis=2)
    angles = []
    for seed in range(30):
        config = replace(PLAIN, rotation=10)
        rng = np.random.default_rng(seed)
        sample = augment(rgb, label, np.ones_like(label), label, config, rng, center=(80, 60))
        y, x = np.nonzero(sample.label == 1)
        slope = np.polyfit(x, y, 1)[0]
        angles.append(abs(np.degrees(np.arctan(slope))))
        thickness = (sample.label == 1).sum() / np.ptp(x) * np.cos(np.arctan(slope))
        assert thickness == pytest.approx(4, abs=0.5)
    assert 7 < max(angles) < 10.5


RAMP = np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))  # one level per source pixel


def misregistration(config: AugmentConfig, seed: int) -> np.ndarray:
    """Horizontal distance of thermal from RGB at each pixel that both show, in source pixels."""
    rng = np.random.default_rng(seed)
    sample = augment(
        np.repeat(RAMP[..., None], 3, axis=2), RAMP, np.ones_like(RAMP), RAMP * 0, config, rng,
        center=(80, 60),
    )  # fmt: skip
    return sample.thermal[8:-8, 8:-8].astype(int) - sample.rgb[8:-8, 8:-8, 0]


def test_thermal_shift_is_one_distance_up_to_its_limit() -> None:
    distances = [misregistration(replace(PLAIN, thermal_shift=6), seed) for seed in range(30)]
    assert all(np.ptp(distance) <= 1 for distance in distances)
    assert 4 < max(abs(distance).max() for distance in distances) <= 7


def test_thermal_homography_differs_over_the_image_up_to_its_limit() -> None:
    config = replace(PLAIN, thermal_homography=6)
    distances = [misregistration(config, seed) for seed in range(30)]
    assert max(np.ptp(distance) for distance in distances) >= 4
    assert 3 < max(abs(distance).max() for distance in distances) <= 8


@settings(max_examples=60, deadline=None)
@given(
    config=VIEWS, seed=SEEDS, x=st.integers(1, WIDTH - 2), y=st.integers(1, HEIGHT - 2)
)  # fmt: skip
def test_crop_around_a_pixel_shows_it(config: AugmentConfig, seed: int, x: int, y: int) -> None:
    rgb, thermal, valid, label = blocks()
    label = np.zeros_like(label)
    label[y - 1 : y + 2, x - 1 : x + 2] = 7
    config = replace(config, scale=(1.0, max(1.0, *config.scale)))  # nothing vanishes
    sample = augment(rgb, thermal, valid, label, config, np.random.default_rng(seed), center=(x, y))
    assert (sample.label == 7).any()


def test_outside_the_frame_there_is_nothing() -> None:
    config = replace(PLAIN, scale=(0.4, 0.4))  # the crop is larger than the frame
    rgb, thermal, valid, label = blocks()
    sample = augment(rgb + 1, thermal + 1, valid, label, config, np.random.default_rng(0))
    outside = sample.label == 255
    assert outside.mean() > 0.2
    assert not sample.rgb[outside].any()
    assert not sample.thermal_valid[outside].any()
