"""The confusion matrix and every protocol against independent implementations."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sartm_core.classes import FMB, MFNET, MSRS, PST900, ClassInfo, ClassTable
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.evaluation.protocols import (
    PROTOCOLS,
    all_scores,
    class_iou,
    mean_iou,
    protocols_for,
    scores,
)

CLASSES = 5
IDS = st.sampled_from([*range(CLASSES), 255])
SHAPE = (6, 7)
MASKS = hnp.arrays(np.uint8, SHAPE, elements=IDS)


@given(MASKS, MASKS)
def test_confusion_counts_every_labelled_pixel_once(truth: np.ndarray, mask: np.ndarray) -> None:
    expected = np.zeros((CLASSES, CLASSES + 1), np.int64)
    for t, p in zip(truth.ravel(), mask.ravel(), strict=True):
        if t != 255:
            expected[t, CLASSES if p == 255 else p] += 1
    counts = confusion(truth, mask, CLASSES)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


@given(MASKS, MASKS)
def test_confusions_merge_by_addition(truth: np.ndarray, mask: np.ndarray) -> None:
    parts = sum(confusion(truth[i : i + 2], mask[i : i + 2], CLASSES) for i in (0, 2, 4))
    np.testing.assert_array_equal(parts, confusion(truth, mask, CLASSES))


@pytest.mark.parametrize(
    ("truth", "mask", "message"),
    [
        ([[0, 5]], [[0, 0]], "label has ids.*got 5"),  # label beyond the table
        ([[0, 1]], [[254, 0]], "mask has ids.*got 254"),  # mask beyond the table
        ([[255, 0]], [[7, 0]], "mask has ids"),  # even where the label says ignore
        ([[0, 1]], [[0], [1]], "differ in size"),
    ],
)
def test_confusion_refuses(truth: list, mask: list, message: str) -> None:
    with pytest.raises(SartmError, match=message):
        confusion(np.array(truth, np.uint8), np.array(mask, np.uint8), CLASSES)


COUNTED_ZERO = ("mfnet9_zero", "mfnet_original", "fmb14", "fmb15_zero")
NO_CLASS_0 = ("mfnet8", "fmb14", "fmb13_present", "foreground_present")


def pixels_of(truth: np.ndarray, mask: np.ndarray, protocol: str) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that a protocol looks at."""
    if protocol in ("fmb14", "fmb13_present", "mfnet_original"):
        mask, truth = mask[truth != 0], truth[truth != 0]
    if protocol == "mfnet_original":
        mask, truth = mask[mask != 0], truth[mask != 0]
    return truth[truth != 255], mask[truth != 255]


def brute_force(truth: np.ndarray, mask: np.ndarray, protocol: str, ids: int) -> dict[int, float]:
    """Class id -> IoU of the classes in the mean, by set arithmetic on the pixels themselves."""
    truth, mask = pixels_of(truth, mask, protocol)
    result = {}
    for k in range(protocol in NO_CLASS_0, ids):
        both, either = np.sum((truth == k) & (mask == k)), np.sum((truth == k) | (mask == k))
        if np.any(truth == k) or (protocol == "mfnet9_rtfnet" and either):
            result[k] = both / either
        elif protocol in COUNTED_ZERO:
            result[k] = 0.0
    return result


def brute_force_recall(
    truth: np.ndarray, mask: np.ndarray, protocol: str, ids: int
) -> tuple[float | None, int, dict[int, int]]:
    """Mean recall, classes with ground truth, and pixels taken for each class without."""
    truth, mask = pixels_of(truth, mask, protocol)
    classes = range(protocol in NO_CLASS_0, ids)
    recalls = [np.mean(mask[truth == k] == k) for k in classes if np.any(truth == k)]
    present = len(recalls)
    if protocol in COUNTED_ZERO:
        recalls += [0.0] * (len(classes) - present)
    false = {k: int(np.sum(mask == k)) for k in classes if not np.any(truth == k)}
    if protocol == "mfnet_original":
        del false[0]
    return (float(np.mean(recalls)) if recalls else None), present, false


SITE = ClassTable("site", tuple(ClassInfo(i, f"c{i}", (i, i, i)) for i in range(4)))


