"""The scoring rules that papers use, each computed from one confusion matrix.

Numbers in papers on MFNet, PST900 and FMB mix rules that differ by several points, so a score is
always given with the name of its protocol.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sartm_core.classes import FMB, MFNET, PST900, ClassTable
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import Confusion

Absent = Literal["left out", "left out if never predicted", "counted 0"]
"""What becomes of a class that the ground truth never shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One rule for turning a confusion matrix into a mean IoU.

    Attributes:
        rule: the rule in words, for reports.
        absent: what becomes of a class without ground truth.
        first: the first class id of the mean.
        drop_truth_zero: leave out pixels whose truth is 0 (class 0 is then an ignore label).
        original: MFNet's own arithmetic: pixels predicted as 0 are left out too, class 0 is in the
            mean with IoU 0, and a class that is never predicted scores 0.
    """

    rule: str
    absent: Absent
    first: int = 0
    drop_truth_zero: bool = False
    original: bool = False


_ANY_TABLE = {
    "foreground_present": Protocol(
        rule="Mean over the classes with ground truth, without class 0; "
        "foreground predicted as 0 counts as a miss",
        absent="left out",
        first=1,
    ),
    "all_present": Protocol(
        rule="Mean over all classes with ground truth, background included",
        absent="left out",
    ),
}

_MFNET = {
    "mfnet8": Protocol(
        rule="Mean over the foreground classes with ground truth; "
        "foreground predicted as 0 counts as a miss",
        absent="left out",
        first=1,
    ),
    "mfnet9": Protocol(
        rule="Mean over the 9 ids with ground truth, unlabelled included",
        absent="left out",
    ),
    "mfnet9_rtfnet": Protocol(
        rule="As mfnet9, but a false positive on a class without ground truth makes it score 0 "
        "(RTFNet, torchmetrics)",
        absent="left out if never predicted",
    ),
    "mfnet9_zero": Protocol(
        rule="As mfnet9, but a class without ground truth scores 0",
        absent="counted 0",
    ),
    "mfnet_original": Protocol(
        rule="Pixels with truth or prediction 0 are left out, mean over 9 with IoU 0 for class 0; "
        "a class that is never predicted scores 0 (MFNet's own code)",
        absent="counted 0",
        drop_truth_zero=True,
        original=True,
    ),
}

_PST900 = {
    "pst900_5": Protocol(
        rule="Mean over the 5 ids with ground truth, background included",
        absent="left out",
    ),
}

_FMB = {
    "fmb14": Protocol(
        rule="Mean over 14 classes, pixels with truth 0 left out; "
        "a class without ground truth scores 0",
        absent="counted 0",
        first=1,
        drop_truth_zero=True,
    ),
    "fmb13_present": Protocol(
        rule="As fmb14, but classes without ground truth are left out",
        absent="left out",
        first=1,
        drop_truth_zero=True,
    ),
    "fmb15_zero": Protocol(
        rule="Mean over 15 ids, unlabelled included; a class without ground truth scores 0",
        absent="counted 0",
    ),
    "fmb15_present": Protocol(
        rule="Mean over the 15 ids with ground truth, unlabelled included",
        absent="left out",
    ),
}

PROTOCOLS: Mapping[str, Protocol] = {**_MFNET, **_PST900, **_FMB, **_ANY_TABLE}
"""Every protocol by name."""

_BY_CLASSES = {MFNET.names: _MFNET, PST900.names: _PST900, FMB.names: _FMB}


def protocols_for(classes: ClassTable) -> tuple[str, ...]:
    """The protocols that a class table can be scored under, the headline one first."""
    return tuple(_BY_CLASSES.get(classes.names, _ANY_TABLE))


def scores(confusion: Confusion, protocol: str, classes: ClassTable) -> dict[str, Any]:
    """Score a confusion matrix under one protocol.

    Args:
        confusion: int64 [C, C+1], see :data:`sartm_core.evaluation.metrics.Confusion`.
        protocol: a name of :data:`PROTOCOLS`.
        classes: the table of the C classes.

    Returns:
        ``miou``: mean IoU, 0..1, None if no class counts; ``iou``: class name -> IoU, None for a
        class that is left out; ``acc``: mean over the same classes of the share of a class's
        pixels that was found (mean recall, "mAcc"; a class without ground truth has none and
        counts 0 only where the protocol counts it 0), or None; ``present``: how many of the
        classes have ground truth; ``false_positive_pixels``: class without ground truth -> pixels
        that were taken for it.

    Raises:
        SartmError: unknown protocol, or a matrix of another shape.
    """
    rule = _rule(protocol)
    if confusion.shape != (len(classes), len(classes) + 1):
        raise SartmError(
            "the confusion matrix has the wrong shape",
            got=confusion.shape,
            expected=(len(classes), len(classes) + 1),
        )
    hits, truth, taken_for = _counts(confusion, rule)
    ious = class_iou(confusion, protocol)
    iou: dict[str, float | None] = {}
    recalls: list[float] = []
    false_positives: dict[str, int] = {}
    for info, value in zip(classes.classes[rule.first :], ious.tolist(), strict=True):
        k = info.id
        iou[info.name] = None if math.isnan(value) else value
        if truth[k]:
            recalls.append(float(hits[k] / truth[k]))
        elif rule.absent == "counted 0":
            recalls.append(0.0)
        if not truth[k] and not (rule.original and k == 0):
            false_positives[info.name] = int(taken_for[k])
    miou = float(mean_iou(ious))
    return {
        "miou": None if math.isnan(miou) else miou,
        "iou": iou,
        "acc": float(np.mean(recalls)) if recalls else None,
        "present": int(np.count_nonzero(truth[rule.first :])),
        "false_positive_pixels": false_positives,
    }


def class_iou(confusion: Confusion, protocol: str) -> npt.NDArray[np.float64]:
    """IoU of each class under one protocol, for one matrix or for many at once.

    Args:
        confusion: int64 [..., C, C+1].
        protocol: a name of :data:`PROTOCOLS`.

    Returns:
        float64 [..., K], the K classes of the protocol's mean in the order of their ids (without
        class 0 where the protocol leaves it out); NaN for a class that is left out.

    Raises:
        SartmError: unknown protocol.
    """
    rule = _rule(protocol)
    hits, truth, taken_for = _counts(confusion, rule)
    union = truth + taken_for - hits
    counted = truth > 0
    if rule.absent == "left out if never predicted":
        counted = union > 0
    absent = 0.0 if rule.absent == "counted 0" else np.nan
    iou = np.where(counted, hits / np.maximum(union, 1), absent)
    return np.asarray(iou[..., rule.first :], np.float64)


def mean_iou(ious: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [...]: the mean of what :func:`class_iou` gave; NaN where no class counts."""
    counted = ~np.isnan(ious)
    number = counted.sum(axis=-1)
    total = np.where(counted, ious, 0.0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def all_scores(confusion: Confusion, classes: ClassTable) -> dict[str, dict[str, Any]]:
    """Protocol name -> scores, for every protocol that the class table can be scored under."""
    return {name: scores(confusion, name, classes) for name in protocols_for(classes)}


def _rule(protocol: str) -> Protocol:
    if protocol not in PROTOCOLS:
        raise SartmError(
            f"unknown protocol '{protocol}'", got=protocol, expected=", ".join(PROTOCOLS)
        )
    return PROTOCOLS[protocol]


def _counts(confusion: Confusion, rule: Protocol) -> tuple[Confusion, Confusion, Confusion]:
    """Per class, int64 [..., C]: pixels that are right, that are it, that were taken for it."""
    counts = confusion.copy()
    if rule.drop_truth_zero:
        counts[..., 0, :] = 0
    if rule.original:
        counts[..., :, 0] = 0
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return hits, counts.sum(axis=-1), counts[..., :-1].sum(axis=-2)
