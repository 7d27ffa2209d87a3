"""Convolutions that learn as several parallel branches and run as one.

RepVGG (Ding et al., CVPR 2021) and MobileOne (Vasu et al., CVPR 2023): branches of the same input,
each with its own BatchNorm, are added. In evaluation their sum is one convolution.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class BranchedConv(nn.Module):
    """A convolution of stride 1, a 1x1 convolution if it is larger, and the identity, added.

    Args:
        channels: in and out.
        kernel: odd size of the largest branch.
        groups: of the convolutions.
    """

    def __init__(self, channels: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.groups = groups
        sizes = sorted({kernel, 1})
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, size, padding=size // 2, groups=groups, bias=False)
            for size in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in sizes)
        self.identity = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,channels,h,w] of the same shape."""
        total: torch.Tensor = self.identity(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            total = total + norm(conv(x))
        return total

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """One convolution with a bias that computes what the branches do in evaluation."""
        channels = self.identity.num_features
        one = nn.Conv2d(
            channels, channels, self.kernel, padding=self.kernel // 2, groups=self.groups
        ).to(self.identity.weight.device)
        assert one.bias is not None
        nn.init.dirac_(one.weight, self.groups)
        one.weight *= _gain(self.identity).view(-1, 1, 1, 1)
        one.bias.copy_(_shift(self.identity))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            margin = (self.kernel - conv.kernel_size[0]) // 2
            one.weight += F.pad(conv.weight * _gain(norm).view(-1, 1, 1, 1), [margin] * 4)
            one.bias += _shift(norm)
        return one


def _gain(norm: nn.BatchNorm2d) -> torch.Tensor:
    """What BatchNorm multiplies a channel by in evaluation."""
    assert norm.running_var is not None
    return norm.weight / torch.sqrt(norm.running_var + norm.eps)


def _shift(norm: nn.BatchNorm2d) -> torch.Tensor:
    """What it then adds."""
    assert norm.running_mean is not None
    return norm.bias - norm.running_mean * _gain(norm)


def merge_branches(network: AnyModule) -> AnyModule:
    """A copy that computes what the network does in evaluation, every :class:`BranchedConv` in it
    as one convolution."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, BranchedConv):
                setattr(module, name, child.merged())
    return network.eval()
