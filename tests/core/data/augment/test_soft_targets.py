"""What teachers say lies where the label lies, and pasted objects bring what was said of them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.data.augment import AugmentConfig, Donor, TrainingSample, augment, find_regions
from sartm_core.data.teacher_planes import TeacherPlanes
from tests.core.data.augment.test_copy_paste import BIKE, COLUMNS, OBJECT, ROWS, WHOLE, flat
from tests.pairs import HEIGHT, PLAIN, WIDTH, Pair, same_pattern

CLASSES = 9
PERSON = 2
VIEWS = st.builds(
    lambda low, zoom, flip, rotation, perspective: replace(
        PLAIN, scale=(low, low * zoom), flip=flip, rotation=rotation, perspective=perspective
    ),
    low=st.floats(0.6, 2.0), zoom=st.floats(1.0, 2.0), flip=st.sampled_from([0, 0.5, 1]),
    rotation=st.sampled_from([0, 5, 45]), perspective=st.sampled_from([0, 0.05]),
)  # fmt: skip
SEEDS = st.integers(0, 2**32 - 1)


def pooled(image: np.ndarray, stride: int) -> np.ndarray:
    """float32 [h/stride,w/stride,C] means over cells of [h,w,C]."""
    height, width = image.shape[:2]
    parts = image.reshape(height // stride, stride, width // stride, stride, -1)
    return parts.mean(axis=(1, 3)).astype(np.float32)


def knowing(label: np.ndarray, feature: np.ndarray | None = None) -> TeacherPlanes:
    """A teacher that says the label."""
    one_hot = np.eye(CLASSES, dtype=np.float32)[label]
    return TeacherPlanes.encode(pooled(one_hot, 4), feature)


def test_runs_without_teachers_draw_the_same_samples() -> None:
    pair = same_pattern()
    config = replace(PLAIN, scale=(0.5, 2), flip=0.5, rotation=9, drop_rgb=0.5, narrow_view=0.5)
    for seed in range(5):
        plain = augment(*pair, config, np.random.default_rng(seed))
        taught = augment(*pair, config, np.random.default_rng(seed), teacher=knowing(pair[3]))
        assert plain.teacher is None
        assert taught.teacher is not None
        assert taught.teacher.probability.shape == (CLASSES, 16, 24)
        assert taught.teacher.feature is None
        for name, value in vars(plain).items():
            if name != "teacher":
                np.testing.assert_array_equal(value, vars(taught)[name])


@settings(max_examples=60, deadline=None)
@given(config=VIEWS, seed=SEEDS)
def test_what_is_said_follows_the_label(config: AugmentConfig, seed: int) -> None:
    pair = same_pattern()
    sample = augment(*pair, config, np.random.default_rng(seed), teacher=knowing(pair[3]))
    assert sample.teacher is not None
    probability, label = sample.teacher.probability, sample.label
    spoken = probability.sum(axis=0)
    assert np.isclose(spoken[spoken > 0], 1.0, atol=1e-5).all()
    # Every cell without target is outside the frame, and the other way round.
    outside = pooled(label[..., None] == 255, 4)[..., 0]
    assert (outside[spoken == 0] > 0).all()
    assert (outside[spoken > 0] < 1).all()
    sure = probability.max(axis=0) > 0.999  # no border is nearer than half a cell
    centre = label[2::4, 2::4]
    agrees = (probability.argmax(axis=0) == centre) | (centre == 255)
    assert agrees[sure].all()
    assert sure.any()


@settings(max_examples=40, deadline=None)
@given(config=VIEWS, seed=SEEDS)
def test_features_are_those_of_the_same_place(config: AugmentConfig, seed: int) -> None:
    """A feature that tells its own row and column, beside images that do."""
    config = replace(config, perspective=0.0)  # of a straight line the mean is the middle
    y, x = np.indices((HEIGHT, WIDTH), dtype=np.float32)
    levels = np.array([1.5, 2.0, 0.0])  # as steep as they can be: they are rounded
    rgb = (np.stack([x, y, 0 * x], axis=2) * levels).astype(np.uint8)
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    rows, columns = np.indices((8, 10))  # cells of 15x16 pixels
    planes = replace(
        knowing(label),
        feature=np.stack([columns, rows], axis=2).astype(np.int8),
        scale=np.array([16, 15], np.float32),
        centre=np.array([-7.5, -7], np.float32),
    )
    sample = augment(
        rgb, label, label + 1, label, config, np.random.default_rng(seed), teacher=planes
    )
    assert sample.teacher is not None
    assert sample.teacher.feature is not None
    found = sample.teacher.feature.transpose(1, 2, 0)
    assert found.shape == (4, 6, 2)
    seen = pooled(sample.rgb[..., :2], 16) / levels[:2]
    # Beyond the outermost centres planes go on as they end; at the edge images mix with black.
    inner = (seen > 10).all(axis=2) & (seen < [WIDTH - 10, HEIGHT - 10]).all(axis=2)
    within = cv2.erode((sample.label != 255).astype(np.uint8), np.ones((9, 9)), borderValue=0)
    inner &= pooled(cv2.dilate(within, np.ones((9, 9)))[..., None], 16)[..., 0] == 1
    inner[:, [0, -1]] = inner[[0, -1]] = False
    difference = found[inner] - seen[inner] - [0.17, 0.0]  # x is rounded down, by 0.25 levels
    np.testing.assert_allclose(difference, 0.0, atol=0.45)


def test_outside_the_frame_nothing_is_said() -> None:
    pair = same_pattern()
    planes = knowing(pair[3], np.ones((8, 10, 3), np.float32))
    config = replace(PLAIN, scale=(0.4, 0.4))  # the crop is larger than the frame
    sample = augment(*pair, config, np.random.default_rng(0), teacher=planes)
    assert sample.teacher is not None
    assert sample.teacher.feature is not None
    outside = pooled(sample.label[..., None] == 255, 4)[..., 0] == 1
    assert outside.mean() > 0.2
    assert not sample.teacher.probability[:, outside].any()
    outside = pooled(sample.label[..., None] == 255, 16)[..., 0] == 1
    assert outside.any()
    assert not sample.teacher.feature[:, outside].any()
    assert sample.teacher.feature.any()


def two_faced() -> Donor:
    """A bike whose left half is bright and looks like a person to the teacher."""
    rgb, thermal, label = flat()
    rgb[ROWS, COLUMNS], thermal[ROWS, COLUMNS], label[ROWS, COLUMNS] = *OBJECT, BIKE
    left = slice(COLUMNS.start, COLUMNS.start + 10)
    rgb[ROWS, left] = 250
    seen = label.copy()
    seen[ROWS, left] = PERSON
    (region,) = find_regions(label, np.ones_like(label), ())
    return Donor(rgb, thermal, label, region, knowing(seen))


def pasted(seed: int) -> TrainingSample:
    rgb, thermal, label = flat()
    target: Pair = (rgb, thermal, np.ones_like(label), label)
    feature = np.ones((8, 10, 3), np.float32)
    return augment(
        *target,
        replace(WHOLE, paste_count=1),
        np.random.default_rng(seed),
        donors=[two_faced()],
        teacher=knowing(label, feature),
    )


@pytest.mark.parametrize("seed", range(8))
def test_pasted_objects_bring_what_was_said_about_them(seed: int) -> None:
    sample = pasted(seed)
    assert sample.teacher is not None
    probability, label = sample.teacher.probability, sample.label == BIKE
    assert label.any()
    cover = pooled(label[..., None], 4)[..., 0]
    np.testing.assert_allclose(probability.sum(axis=0), 1.0, atol=1e-5)
    assert (probability[0][cover == 0] > 0.999).all()
    inside = cover == 1
    assert inside.sum() > 6
    # The frame around the donor's object shines through at its edge, half a cell wide.
    assert (probability[0][inside] <= 0.6).all()
    assert probability[[BIKE, PERSON]].sum(axis=0)[inside].mean() > 0.85
    # Which half looks like a person, mirrored or not, is the bright one.
    bright = cv2.resize((sample.rgb[..., 0] > 230).astype(np.float32), cover.shape[::-1],
                        interpolation=cv2.INTER_AREA)  # fmt: skip
    assert (probability[PERSON] > probability[BIKE])[inside & (bright == 1)].all()
    assert (probability[PERSON] < probability[BIKE])[inside & (bright == 0)].all()


@pytest.mark.parametrize("seed", range(4))
def test_cells_that_a_pasted_object_touches_have_no_feature(seed: int) -> None:
    sample = pasted(seed)
    assert sample.teacher is not None
    assert sample.teacher.feature is not None
    touched = pooled((sample.label == BIKE)[..., None], 16)[..., 0] > 0
    assert touched.any()
    np.testing.assert_array_equal((sample.teacher.feature == 0).all(axis=0), touched)
