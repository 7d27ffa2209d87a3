"""Copy-paste: both cameras and the label at the same pixels, at a plausible place and level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sartm_core.data.augment import Donor, TrainingSample, augment, find_regions
from tests.pairs import PLAIN

HEIGHT, WIDTH = 128, 160
BIKE, PERSON, POST = 3, 2, 5
ROWS, COLUMNS = slice(50, 80), slice(40, 60)  # of the donor's object
OBJECT = (210, 190)  # RGB and thermal level of the object
WHOLE = replace(PLAIN, crop_height=HEIGHT, crop_width=WIDTH, copy_paste=1.0)


def flat(rgb: int = 100, thermal: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.full((HEIGHT, WIDTH, 3), rgb, np.uint8),
        np.full((HEIGHT, WIDTH), thermal, np.uint8),
        np.zeros((HEIGHT, WIDTH), np.uint8),
    )


def donor(class_id: int = BIKE) -> Donor:
    """One object on a flat ground."""
    rgb, thermal, label = flat()
    rgb[ROWS, COLUMNS], thermal[ROWS, COLUMNS], label[ROWS, COLUMNS] = *OBJECT, class_id
    (region,) = find_regions(label, np.ones_like(label), ())
    return Donor(rgb, thermal, label, region)


def paste(
    target: tuple[np.ndarray, np.ndarray, np.ndarray],
    seed: int,
    donors: Sequence[Donor] = (),
    **changes: object,
) -> TrainingSample:
    rgb, thermal, label = target
    return augment(
        *(rgb, thermal, np.ones_like(label), label),
        replace(WHOLE, paste_count=1, **changes),
        np.random.default_rng(seed),
        donors=donors or [donor()],
    )


def inner(pasted: np.ndarray) -> np.ndarray:
    """The pasted pixels that are 3 and more away from the edge of the object."""
    return cv2.erode(pasted.astype(np.uint8), np.ones((7, 7)), borderValue=0) > 0


@pytest.mark.parametrize("seed", range(10))
def test_both_cameras_and_the_label_lie_at_the_same_pixels(seed: int) -> None:
    sample = paste(flat(), seed)
    pasted = (sample.label == BIKE).astype(np.uint8)
    assert pasted.sum() > 0.6 * 20 * 30
    inside = inner(pasted)
    outside = cv2.dilate(pasted, np.ones((9, 9))) == 0
    np.testing.assert_allclose(sample.rgb[inside], OBJECT[0], atol=2)
    np.testing.assert_allclose(sample.thermal[inside], OBJECT[1], atol=2)
    assert (sample.rgb[outside] == 100).all()
    assert (sample.thermal[outside] == 90).all()
    assert (sample.label[pasted == 0] == 0).all()


def test_the_edge_is_soft_and_where_the_label_ends() -> None:
    sample = paste(flat(), 0)
    pasted = sample.label == BIKE
    between = (sample.thermal > 100) & (sample.thermal < 180)
    assert between.any()
    assert (sample.thermal[pasted] > 130).mean() > 0.95
    assert (sample.thermal[~pasted] < 150).all()


def test_geometry_of_the_crop_applies_to_the_object() -> None:
    sample = paste(flat(), 1, rotation=30, scale=(0.8, 1.2))
    pasted = (sample.label == BIKE).astype(np.uint8)
    assert pasted.any()
    inside = inner(pasted)
    np.testing.assert_allclose(sample.rgb[inside], OBJECT[0], atol=2)
    np.testing.assert_allclose(sample.thermal[inside], OBJECT[1], atol=2)


def test_size_and_row_stay_nearly_the_same() -> None:
    columns = set()
    for seed in range(30):
        y, x = np.nonzero(paste(flat(), seed).label == BIKE)
        assert abs(int(y.max()) + 1 - 80) <= 0.02 * HEIGHT + 1
        assert 0.75 * 20 <= np.ptp(x) + 1 <= 1.3 * 20
        assert 0.75 * 30 <= np.ptp(y) + 1 <= 1.3 * 30
        columns.add(int(x.min()))
    assert np.ptp(list(columns)) > WIDTH / 3


@pytest.mark.parametrize("level", [60, 120])
def test_thermal_follows_the_local_level(level: int) -> None:
    sample = paste(flat(thermal=level), 0)
    inside = inner(sample.label == BIKE)
    assert inside.any()
    np.testing.assert_allclose(sample.thermal[inside], OBJECT[1] + level - 90, atol=2)


@pytest.mark.parametrize("target", [flat(thermal=200), flat(rgb=220), flat(rgb=5)])
def test_nothing_is_pasted_where_light_or_warmth_are_another(
    target: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    for seed in range(5):
        sample = paste(target, seed)
        assert not sample.label.any()
        np.testing.assert_array_equal(sample.rgb, target[0])


def bars(bottom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thin posts from row 40 to ``bottom``, wherever an object is pasted."""
    target = flat()
    target[2][40:bottom, ::16] = POST
    return target


