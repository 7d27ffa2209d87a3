"""What is wrong with the released prototypes and text relation, and that sartm's are right."""

from __future__ import annotations

import math

import pytest
import torch

from sartm_core.errors import SartmError
from sartm_core.losses import CmkdConfig, CrossModalDistillation, gradient_norms
from sartm_core.losses.labels import class_area
from sartm_core.losses.prototypes import class_prototypes
from sartm_core.losses.released import released_prototypes
from tests.core.losses.views import View, cells, column

BOTH_ON = CmkdConfig(gap_prototype=1.0, relation=1.0, min_pixels=1)


def scene(classes: int = 6, channels: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Feature [2,D,24,24] of classes in vertical stripes, its label, and the true class means."""
    torch.manual_seed(0)
    means = torch.randn(classes, channels)
    stripes = torch.arange(24) * classes // 24
    feature = means[stripes].T[None, :, None, :] + 0.3 * torch.randn(2, channels, 24, 24)
    label = stripes.repeat_interleave(4).expand(2, 96, 96).contiguous()
    return feature, label, means


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean over the classes of the correlation of their rows."""
    pairs = [torch.corrcoef(torch.stack(rows))[0, 1] for rows in zip(a, b, strict=True)]
    return float(torch.stack(pairs).mean())


def test_released_prototypes_are_unrelated_to_the_class_means() -> None:
    feature, label, means = scene()
    right = class_prototypes(feature, class_area(label, 6, (24, 24)))
    assert correlation(right, means) > 0.99
    assert abs(correlation(released_prototypes(feature, label, 6), means)) < 0.3


def test_released_prototypes_by_hand() -> None:
    """Two cells (1, 2) and (3, 4): runs (1, 2) and (3, 4) instead of channels (1, 3) and (2, 4)."""
    prototypes = released_prototypes(column([1.0, 2.0], [3.0, 4.0]), cells(1, 1), 3)
    assert prototypes.tolist() == [[0.0, 0.0], [1.5 / 2, 3.5 / 2], [0.0, 0.0]]


def modules(words: torch.Tensor | None = None) -> dict[str, CrossModalDistillation]:
    """The released form, and sartm's."""
    words = torch.cat([torch.zeros(1, 5), torch.eye(5)]) if words is None else words
    return {
        method: CrossModalDistillation(
            BOTH_ON,
            classes=len(words),
            channels=16,
            words=words,
            centre=words[1:].mean(dim=0),
            released=method == "released",
        )
        for method in ("released", "sartm")
    }


def test_absent_classes_pull_the_released_mean_to_zero_alone() -> None:
    feature, label, _ = scene()
    both = modules()
    for cmkd in both.values():
        view = View(feature, feature)
        cmkd({"fused": view, "rgb": view}, None, label, 1.0)
        cmkd.update()
    released, right = both["released"].running, both["sartm"].banks["fused"]
    assert released is not None
    before, kept = released.mean[2].clone(), right.mean[2].clone()
    for _ in range(10):  # batches without class 2
        for cmkd in both.values():
            cmkd({"fused": view, "rgb": view}, None, label.where(label != 2, 255), 1.0)
            cmkd.update()
    torch.testing.assert_close(released.mean[2], 0.9**10 * before)
    assert right.mean[2].equal(kept)


def test_the_released_mean_is_not_in_the_state_dict() -> None:
    both = modules()
    assert not both["released"].state_dict()
    assert {name.split(".")[-1] for name in both["sartm"].state_dict()} == {"mean", "seen"}


def test_released_losses_by_hand() -> None:
    """One cell each of two classes with words at a right angle, prototypes (2, 0) and (2, 0)."""
    words = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    cmkd = CrossModalDistillation(BOTH_ON, classes=3, channels=2, words=words, released=True)
    feature = column([2.0, 0.0], [2.0, 0.0])
    parts = cmkd({"fused": View(feature, feature)}, None, cells(1, 2), 0.0)
    # Cosines of words: 1 with itself, 0 with the other one; of prototypes: all 1.
    p = math.e / (math.e + 1)
    divergence = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert parts["relation"].item() == pytest.approx(2 * divergence / 4)
    # The running mean starts at 0 and has moved by a tenth: (0.2, 0); class 0 is at (0, 0).
    q, r = math.exp(0.2) / (math.exp(0.2) + 1), math.exp(2.0) / (math.exp(2.0) + 1)
    divergence = q * math.log(q / r) + (1 - q) * math.log((1 - q) / (1 - r))
    assert parts["gap_prototype"].item() == pytest.approx(2 * divergence / 6)


def test_the_released_relation_pulls_next_to_nothing() -> None:
    torch.manual_seed(1)
    mean = torch.nn.functional.normalize(torch.randn(64), dim=0)
    noise = torch.nn.functional.normalize(torch.randn(5, 64), dim=1)
    words = torch.nn.functional.normalize(0.6 * mean + 0.8 * noise, dim=1)
    feature, label, _ = scene()
    feature.requires_grad_()
    norms = {}
    for method, cmkd in modules(torch.cat([torch.zeros(1, 64), words])).items():
        view = View(feature, feature)
        parts = cmkd({"fused": view, "rgb": view}, None, label, 1.0)
        norms[method] = gradient_norms(parts, feature)["relation"]
    assert norms["released"] < 0.05 * norms["sartm"]


def test_the_released_form_has_no_other_terms() -> None:
    with pytest.raises(SartmError, match=r"no cmkd\.gap"):
        CrossModalDistillation(CmkdConfig(gap=1.0), classes=3, channels=2, released=True)
