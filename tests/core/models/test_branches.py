"""Branches become one convolution that computes the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sartm_core.models.branches import BranchedConv, merge_branches
from sartm_core.models.decoder import BLOCKS, BranchedSeparableConv, SeparableConv

CHANNELS = 6


def trained(module: nn.Module) -> nn.Module:
    """In evaluation mode, with scales, shifts and statistics as training leaves them."""
    generator = torch.Generator().manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.weight, norm.bias, norm.running_mean):
                nn.init.normal_(value, generator=generator)
            nn.init.uniform_(norm.running_var, 0.2, 3.0, generator=generator)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("groups", [1, 2, CHANNELS])
def test_merged_equals_the_branches(kernel: int, groups: int) -> None:
    branched = trained(BranchedConv(CHANNELS, kernel, groups))
    image = torch.randn(2, CHANNELS, 7, 9)
    assert isinstance(branched, BranchedConv)
    torch.testing.assert_close(branched.merged()(image), branched(image), rtol=1e-4, atol=1e-5)


def test_merging_a_network_leaves_the_original_and_no_branch() -> None:
    branched = trained(nn.Sequential(nn.Conv2d(3, CHANNELS, 1), BranchedSeparableConv(CHANNELS)))
    before = copy.deepcopy(branched.state_dict())
    merged = merge_branches(branched)
    image = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(merged(image), branched(image), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(part, BranchedConv) for part in merged.modules())
    assert any(isinstance(part, BranchedConv) for part in branched.modules())
    assert all(torch.equal(before[name], value) for name, value in branched.state_dict().items())


def test_merged_block_is_as_large_as_a_plain_one() -> None:
    def weights(block: nn.Module) -> list[torch.Size]:
        return [part.weight.shape for part in block.modules() if isinstance(part, nn.Conv2d)]

    assert weights(merge_branches(BranchedSeparableConv(8))) == weights(SeparableConv(8))


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_blocks_keep_channels_and_size(block: str) -> None:
    assert BLOCKS[block](8)(torch.randn(2, 8, 5, 7)).shape == (2, 8, 5, 7)
