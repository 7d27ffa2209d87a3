"""Boundary IoU, recall by object size and calibration against slow, plain implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sartm_core.classes import ClassInfo, ClassTable
from sartm_core.evaluation.boundary import boundary_counts, boundary_distance, boundary_section
from sartm_core.evaluation.calibration import BINS, calibration_counts, calibration_section
from sartm_core.evaluation.detail import Detail
from sartm_core.evaluation.object_size import object_counts, object_size_section

TABLE = ClassTable("site", tuple(ClassInfo(i, f"c{i}", (i, i, i)) for i in range(3)))
MASKS = hnp.arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 1, 2, 255]))


def boundary_of(mask: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of the mask with a pixel outside it, or the image's edge, within the distance."""
    height, width = mask.shape
    result = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        for v in range(y - distance, y + distance + 1):
            for u in range(x - distance, x + distance + 1):
                beyond = not (0 <= v < height and 0 <= u < width)
                result[y, x] |= beyond or not mask[v, u]
    return result


@settings(max_examples=60)
@given(MASKS, MASKS)
def test_boundary_regions_are_those_of_the_definition(truth: np.ndarray, mask: np.ndarray) -> None:
    distance = boundary_distance(*truth.shape)
    known = truth != 255
    counts = boundary_counts(truth, mask, 3)
    assert counts.dtype == np.int64
    assert counts[0].tolist() == [0, 0, 0]
    for k in (1, 2):
        true = boundary_of((truth == k) & known, distance)
        predicted = boundary_of((mask == k) & known, distance)
        expected = [true.sum(), predicted.sum(), (true & predicted).sum()]
        assert counts[k].tolist() == expected


def test_the_distance_follows_the_diagonal() -> None:
    assert boundary_distance(480, 640) == 4
    assert boundary_distance(768, 1024) == 6
    assert boundary_distance(24, 32) == 1
    truth = np.zeros((480, 640), np.uint8)
    truth[100:300, 100:300] = 1
    assert boundary_counts(truth, truth, 3)[1, 0] == 200**2 - 192**2


def test_boundary_iou_sees_what_iou_hardly_sees() -> None:
    truth = np.zeros((480, 640), np.uint8)
    truth[100:300, 100:300] = 1
    section = boundary_section(boundary_counts(truth, np.roll(truth, 4, axis=1), 3), TABLE)
    overlap = 200 * 196
    assert overlap / (2 * 200**2 - overlap) > 0.96
    assert section["iou"]["c1"] == pytest.approx(1 / 3)
    assert section["iou"]["c2"] is None
    assert section["miou"] == section["iou"]["c1"]
    assert boundary_section(boundary_counts(truth, truth, 3), TABLE)["miou"] == 1.0


def test_objects_fall_into_their_size() -> None:
    truth = np.zeros((480, 640), np.uint8)
    truth[0:10, 0:10] = 1  # 100 px: tiny, all found
    truth[20:50, 0:30] = 1  # 900 px: small, a third found
    truth[100:150, 0:50] = 1  # 2500 px: medium, missed
    truth[200:400, 0:100] = 2  # 20000 px: large, exactly half found
    truth[60, 60] = truth[61, 61] = 1  # touching at a corner: one object
    truth[70:80, 70:80] = 255
    mask = truth.copy()
    mask[30:50, 0:30] = 0
    mask[100:150, 0:50] = 2
    mask[300:400, 0:100] = 255
    sizes = object_size_section(object_counts(truth, mask, 3), TABLE)["sizes"]
    assert sizes["tiny"]["classes"] == {"c1": {"objects": 2, "found": 1.0, "recall": 1.0}}
    assert sizes["small"]["all"] == {"objects": 1, "found": 0.0, "recall": pytest.approx(1 / 3)}
    assert sizes["medium"]["all"] == {"objects": 1, "found": 0.0, "recall": 0.0}
    assert sizes["large"]["classes"] == {"c2": {"objects": 1, "found": 1.0, "recall": 0.5}}


def test_sizes_are_shares_of_the_image() -> None:
    truth = np.zeros((240, 320), np.uint8)
    truth[:20, :20] = 1  # 400 px here cover as much as 1600 at 640x480
    counts = object_counts(truth, truth, 3)
    assert counts[1, :, 0].tolist() == [0, 0, 1, 0]
    assert object_size_section(0 * counts, TABLE)["sizes"]["tiny"] == {
        "all": {"objects": 0, "found": None, "recall": None},
        "classes": {},
    }


@given(MASKS, MASKS, hnp.arrays(np.uint8, (9, 11)))
def test_calibration_counts_the_foreground(
    truth: np.ndarray, mask: np.ndarray, confidence: np.ndarray
) -> None:
    expected = np.zeros((256, 2), np.int64)
    for t, p, c in zip(truth.flat, mask.flat, confidence.flat, strict=True):
        if 255 not in (t, p) and (t or p):
            expected[c] += 1, t == p
    np.testing.assert_array_equal(calibration_counts(truth, mask, confidence), expected)


def test_ece_is_the_one_of_sorted_pixels_in_equal_bins() -> None:
    # As many pixels as make whole bins, each with its own confidence within its bin.
    rng = np.random.default_rng(0)
    confidence = np.arange(1, 256, dtype=np.uint8).reshape(15, 17)
    truth = rng.integers(1, 3, confidence.shape).astype(np.uint8)
    mask = rng.integers(1, 3, confidence.shape).astype(np.uint8)
    section = calibration_section(calibration_counts(truth, mask, confidence))
    right = (truth == mask).reshape(BINS, -1).mean(axis=1)
    sure = (confidence / 255).reshape(BINS, -1).mean(axis=1)
    assert section["ece"] == pytest.approx(np.abs(right - sure).mean())
    assert section["gap"] == pytest.approx(np.mean(confidence / 255) - np.mean(truth == mask))
    assert [row["accuracy"] for row in section["bins"]] == pytest.approx(right)
    assert [row["confidence"] for row in section["bins"]] == pytest.approx(sure)
    assert section["pixels"] == 255


@pytest.mark.parametrize(
    ("level", "right", "ece"),
    [
        (204, 80, 0.0),  # 80 % sure, 80 % right
        (255, 80, 0.2),  # sure, but only 80 % right
        (51, 100, 0.8),  # unsure without need
    ],
)
def test_ece_of_one_confidence(level: int, right: int, ece: float) -> None:
    truth = np.ones((10, 10), np.uint8)
    mask = np.where(np.arange(100).reshape(10, 10) < right, 1, 2).astype(np.uint8)
    confidence = np.full((10, 10), level, np.uint8)
    section = calibration_section(calibration_counts(truth, mask, confidence))
    assert section["ece"] == pytest.approx(ece, abs=1e-9)
    assert abs(section["gap"]) == pytest.approx(ece, abs=1e-9)


def test_frames_merge_in_any_order() -> None:
    rng = np.random.default_rng(0)
    frames = [tuple(rng.integers(0, 3, (3, 20, 30)).astype(np.uint8)) for _ in range(4)]
    one, two = Detail(TABLE), Detail(TABLE)
    for frame in frames:
        one.add(*frame)
    for frame in reversed(frames):
        two.add(*frame)
    assert one.sections() == two.sections()
    assert set(one.sections()) == {"boundary", "object_size", "calibration"}
    masks_only = Detail(TABLE)
    masks_only.add(*frames[0][:2])
    assert set(masks_only.sections()) == {"boundary", "object_size"}
