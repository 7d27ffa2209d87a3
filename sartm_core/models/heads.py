"""Heads on the four fused levels that are no mask decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.models.layers import LayerNorm2d


class MultiScaleHead(nn.Module):
    """One feature from four levels: perceptron per level, upsampling, concatenation, 1x1.

    The form is SegFormer's decoder (Xie et al., NeurIPS 2021) with a norm and an activation in each
    level's perceptron. The classifier is not part of it: linear classes, text space and
    distillation all work on the feature.

    Args:
        channels: of the levels 1/4, 1/8, 1/16, 1/32.
        width: channels of each perceptron and of the feature.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Conv2d(level, width, 1), LayerNorm2d(width), nn.ReLU(inplace=True))
            for level in channels
        )
        self.fuse = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in channels)
        self.norm = LayerNorm2d(width)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature [B,width,H/4,W/4], not negative, from the four levels, finest first."""
        # A 1x1 over the concatenation is the sum of one 1x1 per level, and as it mixes channels
        # and bilinear upsampling mixes pixels, their order does not matter: applied before
        # upsampling it costs a third, and no tensor of 4 * width channels exists at 1/4.
        finest, *coarser = (
            fuse(perceptron(level))
            for level, perceptron, fuse in zip(levels, self.perceptrons, self.fuse, strict=True)
        )
        for part in coarser:
            finest = finest + F.interpolate(
                part, size=finest.shape[-2:], mode="bilinear", align_corners=False
            )
        feature: torch.Tensor = self.norm(finest)
        return feature.relu()
