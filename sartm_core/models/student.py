"""The student: two shallow streams, gated fusion in the middle, one deep stage, a light decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sartm_core.models.decoder import FpnDecoder
from sartm_core.models.fusion import GatedFusion
from sartm_core.models.network import Decoded, Encoded, RgbThermalNetwork, presence
from sartm_core.models.registry import create_encoder

STRIDE = 32


class Student(RgbThermalNetwork):
    """RGB-thermal segmentation network with mid fusion.

    Each camera has its own copy of the encoder's stages at 1/4, 1/8 and 1/16, with its own
    normalisation statistics. The features are fused at each of these levels and the 1/32 stage
    runs once, on the fused 1/16 features.

    Args:
        encoder: name in ``sartm_core.models.registry.ENCODERS``.
        classes: number of classes, background included.
        width: channels of the decoder.
        pretrained: start the encoders from ImageNet weights.
    """

    def __init__(self, encoder: str, classes: int, width: int, pretrained: bool = False) -> None:
        super().__init__(divisor=STRIDE, rgb_mean=[127.5], rgb_std=[127.5])
        rgb = create_encoder(encoder, in_channels=3, pretrained=pretrained)
        thermal = create_encoder(encoder, in_channels=1, pretrained=pretrained)
        self.rgb_stages = nn.ModuleList(rgb.stages[:3])
        self.thermal_stages = nn.ModuleList(thermal.stages[:3])
        self.deep_stage = rgb.stages[3]
        self.fusion = nn.ModuleList(GatedFusion(channels) for channels in rgb.channels[:3])
        self.decoder = FpnDecoder(rgb.channels, width, classes)

    @property
    def encoder_modules(self) -> Sequence[nn.Module]:
        return self.rgb_stages, self.thermal_stages, self.deep_stage

    def extract(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return _levels(self.rgb_stages, rgb), _levels(self.thermal_stages, thermal)

    def decode(self, encoded: Encoded, present: torch.Tensor) -> Decoded:
        levels = [
            fusion(rgb, thermal, *there)
            for fusion, rgb, thermal, there in zip(
                self.fusion, encoded.rgb, encoded.thermal, presence(encoded, present), strict=True
            )
        ]
        levels.append(self.deep_stage(levels[-1]))
        feature = self.decoder(levels)
        logits = self.decoder.classifier(feature)
        return Decoded(logits, {"main": logits}, feature)


def _levels(stages: nn.ModuleList, image: torch.Tensor) -> list[torch.Tensor]:
    levels: list[torch.Tensor] = []
    for stage in stages:
        levels.append(stage(levels[-1] if levels else image))
    return levels
