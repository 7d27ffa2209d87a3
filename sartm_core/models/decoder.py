"""A light feature-pyramid decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.models.branches import BranchedConv


class SeparableConv(nn.Sequential):
    """3x3 depthwise, then 1x1, each with BatchNorm; ReLU6 at the end."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
        )


class BranchedSeparableConv(nn.Sequential):
    """:class:`SeparableConv` whose convolutions learn as branches; merged, it costs the same."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            BranchedConv(channels, 3, groups=channels),
            BranchedConv(channels, 1),
            nn.ReLU6(inplace=True),
        )


class DenseConv(nn.Sequential):
    """3x3 with BatchNorm and ReLU6."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
        )


BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "separable": SeparableConv,
    "branched": BranchedSeparableConv,
    "dense": DenseConv,
}


class FpnDecoder(nn.Module):
    """Top-down pyramid (Lin et al., CVPR 2017) on light convolutions, with a classifier.

    Args:
        in_channels: channels of the levels, finest first, each half the size of the one before.
        width: channels of every pyramid level.
        classes: number of output classes.
        block: name in ``BLOCKS``.
    """

    def __init__(
        self, in_channels: Sequence[int], width: int, classes: int, block: str = "separable"
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
            for channels in in_channels
        )
        self.smooth = nn.ModuleList(BLOCKS[block](width) for _ in in_channels)
        self.head = BLOCKS[block](width)
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature [B,width,h,w] for ``classifier``, at the size of the finest level."""
        pyramid: torch.Tensor | None = None
        for level, lateral, smooth in zip(
            reversed(levels), reversed(self.lateral), reversed(self.smooth), strict=True
        ):
            feature = lateral(level)
            if pyramid is not None:
                feature = feature + F.interpolate(pyramid, scale_factor=2.0, mode="nearest")
            pyramid = smooth(feature)
        return self.head(pyramid)  # type: ignore[no-any-return]
