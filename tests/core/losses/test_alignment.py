"""Alignment of prototypes with words against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sartm_core.losses import CmkdConfig, CrossModalDistillation
from tests.core.losses.views import View, cells, column


def module(words: list[list[float]], centre: list[float]) -> CrossModalDistillation:
    return CrossModalDistillation(
        CmkdConfig(alignment_prototype=1.0, tau_text=0.1, min_pixels=1),
        classes=len(words),
        channels=2,
        words=torch.tensor(words),
        centre=torch.tensor(centre),
    ).double()


def test_cross_entropy_of_cosines_with_centred_words() -> None:
    """Around their centre, words 1 and 2 point along x and y; the prototype of class 1 is (3, 4):
    cosines 0.6 and 0.8. Class 0 is there and costs nothing; class 2 is absent."""
    cmkd = module([[0.0, 0.0], [1.5, 0.5], [0.5, 1.5]], [0.5, 0.5])
    view = {"fused": View(torch.empty(0), column([7.0, 1.0], [3.0, 4.0]))}
    term = cmkd(view, None, cells(0, 1), 0.0, nn.Identity())["alignment_prototype"]
    assert term.item() == pytest.approx(math.log(1 + math.exp((0.8 - 0.6) / 0.1)))


def test_mean_over_the_present_classes() -> None:
    cmkd = module([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    view = {"fused": View(torch.empty(0), column([3.0, 4.0], [3.0, 4.0]))}
    term = cmkd(view, None, cells(1, 2), 0.0, nn.Identity())["alignment_prototype"]
    expected = (math.log(1 + math.exp(2)) + math.log(1 + math.exp(-2))) / 2
    assert term.item() == pytest.approx(expected)


def test_gradient_reaches_the_projection_and_the_feature_but_no_word() -> None:
    cmkd = module([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.1, 0.2])
    project = nn.Linear(2, 2, bias=False).double()
    feature = column([3.0, 4.0], [1.0, 2.0], [5.0, 6.0]).requires_grad_()
    view = {"fused": View(torch.empty(0), feature)}
    cmkd(view, None, cells(0, 1, 255), 0.0, project)["alignment_prototype"].backward()
    assert feature.grad is not None
    assert project.weight.grad is not None
    pulled = feature.grad[0].abs().sum(dim=0).flatten() > 0
    assert pulled.tolist() == [False, True, False]  # neither background nor what is ignored
    assert project.weight.grad.abs().max() > 0
    assert not any(buffer.requires_grad for buffer in cmkd.buffers())
    assert not list(cmkd.parameters())


def test_nothing_to_align_costs_nothing() -> None:
    cmkd = module([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    project = nn.Linear(2, 2).double()
    for label in (cells(0, 0), cells(255, 255)):
        feature = column([3.0, 4.0], [1.0, 2.0]).requires_grad_()
        term = cmkd({"fused": View(feature, feature)}, None, label, 0.0, project)
        term["alignment_prototype"].backward()
        assert term["alignment_prototype"].item() == 0
        assert feature.grad is not None
        assert feature.grad.abs().max() == 0
