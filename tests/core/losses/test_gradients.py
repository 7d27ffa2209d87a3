"""Gradient norms against values computed by hand."""

from __future__ import annotations

import pytest
import torch

from sartm_core.losses import gradient_norms


def test_norm_of_each_loss_and_the_graph_is_kept() -> None:
    feature = torch.tensor([3.0, 4.0], requires_grad=True)
    parts = {
        "square": feature.square().sum() / 2,  # gradient (3, 4)
        "sum": 2.0 * feature.sum(),  # (2, 2)
        "other": torch.ones(1, requires_grad=True).sum(),
        "constant": torch.ones(()),
    }
    norms = gradient_norms(parts, feature)
    assert norms == pytest.approx({"square": 5.0, "sum": 8**0.5, "other": 0.0, "constant": 0.0})
    assert feature.grad is None
    parts["square"].backward()
