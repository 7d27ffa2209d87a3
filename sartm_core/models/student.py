"""The student: two shallow streams, fusion level by level, then one stream, a light decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.models.decoder import FpnDecoder
from sartm_core.models.fusion import FUSIONS
from sartm_core.models.network import Decoded, Encoded, RgbThermalNetwork, presence
from sartm_core.models.registry import create_encoder

STRIDE = 32
FUSE_AT = (4, 8, 16)
THERMAL_SCALES = (1.0, 0.5)
DEEPEST = (16, 32)
DECODE_STRIDES = (4, 8)


class Student(RgbThermalNetwork):
    """RGB-thermal segmentation network with mid fusion.

    Each camera has its own copy of the encoder's first stages, with its own normalisation
    statistics. Their features are fused at each of these levels, and the remaining stages run
    once, on the last fused features.

    Args:
        encoder: name in ``sartm_core.models.registry.ENCODERS``.
        classes: number of classes, background included.
        width: channels of the decoder; a multiple of 16 fills the registers of CPUs.
        pretrained: start the encoders from ImageNet weights.
        scale: size that the network works at, relative to its input.
        thermal_scale: size that the thermal stream works at, relative to the RGB stream: 1 or 0.5.
            Its features are resized to those of RGB, stage by stage.
        fuse_at: stride of the last level that has two streams: 4, 8 or 16.
        fusion: name in ``sartm_core.models.fusion.FUSIONS``.
        deepest: stride of the last stage: 32, or 16 to leave the 1/32 stage out.
        decode_stride: of feature and logits, relative to the working size: 4 or 8.
        block: of the decoder, name in ``sartm_core.models.decoder.BLOCKS``.
        mask_stride: of the arg-max, relative to the input.
    """

    def __init__(
        self,
        encoder: str,
        classes: int,
        width: int,
        pretrained: bool = False,
        *,
        scale: float = 1.0,
        thermal_scale: float = 1.0,
        fuse_at: int = 16,
        fusion: str = "gated",
        deepest: int = 32,
        decode_stride: int = 4,
        block: str = "separable",
        mask_stride: int = 1,
    ) -> None:
        super().__init__(
            divisor=STRIDE,
            rgb_mean=[127.5],
            rgb_std=[127.5],
            scale=scale,
            mask_stride=mask_stride,
        )
        rgb = create_encoder(encoder, in_channels=3, pretrained=pretrained)
        thermal = create_encoder(encoder, in_channels=1, pretrained=pretrained)
        streams = 1 + FUSE_AT.index(fuse_at)
        levels = 4 if deepest == 32 else 3
        self.thermal_scale = thermal_scale
        self.rgb_stages = nn.ModuleList(rgb.stages[:streams])
        self.thermal_stages = nn.ModuleList(thermal.stages[:streams])
        self.fused_stages = nn.ModuleList(rgb.stages[streams:3])
        self.deep_stage = rgb.stages[3] if deepest == 32 else None
        self.fusion = nn.ModuleList(FUSIONS[fusion](wide) for wide in rgb.channels[:streams])
        self.finest = DECODE_STRIDES.index(decode_stride)
        self.decoder = FpnDecoder(rgb.channels[self.finest : levels], width, classes, block)

    @property
    def encoder_modules(self) -> Sequence[nn.Module]:
        stages = (self.rgb_stages, self.thermal_stages, self.fused_stages)
        return stages if self.deep_stage is None else (*stages, self.deep_stage)

    def extract(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        rgb_levels = _levels(self.rgb_stages, rgb)
        if self.thermal_scale == 1.0:
            return rgb_levels, _levels(self.thermal_stages, thermal)
        thermal_levels = _levels(self.thermal_stages, F.avg_pool2d(thermal, 2))
        return rgb_levels, [F.interpolate(level, scale_factor=2.0) for level in thermal_levels]

    def decode(self, encoded: Encoded, present: torch.Tensor) -> Decoded:
        levels = [
            fusion(rgb, thermal, *there)
            for fusion, rgb, thermal, there in zip(
                self.fusion, encoded.rgb, encoded.thermal, presence(encoded, present), strict=True
            )
        ]
        for stage in self.fused_stages:
            levels.append(stage(levels[-1]))
        if self.deep_stage is not None:
            levels.append(self.deep_stage(levels[-1]))
        feature = self.decoder(levels[self.finest :])
        logits = self.decoder.classifier(feature)
        return Decoded(logits, {"main": logits}, feature)


def _levels(stages: nn.ModuleList, image: torch.Tensor) -> list[torch.Tensor]:
    levels: list[torch.Tensor] = []
    for stage in stages:
        levels.append(stage(levels[-1] if levels else image))
    return levels
