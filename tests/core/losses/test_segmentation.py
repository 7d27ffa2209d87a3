"""Segmentation losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sartm_core.losses import LossConfig, dice_loss, hardest_mean, segmentation_loss

LOG2, LOG4 = math.log(2.0), math.log(4.0)


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """[1,C,1,W] logits whose softmax over C is the given column for each pixel."""
    return torch.tensor(probabilities).T.log().reshape(1, len(probabilities[0]), 1, -1)


def test_foreground_pixels_weigh_more() -> None:
    logits = logits_of([[0.5, 0.5], [0.75, 0.25]])
    label = torch.tensor([[[0, 1]]])
    _, parts = segmentation_loss(logits, label, LossConfig(1.0, 5.0))
    assert parts["ce"].item() == pytest.approx((1.0 * LOG2 + 5.0 * LOG4) / 6.0)


def test_total_is_the_weighted_sum_of_its_parts() -> None:
    logits = logits_of([[0.5, 0.5], [0.75, 0.25]])
    label = torch.tensor([[[0, 1]]])
    config = LossConfig(hardest=0.3, hardest_fraction=0.5, dice=2.0)
    total, parts = segmentation_loss(logits, label, config)
    assert parts["hardest"].item() == pytest.approx(LOG4)
    expected = parts["ce"] + 0.3 * parts["hardest"] + 2.0 * parts["dice"]
    assert total.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.5, 3.5),  # the upper half
        (1.0, 2.5),  # everything
        (0.01, 4.0),  # at least one pixel
    ],
)
def test_hardest_pixels(fraction: float, expected: float) -> None:
    assert hardest_mean(torch.tensor([1.0, 4.0, 2.0, 3.0]), fraction).item() == expected


def test_dice_over_present_classes_only() -> None:
    # Two pixels of class 1 among three classes; class 2 is nowhere in the labels.
    logits = logits_of([[0.2, 0.6, 0.2], [0.2, 0.6, 0.2]])
    label = torch.tensor([[[1, 1]]])
    # overlap 1.2, sizes 1.2 + 2
    assert dice_loss(logits, label).item() == pytest.approx(1.0 - 2.0 * 1.2 / 3.2)


def test_perfect_prediction_costs_nothing() -> None:
    label = torch.tensor([[[0, 1], [2, 1]]])
    logits = torch.nn.functional.one_hot(label, 3).permute(0, 3, 1, 2) * 100.0
    total, _ = segmentation_loss(logits, label, LossConfig())
    assert total.item() == pytest.approx(0.0, abs=1e-5)


def test_ignored_pixels_change_nothing() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 2, 4)
    label = torch.randint(0, 3, (1, 2, 4))
    wider = torch.cat([logits, 50.0 * torch.randn(1, 3, 2, 3)], dim=3)
    ignored = torch.cat([label, torch.full((1, 2, 3), 255)], dim=2)
    config = LossConfig(hardest_fraction=0.5)
    assert segmentation_loss(wider, ignored, config)[0].item() == pytest.approx(
        segmentation_loss(logits, label, config)[0].item(), rel=1e-5
    )


def test_batch_of_ignored_pixels_gives_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    total, _ = segmentation_loss(logits, torch.full((2, 4, 4), 255), LossConfig())
    total.backward()
    assert total.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.abs().max().item() == 0.0
