"""Distillation of teachers against values computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sartm_core.errors import SartmError
from sartm_core.losses import DistillConfig, TeacherDistillation
from sartm_core.losses.distill import counted_cells, distillation_loss, feature_loss
from tests.core.losses.test_gap import kl
from tests.core.losses.views import cells, column

NEVER = torch.full((1, 2), 2.0, dtype=torch.float64)  # no confidence is enough without a label
CLASSES = 6


def said(*probabilities: float) -> torch.Tensor:
    """[1,2,1,N] of two classes, that of class 0 as given."""
    return column(*([p, 1.0 - p] for p in probabilities))


def test_mean_over_cells_by_confidence_and_class() -> None:
    """At T = 2, 0.9 softens to 0.75 and 0.2 to 1/3; the student is undecided."""
    probability, logits = said(0.9, 0.2), torch.zeros(1, 2, 1, 2, dtype=torch.float64)
    counted = counted_cells(probability, cells(0, 1), NEVER)
    loss = distillation_loss(logits, probability, counted, 2.0, 5.0)
    weights = 0.9, 0.8 * 5
    expected = weights[0] * kl(0.75, 0.5) + weights[1] * kl(1 / 3, 0.5)
    assert loss.item() == pytest.approx(4 * expected / sum(weights))


def test_a_student_that_says_the_same_costs_nothing() -> None:
    probability = said(0.9, 0.6, 0.2)
    counted = counted_cells(probability, cells(0, 0, 1), NEVER)
    for temperature in (1.0, 2.0, 5.0):
        loss = distillation_loss(probability.log(), probability, counted, temperature, 5.0)
        assert loss.item() == pytest.approx(0.0, abs=1e-12)


def test_foreground_is_not_lost_in_the_background() -> None:
    """93 cells of background and 7 of class 1, the student wrong by as much in all of them."""
    probability = said(*[0.9] * 93, *[0.1] * 7)
    logits = torch.zeros(1, 2, 1, 100, dtype=torch.float64, requires_grad=True)
    counted = counted_cells(probability, cells(*[0] * 93, *[1] * 7), NEVER)
    distillation_loss(logits, probability, counted, 1.0, 5.0).backward()
    assert logits.grad is not None
    pull = logits.grad.abs().sum(dim=1).flatten()
    assert pull[93:].sum() / pull.sum() == pytest.approx(7 * 5 / (93 + 7 * 5))


def test_only_what_the_teacher_knows_is_learned() -> None:
    """Right; wrong; without a label and sure enough; without and not sure; nothing said."""
    probability = said(0.9, 0.8, 0.4, 0.7, 0.5)
    probability[..., 4] = 0.0
    threshold = torch.tensor([[0.8, 0.5]], dtype=torch.float64)
    for last in (0, 255):  # of the cell in which nothing is said
        counted = counted_cells(probability, cells(0, 1, 255, 255, last), threshold)
        assert counted[0, :, 0].T.tolist() == [
            [True, False],
            [False, False],
            [False, True],  # 0.6 for class 1, which needs 0.5
            [False, False],  # 0.7 for class 0, which needs 0.8
            [False, False],
        ]
    logits = torch.zeros(1, 2, 1, 5, dtype=torch.float64, requires_grad=True)
    distillation_loss(logits, probability, counted, 1.0, 1.0).backward()
    assert logits.grad is not None
    pulled = logits.grad.abs().sum(dim=1).flatten() > 0
    assert pulled.tolist() == [True, False, True, False, False]


def test_a_class_that_a_data_set_does_not_label_is_right_on_background() -> None:
    for flags, counts in (([True, True], False), ([True, False], True)):
        counted = counted_cells(said(0.2), cells(0), NEVER, torch.tensor([flags]))
        assert counted.any().item() == counts


def test_distance_of_features_is_a_cosine_over_the_cells_that_have_a_target() -> None:
    target = column([1.0, 0.0], [0.0, 0.0], [0.0, 2.0])
    projected = column([1.0, 1.0], [1.0, 0.0], [0.0, -1.0])
    expected = ((1 - math.sqrt(0.5)) + 2.0) / 2
    assert feature_loss(projected, target).item() == pytest.approx(expected)


def distillation(**changes: float) -> TeacherDistillation:
    torch.manual_seed(0)
    config = replace(DistillConfig(min_pixels=1), **changes)  # type: ignore[arg-type]
    return TeacherDistillation(config, classes=CLASSES, channels=3, teacher_channels=3).double()


ALL = {"logits": 1.0, "feature": 1.0, "relation": 1.0}


def a_batch(*classes: int) -> dict[str, torch.Tensor]:
    """A row of cells of these classes, about which the teacher is right where there is a label."""
    generator = torch.Generator().manual_seed(1)
    label = cells(*classes)
    draw = torch.randn(3, 1, 3, 1, len(classes), generator=generator, dtype=torch.float64)
    wanted = torch.tensor(classes).clamp_max(CLASSES - 1)
    sure = 5.0 * torch.eye(CLASSES, dtype=torch.float64)[wanted].T
    return {
        "logits": torch.randn(1, CLASSES, 1, len(classes), generator=generator).double(),
        "feature": draw[0],
        "probability": sure.softmax(dim=0).reshape(1, CLASSES, 1, -1),
        "teacher_feature": draw[1],
        "threshold": torch.full((1, CLASSES), 2.0, dtype=torch.float64),
        "label": label,
    }


def relation(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return distillation(relation=1.0)(**batch)["relation"]


def test_relations_are_of_angles_around_the_centre() -> None:
    """They are the same in a space that is turned, stretched and moved."""
    batch = a_batch(0, 1, 2, 3, 4, 5)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    turned = 4.0 * torch.einsum("ij,bjhw->bihw", turn, batch["teacher_feature"]) + 7.0
    assert relation({**batch, "feature": turned}).item() == pytest.approx(0.0, abs=1e-9)
    shuffled = turned[..., [0, 2, 3, 4, 5, 1]]
    assert relation({**batch, "feature": shuffled}) > 0.1


def test_relations_move_the_student_only() -> None:
    batch = a_batch(0, 1, 2, 3, 4, 255)
    batch["feature"].requires_grad_()
    batch["teacher_feature"].requires_grad_()
    relation(batch).backward()
    assert batch["teacher_feature"].grad is None
    assert batch["feature"].grad is not None
    pulled = batch["feature"].grad.abs().sum(dim=1).flatten() > 0
    assert pulled.tolist() == [False, True, True, True, True, False]


def test_relations_need_three_other_classes() -> None:
    assert relation(a_batch(0, 1, 2, 3)) == 0  # background is not one of them
    assert relation(a_batch(0, 1, 2, 3, 4)) > 0


def test_absent_classes_take_part_by_their_averages() -> None:
    module = distillation(relation=1.0)
    module(**a_batch(1, 2, 3, 4, 5))
    module.update()
    assert module(**a_batch(1, 1, 2, 2, 0))["relation"] > 0
    fresh = distillation(relation=1.0)
    assert fresh(**a_batch(1, 1, 2, 2, 0))["relation"] == 0


def test_averages_move_once_for_each_batch() -> None:
    module = distillation(relation=1.0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(**a_batch(1, 2, 3))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    module.update()
    once = {name: value.clone() for name, value in module.state_dict().items()}
    assert once["banks.teacher.seen"].tolist() == [False, True, True, True, False, False]
    module.update()
    for name, value in module.state_dict().items():
        assert torch.equal(value, once[name])


def test_cells_in_which_the_teacher_has_no_feature_make_no_prototype() -> None:
    module, batch = distillation(relation=1.0), a_batch(1, 2, 3, 4)
    batch["teacher_feature"][..., 3] = 0.0
    module(**batch)
    module.update()
    assert module.banks["teacher"].seen.tolist() == [False, True, True, True, False, False]


def test_gradient_flows_into_the_student_and_the_projection_only() -> None:
    module, batch = distillation(**ALL), a_batch(0, 1, 2, 3, 4, 255)
    for name in ("logits", "feature", "probability", "teacher_feature"):
        batch[name].requires_grad_()
    parts = module(**batch)
    assert set(parts) == set(ALL)
    assert all(part > 0 for part in parts.values())
    torch.stack([*parts.values()]).sum().backward()
    for name in ("probability", "teacher_feature"):
        assert batch[name].grad is None
    assert batch["logits"].grad is not None
    pulled = batch["logits"].grad.abs().sum(dim=1).flatten() > 0
    assert pulled.tolist() == [True] * 5 + [False]
    assert batch["feature"].grad is not None
    assert batch["feature"].grad.abs().sum(dim=1).all()  # a feature needs no label
    assert module.projection is not None
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("nothing", ["label", "said"])
def test_nothing_to_learn_from_costs_nothing_and_stays_finite(
    dtype: torch.dtype, nothing: str
) -> None:
    module, batch = distillation(**ALL).float(), a_batch(0, 1, 2, 3, 4)
    batch = {name: value.float() for name, value in batch.items()} | {"label": batch["label"]}
    batch["label"] = torch.full_like(batch["label"], 255)
    batch["teacher_feature"] *= 0.0
    if nothing == "said":
        batch["label"] = cells(0, 1, 2, 3, 4)
        batch["probability"] *= 0.0
    for name in ("logits", "feature"):
        batch[name] = (60.0 * batch[name]).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        parts = module(**batch)
    for part in parts.values():
        assert part == 0
        assert part.dtype == torch.float32
    torch.stack([*parts.values()]).sum().backward()
    for tensor in (batch["logits"], batch["feature"], *module.parameters()):
        assert tensor.grad is not None
        assert not tensor.grad.any()  # neither NaN


def test_logits_on_another_grid() -> None:
    """What is said about each cell of 2x2 smaller ones is their mean."""
    batch = a_batch(0, 1, 2, 3)
    fine = batch["probability"].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    loss = distillation(logits=1.0)
    same = loss(**batch)["logits"]
    assert loss(**{**batch, "probability": fine})["logits"].item() == pytest.approx(same.item())
    fine[..., 0, 0] = 0.0  # one of the four says nothing
    part = loss(**{**batch, "probability": fine})["logits"]
    lacking = batch["probability"].clone()
    lacking[..., 0] = 0.0
    expected = loss(**{**batch, "probability": lacking})["logits"]
    assert part.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("side", "who"), [("feature", "student"), ("teacher_feature", "teacher")])
def test_a_missing_feature_is_refused_by_name(side: str, who: str) -> None:
    with pytest.raises(SartmError, match=f"multi-scale features.*none in the .*{who}"):
        distillation(feature=1.0)(**{**a_batch(0, 1), side: None})
