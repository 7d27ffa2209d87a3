"""The multi-scale head: what it computes, that all of it learns, its export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.models.heads import MultiScaleHead
from tests.core.models.checks import (
    CHANNELS,
    check_every_parameter_learns,
    check_onnx_equals_torch,
    random_levels,
)

WIDTH = 12


@pytest.fixture
def head() -> MultiScaleHead:
    torch.manual_seed(0)
    return MultiScaleHead(CHANNELS, WIDTH)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (96, 160)])
def test_feature_at_a_quarter_of_the_input(head: MultiScaleHead, height: int, width: int) -> None:
    feature = head(random_levels(0, 2, height, width))
    assert feature.shape == (2, WIDTH, height // 4, width // 4)
    assert (feature >= 0).all()


def test_equals_a_1x1_over_the_concatenation(head: MultiScaleHead) -> None:
    levels = random_levels(1, 2, 64, 96)
    upsampled = [
        F.interpolate(perceptron(level), size=(16, 24), mode="bilinear", align_corners=False)
        for perceptron, level in zip(head.perceptrons, levels, strict=True)
    ]
    weight = torch.cat([fuse.weight for fuse in head.fuse], dim=1)
    expected = head.norm(F.conv2d(torch.cat(upsampled, dim=1), weight)).relu()
    torch.testing.assert_close(head(levels), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("index", range(4))
def test_every_level_matters(head: MultiScaleHead, index: int) -> None:
    levels = random_levels(2, 1, 64, 64)
    reference = head(levels)
    levels[index] = levels[index] + 1.0
    assert not torch.equal(head(levels), reference)


def test_every_parameter_learns(head: MultiScaleHead) -> None:
    levels = random_levels(3, 2, 64, 96)
    check_every_parameter_learns(head, lambda: head(levels))


class UnnamedConvolutions(MultiScaleHead):
    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        return super().forward(
            [nn.Conv2d(c, c, 1)(x) for c, x in zip(CHANNELS, levels, strict=True)]
        )


class ReplacedConvolutions(MultiScaleHead):
    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        self.fuse = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1, bias=False) for _ in CHANNELS)
        return super().forward(levels)


@pytest.mark.parametrize("broken", [UnnamedConvolutions, ReplacedConvolutions])
def test_convolutions_made_in_forward_are_noticed(broken: type[MultiScaleHead]) -> None:
    head, levels = broken(CHANNELS, WIDTH), random_levels(3, 2, 64, 96)
    with pytest.raises(AssertionError):
        check_every_parameter_learns(head, lambda: head(levels))


def test_a_batch_of_two_equals_two_batches_of_one_also_in_training(head: MultiScaleHead) -> None:
    levels = random_levels(4, 2, 64, 96)
    single = torch.cat([head([level[row : row + 1] for level in levels]) for row in range(2)])
    torch.testing.assert_close(head.train()(levels), single, rtol=0, atol=1e-5)


def test_onnx_equals_torch(head: MultiScaleHead, tmp_path: Path) -> None:
    levels = random_levels(5, 1, 64, 96)
    model = check_onnx_equals_torch(head, (levels,), levels, tmp_path / "head.onnx")
    resizes = [node for node in model.graph.node if node.op_type == "Resize"]
    assert len(resizes) == 3
    assert not any(entry.name == "antialias" and entry.i for r in resizes for entry in r.attribute)
