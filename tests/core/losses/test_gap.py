"""The gap between modalities against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sartm_core.losses import CmkdConfig, CrossModalDistillation
from sartm_core.losses.gap import gap_loss, trusted_cells
from tests.core.losses.views import View, cells, column


def kl(p: float, q: float) -> float:
    """Of two classes: KL((p, 1 - p) || (q, 1 - q))."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def at(temperature: float, *probabilities: float) -> torch.Tensor:
    """Logits [1,2,1,N] of two classes; softmax(z / temperature) of class 0 is as given."""
    return column(*([temperature * math.log(p / (1 - p)), 0.0] for p in probabilities))


def test_each_class_has_the_same_mass() -> None:
    """Three cells of class 0 and one of class 1, the target right in all of them."""
    target, logits = at(2.0, 0.9, 0.8, 0.7, 0.2), at(2.0, 0.5, 0.5, 0.5, 0.6)
    loss = gap_loss(logits, target, trusted_cells(target, cells(0, 0, 0, 1)), 2.0)
    class_0 = (kl(0.9, 0.5) + kl(0.8, 0.5) + kl(0.7, 0.5)) / 3
    assert loss.item() == pytest.approx(4.0 * (class_0 + kl(0.2, 0.6)) / 2)


def test_cells_where_the_target_is_wrong_or_nothing_is_labelled_are_left_out() -> None:
    target, logits = at(1.0, 0.9, 0.8, 0.7), at(1.0, 0.5, 0.5, 0.5)
    loss = gap_loss(logits, target, trusted_cells(target, cells(0, 1, 255)), 1.0)
    assert loss.item() == pytest.approx(kl(0.9, 0.5))  # class 1 has no cell left, and no mass


def test_an_unlabelled_class_is_right_on_background() -> None:
    target = at(1.0, 0.2)  # says class 1, on background
    for flags, trusted in (([True, True], False), ([True, False], True)):
        assert trusted_cells(target, cells(0), torch.tensor([flags])).any().item() == trusted


def views(rgb: torch.Tensor, thermal: torch.Tensor, fused: torch.Tensor) -> dict[str, View]:
    named = {"fused": fused, "rgb": rgb, "thermal": thermal}
    return {name: View(tensor, tensor) for name, tensor in named.items()}


def gap(**changes: float) -> CrossModalDistillation:
    config = CmkdConfig(gap=1.0, **{"temperature": 1.0, "ramp": 0.0, **changes})  # type: ignore[arg-type]
    return CrossModalDistillation(config, classes=2, channels=2)


def test_mean_over_the_cameras_that_are_there() -> None:
    three = views(at(1.0, 0.5), at(1.0, 0.6), at(1.0, 0.9))
    term = gap()(three, None, cells(0), 0.0)["gap"]
    assert term.item() == pytest.approx((kl(0.9, 0.5) + kl(0.9, 0.6)) / 2)
    del three["thermal"]
    assert gap()(three, None, cells(0), 0.0)["gap"].item() == pytest.approx(kl(0.9, 0.5))


def test_the_undropped_pair_is_the_target_where_it_is_given() -> None:
    three = views(at(1.0, 0.5), at(1.0, 0.5), at(1.0, 0.9))
    term = gap()(three, at(1.0, 0.8), cells(0), 0.0)["gap"]
    assert term.item() == pytest.approx(kl(0.8, 0.5))


@pytest.mark.parametrize(
    ("progress", "part"),
    [(0.0, 0.0), (0.05, 0.25), (0.2, 1.0), (0.9, 1.0)],
)
def test_the_gap_grows_over_the_ramp(progress: float, part: float) -> None:
    three = views(at(1.0, 0.5), at(1.0, 0.5), at(1.0, 0.9))
    term = gap(ramp=0.2)(three, None, cells(0), progress)["gap"]
    assert term.item() == pytest.approx(part * kl(0.9, 0.5))


def test_gradient_flows_into_the_cameras_and_not_into_the_target() -> None:
    rgb, thermal, fused = (at(1.0, p, p).requires_grad_() for p in (0.5, 0.6, 0.9))
    gap()(views(rgb, thermal, fused), None, cells(0, 1), 1.0)["gap"].backward()
    assert fused.grad is None
    for logits in (rgb, thermal):
        assert logits.grad is not None
        pulled = logits.grad[0].abs().sum(dim=0).flatten() > 0
        assert pulled.tolist() == [True, False]  # in the second cell the target is wrong


def prototype_gap(classes: int = 3) -> CrossModalDistillation:
    config = CmkdConfig(gap_prototype=1.0, min_pixels=1)
    return CrossModalDistillation(config, classes=classes, channels=2).double()


def test_prototype_distance_is_of_cosines_around_the_mean_of_the_foreground() -> None:
    """Fused prototypes (5, 0), (2, 1), (0, 1): the mean of classes 1 and 2 is (1, 1), around which
    they point along (4, -1), (1, 0), (-1, 0). RGB: along (4, -1), (1, 1), (0, -1)."""
    fused = column([5.0, 0.0], [2.0, 1.0], [0.0, 1.0])
    rgb = column([9.0, -1.0], [3.0, 3.0], [1.0, 0.0])
    seen = {"fused": View(fused, fused), "rgb": View(rgb, rgb)}
    term = prototype_gap()(seen, None, cells(0, 1, 2), 0.0)["gap_prototype"]
    assert term.item() == pytest.approx(((1 - 1) + (1 - math.sqrt(0.5)) + (1 - 0)) / 3)


def test_prototype_distance_pulls_the_cameras_only() -> None:
    torch.manual_seed(0)
    rgb, thermal, fused = (
        torch.randn(1, 2, 1, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    three = views(rgb, thermal, fused)
    prototype_gap()(three, None, cells(0, 1, 255), 0.0)["gap_prototype"].backward()
    assert fused.grad is None or fused.grad.abs().max() == 0
    for feature in (rgb, thermal):
        assert feature.grad is not None
        assert feature.grad[..., :2].abs().max() > 0
        assert feature.grad[..., 2].abs().max() == 0


def test_equal_prototypes_cost_nothing_whatever_their_scale_around_the_mean() -> None:
    fused = column([5.0, 0.0], [2.0, 1.0], [0.0, 1.0])
    rgb = 3.0 * (fused - 1.0) + 1.0  # the mean of classes 1 and 2 is (1, 1)
    seen = {"fused": View(fused, fused), "rgb": View(rgb, rgb)}
    term = prototype_gap()(seen, None, cells(0, 1, 2), 0.0)["gap_prototype"]
    assert term.item() == pytest.approx(0.0, abs=1e-12)
