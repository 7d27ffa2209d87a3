"""From SAM's features at 1/16 to four levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sartm_core.models.layers import LayerNorm2d
from sartm_core.models.registry import Channels
from sartm_core.models.sam.variants import EMBEDDING


class SamPyramid(nn.Module):
    """Levels 1/4, 1/8, 1/16, 1/32 from four depths of the transformer.

    Level i sees read-out i, shallow ones for the fine levels, together with the image embedding,
    the only feature that SAM's own decoder has learned to read. Deconvolutions go up and a strided
    depthwise convolution goes down, as in ViTDet (Li et al., "Exploring Plain Vision Transformer
    Backbones for Object Detection", ECCV 2022), which reads a single depth.

    Args:
        width: channels of the read-outs.
    """

    channels: Channels = (64, 128, 160, 256)

    def __init__(self, width: int) -> None:
        super().__init__()
        quarter, eighth, sixteenth, coarsest = self.channels
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in self.channels)
        self.projections = nn.ModuleList(
            nn.Conv2d(width + EMBEDDING, channels, 1) for channels in self.channels
        )
        down = nn.Conv2d(coarsest, coarsest, 3, stride=2, padding=1, groups=coarsest)
        self.resizers = nn.ModuleList(
            [
                nn.Sequential(
                    _norm_act(quarter),
                    _double(quarter),
                    _norm_act(quarter),
                    _double(quarter),
                    LayerNorm2d(quarter),
                ),
                nn.Sequential(_norm_act(eighth), _double(eighth), LayerNorm2d(eighth)),
                LayerNorm2d(sixteenth),
                nn.Sequential(_norm_act(coarsest), down, LayerNorm2d(coarsest)),
            ]
        )

    def forward(
        self, readouts: Sequence[torch.Tensor], embedding: torch.Tensor
    ) -> list[torch.Tensor]:
        """Four levels, finest first, [B,C_i,h_i,w_i].

        Args:
            readouts: four of [B,h,w,width].
            embedding: [B,256,h,w].
        """
        levels = []
        for readout, norm, projection, resize in zip(
            readouts, self.norms, self.projections, self.resizers, strict=True
        ):
            feature = torch.cat([norm(readout).permute(0, 3, 1, 2), embedding], dim=1)
            levels.append(resize(projection(feature)))
        return levels


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(LayerNorm2d(channels), nn.GELU())


def _double(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2)
