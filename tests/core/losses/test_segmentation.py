"""Segmentation losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sartm_core.losses import (
    LossConfig,
    dice_loss,
    hardest_mean,
    log_probabilities,
    segmentation_loss,
)

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
    assert dice_loss(logits.softmax(dim=1), label).item() == pytest.approx(1.0 - 2.0 * 1.2 / 3.2)


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


def test_background_may_be_what_a_data_set_does_not_label() -> None:
    # Two samples see the same: background 0.2, class 1 0.3, class 2 0.5, on a pixel labelled 0.
    # The first data set labels everything; the second one has no class 2.
    logits = logits_of([[0.2, 0.3, 0.5]]).repeat(2, 1, 1, 1)
    label = torch.zeros(2, 1, 1, dtype=torch.int64)
    labelled = torch.tensor([[True, True, True], [True, True, False]])
    _, parts = segmentation_loss(logits, label, LossConfig(), labelled)
    assert parts["ce"].item() == pytest.approx(-(math.log(0.2) + math.log(0.7)) / 2)
    assert parts["hardest"].item() == pytest.approx(-math.log(0.2))
    # Dice of class 0: overlap 0.2 + 0.7, sizes 0.9 + 2.
    assert parts["dice"].item() == pytest.approx(1.0 - 2.0 * 0.9 / 2.9)


def test_class_0_counts_as_labelled_whatever_the_flags_say() -> None:
    logits, label = torch.randn(2, 3, 2, 2), torch.randint(0, 2, (2, 2, 2))
    with_0 = torch.tensor([[True, True, False]] * 2)
    without_0 = torch.tensor([[False, True, False]] * 2)
    assert (
        segmentation_loss(logits, label, LossConfig(), with_0)[0]
        == segmentation_loss(logits, label, LossConfig(), without_0)[0]
    )


def test_all_classes_labelled_is_the_plain_loss() -> None:
    logits, label = torch.randn(2, 4, 3, 3), torch.randint(0, 4, (2, 3, 3))
    plain, _ = segmentation_loss(logits, label, LossConfig())
    flagged, _ = segmentation_loss(logits, label, LossConfig(), torch.ones(2, 4, dtype=torch.bool))
    assert flagged.item() == pytest.approx(plain.item(), rel=1e-6)


def test_no_class_is_punished_for_being_unlabelled_elsewhere() -> None:
    """The second sample's data set has no class 2; the first one's has, and labels one pixel so,
    which keeps the class in the Dice."""
    label = torch.tensor([[[2, 0, 1]], [[0, 0, 1]]])
    labelled = torch.tensor([[True, True, True], [True, True, False]])

    def loss(of_class_2: float) -> tuple[float, float]:
        """Total, and gradient at class 2, when the second sample's background looks like 2."""
        logits = torch.zeros(2, 3, 1, 3)
        logits[1, 2, 0, :2] = of_class_2
        logits[1, 0, 0, :2] = -of_class_2
        logits.requires_grad_()
        total, _ = segmentation_loss(logits, label, LossConfig(), labelled)
        total.backward()
        assert logits.grad is not None
        return total.item(), float(logits.grad[1, 2, 0, :2].max())

    undecided, pull = loss(0.0)
    assert pull < 0  # a step of descent raises class 2 there, as it raises background
    assert loss(5.0)[0] < undecided  # to be sure of class 2 beats sharing with the wrong class 1
    # The same labels, taken for labels of all classes, punish it.
    logits = torch.zeros(2, 3, 1, 3, requires_grad=True)
    segmentation_loss(logits, label, LossConfig())[0].backward()
    assert logits.grad is not None
    assert logits.grad[1, 2, 0, :2].min() > 0


def test_half_precision_sums_do_not_overflow() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(1, 3, 300, 300), torch.randint(0, 3, (1, 300, 300))
    exact, _ = segmentation_loss(logits, label, LossConfig())
    for dtype in (torch.float16, torch.bfloat16):
        total, _ = segmentation_loss(logits.to(dtype), label, LossConfig())
        assert total.dtype == torch.float32
        assert total.item() == pytest.approx(exact.item(), rel=1e-2)


def test_dice_of_a_class_is_over_the_samples_that_label_it() -> None:
    # Both samples: one pixel of background 0.2, class 1 0.3, class 2 0.5. The first one is labelled
    # 2; the second one is labelled 1, and its data set has no class 2.
    logits = logits_of([[0.2, 0.3, 0.5]]).repeat(2, 1, 1, 1)
    labelled = torch.tensor([[True, True, True], [True, True, False]])
    # Class 1: overlap 0.3, sizes 0.6 + 1. Class 2: overlap 0.5, sizes 0.5 + 1.
    expected = 1.0 - (2.0 * 0.3 / 1.6 + 2.0 * 0.5 / 1.5) / 2
    probability = log_probabilities(logits, labelled).exp()
    dice = dice_loss(probability, torch.tensor([[[2]], [[1]]]), labelled)
    assert dice.item() == pytest.approx(expected)
