"""Prototypes and their moving averages against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from sartm_core.losses.labels import class_area, class_pixels, nearest_label
from sartm_core.losses.prototypes import PrototypeBank, class_prototypes
from tests.core.losses.views import column


def two_cells() -> torch.Tensor:
    """[1,4,8]: class 1; beside it 4 pixels of class 1, 8 of class 2 and 4 ignored."""
    label = torch.ones(1, 4, 8, dtype=torch.int64)
    label[0, 1:3, 4:] = 2
    label[0, 3, 4:] = 255
    return label


def test_prototypes_are_means_weighted_by_area() -> None:
    area = class_area(two_cells(), 4, (1, 2), torch.float64)
    assert area[0, :, 0].T.tolist() == [[0.0, 1.0, 0.0, 0.0], [0.0, 0.25, 0.5, 0.0]]
    prototypes = class_prototypes(column([10.0, 1.0], [20.0, 2.0]), area)
    # Class 1: (1 x 10 + 0.25 x 20) / 1.25. Classes 0 and 3 are nowhere.
    expected = [[0.0, 0.0], [12.0, 1.2], [20.0, 2.0], [0.0, 0.0]]
    torch.testing.assert_close(prototypes, torch.tensor(expected, dtype=torch.float64))


def test_pixels_are_counted_at_full_resolution() -> None:
    assert class_pixels(two_cells(), 4).tolist() == [0, 20, 8, 0]


def test_gradient_of_a_prototype_is_each_cells_share_of_the_class() -> None:
    feature = column([10.0], [20.0]).requires_grad_()
    area = class_area(two_cells(), 4, (1, 2), torch.float64)
    class_prototypes(feature, area)[1].sum().backward()
    assert feature.grad is not None
    assert feature.grad.flatten().tolist() == pytest.approx([0.8, 0.2])


def test_ignored_pixels_and_absent_classes_pull_at_nothing() -> None:
    feature = torch.randn(1, 3, 2, 2, requires_grad=True)
    label = torch.full((1, 8, 8), 255)
    prototypes = class_prototypes(feature, class_area(label, 3, (2, 2)))
    prototypes.sum().backward()
    assert prototypes.abs().max() == 0
    assert feature.grad is not None
    assert feature.grad.abs().max() == 0


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_prototypes_are_float32_at_least(dtype: torch.dtype, expected: torch.dtype) -> None:
    area = class_area(two_cells(), 4, (1, 2))
    assert class_prototypes(column([1.0], [2.0]).to(dtype), area).dtype == expected


def test_a_cell_has_the_label_under_its_centre() -> None:
    label = torch.arange(64).reshape(1, 8, 8)
    assert nearest_label(label, (2, 2)).tolist() == [[[18, 22], [50, 54]]]
    assert nearest_label(label, (8, 8)).equal(label)


def test_average_starts_at_the_first_observation_and_keeps_absent_classes() -> None:
    bank = PrototypeBank(3, 1, momentum=0.9)
    bank.update(torch.tensor([[1.0], [5.0], [0.0]]), torch.tensor([True, True, False]))
    assert bank.mean.flatten().tolist() == [1.0, 5.0, 0.0]
    bank.update(torch.tensor([[2.0], [0.0], [7.0]]), torch.tensor([True, False, True]))
    assert bank.mean.flatten().tolist() == pytest.approx([1.1, 5.0, 7.0])
    assert bank.seen.tolist() == [True, True, True]


def test_averages_are_in_the_state_dict() -> None:
    bank = PrototypeBank(3, 2, momentum=0.9)
    bank.update(torch.randn(3, 2), torch.tensor([True, False, True]))
    restored = PrototypeBank(3, 2, momentum=0.9)
    restored.load_state_dict(bank.state_dict())
    assert restored.mean.equal(bank.mean)
    assert restored.seen.tolist() == [True, False, True]


def test_absent_classes_come_from_the_average_if_they_were_ever_seen() -> None:
    bank = PrototypeBank(4, 1, momentum=0.5)
    bank.update(torch.tensor([[9.0], [1.0], [3.0], [0.0]]), torch.tensor([True, True, True, False]))
    prototypes = torch.tensor([[8.0], [2.0], [0.0], [0.0]], requires_grad=True)
    present = torch.tensor([True, True, False, False])
    columns, known = bank.completed(prototypes, present)
    assert columns.flatten().tolist() == [8.0, 2.0, 3.0, 0.0]
    assert known.tolist() == [True, True, True, False]
    assert not columns.requires_grad
    # mu is the mean of the averages of classes 1 and 2, not of the batch.
    foreground = torch.tensor([False, True, True, True])
    centre = bank.centre(prototypes, present, foreground)
    assert centre.tolist() == [2.0]
    assert not centre.requires_grad
    # Class 3 is observed for the first time: its average is about to start from 8.
    late = torch.tensor([[0.0], [0.0], [0.0], [8.0]])
    assert bank.centre(late, torch.tensor([False, False, False, True]), foreground).tolist() == [4]