@pytest.mark.parametrize(
    ("bottom", "in_front"),
    [(100, True), (70, False)],  # the object's foot is at row 80
)
def test_nearer_objects_stay_in_front(bottom: int, in_front: bool) -> None:
    hidden = 0
    for seed in range(10):
        target = bars(bottom)
        sample = paste(target, seed)
        assert (sample.label == BIKE).any()
        hidden += ((target[2] == POST) & (sample.label == BIKE)).sum()
    assert (hidden == 0) == in_front


def test_of_two_pasted_objects_the_lower_one_is_in_front() -> None:
    wide = np.zeros((HEIGHT, WIDTH), np.uint8)
    wide[50:70, 8:152] = POST  # behind: its foot is higher
    rgb, thermal, _ = flat()
    (region,) = find_regions(wide, np.ones_like(wide), ())
    behind = Donor(rgb, thermal, wide, region)
    for donors in ([behind, donor()], [donor(), behind]):
        whole = 0
        for seed in range(12):
            sample = augment(
                *(*flat()[:2], np.ones_like(wide), wide * 0),
                replace(WHOLE, paste_count=2),
                np.random.default_rng(seed),
                donors=donors,
            )
            if {BIKE, POST} <= set(np.unique(sample.label)):
                y, x = np.nonzero(sample.label == BIKE)
                assert len(y) == (np.ptp(y) + 1) * (np.ptp(x) + 1)  # nothing of it is covered
                whole += 1
        assert whole


def test_other_objects_are_not_covered() -> None:
    full = flat()
    full[2][:] = POST
    assert (paste(full, 0).label == POST).all()


def test_the_number_of_objects_is_limited() -> None:
    counts = []
    for seed in range(20):
        sample = augment(
            *(*flat()[:2], np.ones((HEIGHT, WIDTH), np.uint8), flat()[2]),
            replace(WHOLE, paste_count=2),
            np.random.default_rng(seed),
            donors=[replace(donor(), label=donor(i).label) for i in range(1, 7)],
        )
        counts.append(len(np.unique(sample.label)) - 1)
    assert set(counts) == {1, 2}


def test_copy_paste_happens_at_its_probability() -> None:
    pasted = [paste(flat(), seed, copy_paste=0.3).label.any() for seed in range(200)]
    assert np.mean(pasted) == pytest.approx(0.3, abs=0.1)
    assert not any(paste(flat(), seed, copy_paste=0.0).label.any() for seed in range(5))


def test_an_object_outside_the_crop_is_not_pasted() -> None:
    # A crop of the lowest rows; the object stands higher.
    rgb, thermal, label = flat()
    config = replace(WHOLE, crop_height=32, crop_width=160)
    sample = augment(
        *(rgb, thermal, np.ones_like(label), label), config, np.random.default_rng(0),
        center=(80, 127), donors=[donor()],
    )  # fmt: skip
    assert not sample.label.any()
    assert (sample.rgb == 100).all()


def test_source_frames_are_left_alone() -> None:
    target, source = flat(), donor()
    paste(target, 0, [source])
    for image, expected in zip(target, flat(), strict=True):
        np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(source.rgb, donor().rgb)


def regions(label: np.ndarray, classes: Sequence[int] = ()) -> list[tuple[int, ...]]:
    return [region.classes for region in find_regions(label, np.ones_like(label), classes)]


def test_a_rider_and_the_bike_are_one_object() -> None:
    label = flat()[2]
    label[40:60, 50:60], label[60:70, 45:65] = PERSON, BIKE
    assert regions(label) == [(PERSON, BIKE)]
    assert regions(label, [PERSON]) == [(PERSON,)]
    assert regions(label, [POST]) == []


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(40, 60), slice(2, 30)),  # may go on beyond the frame's left edge
        (slice(100, 128), slice(40, 60)),  # bottom
        (slice(40, 45), slice(40, 45)),  # too small
        (slice(10, 110), slice(10, 150)),  # too large
    ],
)
def test_objects_that_cannot_be_moved(rows: slice, columns: slice) -> None:
    label = flat()[2]
    label[rows, columns] = BIKE
    assert regions(label) == []


def test_both_cameras_must_have_seen_an_object() -> None:
    label = donor().label
    valid = np.ones_like(label)
    assert len(find_regions(label, valid, ())) == 1
    valid[:, 50:] = 0
    assert find_regions(label, valid, ()) == []