@pytest.mark.parametrize(
    ("table", "protocol"),
    [(table, name) for table in (MFNET, PST900, FMB, SITE) for name in protocols_for(table)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
@settings(max_examples=30)
@given(data=st.data())
def test_protocols_agree_with_set_arithmetic(
    table: ClassTable, protocol: str, data: st.DataObject
) -> None:
    few = st.sets(st.sampled_from([*range(len(table)), 255]), min_size=1).map(sorted)
    draw = [data.draw(hnp.arrays(np.uint8, (5, 6), elements=st.sampled_from(data.draw(few))))]
    draw += [data.draw(hnp.arrays(np.uint8, (5, 6), elements=st.sampled_from(data.draw(few))))]
    truth, mask = draw
    expected = brute_force(truth.ravel(), mask.ravel(), protocol, len(table))
    result = scores(confusion(truth, mask, len(table)), protocol, table)
    got = {table.by_name(n).id: x for n, x in result["iou"].items() if x is not None}
    assert got == pytest.approx(expected)
    if expected:
        assert result["miou"] == pytest.approx(np.mean(list(expected.values())))
    else:
        assert result["miou"] is None
    recall, present, false = brute_force_recall(truth.ravel(), mask.ravel(), protocol, len(table))
    assert result["acc"] == pytest.approx(recall)
    assert result["present"] == present
    named = {table.by_name(n).id: x for n, x in result["false_positive_pixels"].items()}
    assert named == false


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_matrices_are_scored_as_each_alone(protocol: str) -> None:
    table = next(t for t in (MFNET, PST900, FMB, SITE) if protocol in protocols_for(t))
    rng = np.random.default_rng(0)
    size = (2, 3, len(table), len(table) + 1)
    counts = rng.integers(0, 50, size) * (rng.random(size[:3]) < 0.6)[..., None]
    ious = class_iou(counts, protocol)
    for i in np.ndindex(2, 3):
        alone = scores(counts[i], protocol, table)
        known = [np.nan if x is None else x for x in alone["iou"].values()]
        np.testing.assert_array_equal(ious[i], known)
        assert mean_iou(ious)[i] == alone["miou"]
    assert np.isnan(mean_iou(np.full((4, 3), np.nan))).all()


@pytest.fixture(scope="module")
def torchmetrics() -> ModuleType:
    """torchmetrics.classification, importable also where torchvision lacks its operators."""
    pytest.importorskip("torch")
    from sartm_core.models.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    return pytest.importorskip("torchmetrics.classification")


def tensor(ids: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(ids).long()


def random_masks(classes: int, present: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, present, (4, 32, 48)).astype(np.uint8)
    noise = rng.integers(0, classes, truth.shape).astype(np.uint8)
    return truth, np.where(rng.random(truth.shape) < 0.6, truth, noise).astype(np.uint8)


@pytest.mark.parametrize(
    ("table", "protocol", "ignore"),
    [
        (MFNET, "mfnet9_rtfnet", None),
        (MFNET, "mfnet9", None),
        (MFNET, "mfnet9_zero", None),
        (MFNET, "mfnet8", None),
        (PST900, "pst900_5", None),
        (FMB, "fmb15_present", None),
        (FMB, "fmb15_zero", None),
        (FMB, "fmb13_present", 0),
        (FMB, "fmb14", 0),
        (SITE, "all_present", None),
        (SITE, "foreground_present", None),
    ],
)
def test_miou_is_the_one_of_torchmetrics(
    torchmetrics: ModuleType, table: ClassTable, protocol: str, ignore: int | None
) -> None:
    truth, mask = random_masks(len(table), len(table), seed=3)
    theirs = torchmetrics.MulticlassJaccardIndex(len(table), average=None, ignore_index=ignore)(
        tensor(mask), tensor(truth)
    ).numpy()
    ours = scores(confusion(truth, mask, len(table)), protocol, table)
    recall = torchmetrics.MulticlassAccuracy(len(table), average=None, ignore_index=ignore)(
        tensor(mask), tensor(truth)
    ).numpy()
    first = len(table) - len(ours["iou"])
    assert ours["acc"] == pytest.approx(recall[first:].mean(), rel=1e-6)
    np.testing.assert_allclose(list(ours["iou"].values()), theirs[first:], rtol=1e-6)
    assert ours["miou"] == pytest.approx(theirs[first:].mean(), rel=1e-6)


def test_rtfnet_rule_scores_absent_classes_as_torchmetrics_does(torchmetrics: ModuleType) -> None:
    truth, mask = random_masks(classes=8, present=6, seed=4)  # 6, 7 only predicted, 8 never
    theirs = torchmetrics.MulticlassJaccardIndex(9, average="macro")(tensor(mask), tensor(truth))
    ours = scores(confusion(truth, mask, 9), "mfnet9_rtfnet", MFNET)
    assert ours["miou"] == pytest.approx(float(theirs), rel=1e-6)
    assert ours["iou"]["color_cone"] == 0.0
    assert ours["iou"]["bump"] is None


def test_mfnet_original_is_torchmetrics_without_the_unlabelled(torchmetrics: ModuleType) -> None:
    truth, mask = random_masks(classes=9, present=9, seed=6)
    seen = (truth != 0) & (mask != 0)
    theirs = torchmetrics.MulticlassJaccardIndex(9, average=None)(
        tensor(mask[seen]), tensor(truth[seen])
    )
    ours = scores(confusion(truth, mask, 9), "mfnet_original", MFNET)
    np.testing.assert_allclose(list(ours["iou"].values()), theirs.numpy(), rtol=1e-6)
    assert ours["miou"] == pytest.approx(float(theirs[1:].sum() / 9), rel=1e-6)


def test_confusion_is_the_one_of_torchmetrics(torchmetrics: ModuleType) -> None:
    truth, mask = random_masks(9, 9, seed=5)
    theirs = torchmetrics.MulticlassConfusionMatrix(9)(tensor(mask), tensor(truth))
    np.testing.assert_array_equal(confusion(truth, mask, 9)[:, :9], theirs.numpy())


def test_a_worked_example() -> None:
    # Truth: 6 unlabelled, 3 car, 1 person. One car pixel is called unlabelled, one has no
    # decision; one unlabelled pixel is called guardrail, which the truth never shows.
    truth = np.array([[0, 0, 0, 0, 0, 0, 1, 1, 1, 2]], np.uint8)
    mask = np.array([[0, 0, 0, 0, 0, 6, 1, 0, 255, 2]], np.uint8)
    result = all_scores(confusion(truth, mask, 9), MFNET)
    assert result["mfnet8"]["iou"]["car"] == pytest.approx(1 / 3)
    assert result["mfnet8"]["miou"] == pytest.approx((1 / 3 + 1) / 2)
    assert result["mfnet8"]["acc"] == pytest.approx((1 / 3 + 1) / 2)
    assert result["mfnet8"]["present"] == 2
    assert result["mfnet8"]["false_positive_pixels"] == {
        "bike": 0, "curve": 0, "car_stop": 0, "guardrail": 1, "color_cone": 0, "bump": 0,
    }  # fmt: skip
    assert result["mfnet9"]["miou"] == pytest.approx((5 / 7 + 1 / 3 + 1) / 3)
    assert result["mfnet9_rtfnet"]["miou"] == pytest.approx((5 / 7 + 1 / 3 + 1 + 0) / 4)
    assert result["mfnet9_zero"]["miou"] == pytest.approx((5 / 7 + 1 / 3 + 1) / 9)
    # The car pixel called unlabelled is left out; the one without a decision is a miss.
    assert result["mfnet_original"]["miou"] == pytest.approx((1 / 2 + 1) / 9)


def test_protocols_follow_the_class_table() -> None:
    assert protocols_for(MFNET)[0] == "mfnet8"
    assert protocols_for(MSRS) == protocols_for(MFNET)
    assert protocols_for(SITE) == ("foreground_present", "all_present")
    named = {name for table in (MFNET, PST900, FMB, SITE) for name in protocols_for(table)}
    assert named == set(PROTOCOLS)


def test_wrong_use_is_refused() -> None:
    counts = np.zeros((9, 10), np.int64)
    with pytest.raises(SartmError, match=r"unknown protocol 'miou'.*mfnet8"):
        scores(counts, "miou", MFNET)
    with pytest.raises(SartmError, match="wrong shape"):
        scores(counts[:, :9], "mfnet8", MFNET)
