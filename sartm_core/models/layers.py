"""Layers that several networks share."""

from __future__ import annotations

import torch
from torch import nn


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of [B,C,h,w], of every pixel on its own.

    Unlike BatchNorm it keeps no statistics, so features of one camera alone are normalised as they
    are and not as the average of all combinations of cameras, and a batch of 2 equals two of 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B,C,h,w] of the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
