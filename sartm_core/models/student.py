"""The student: two shallow streams, gated fusion in the middle, one deep stage, a light decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.decoder import FpnDecoder
from sartm_core.models.fusion import GatedFusion
from sartm_core.models.registry import create_encoder

STRIDE = 32
RGB_MEAN, RGB_STD = 127.5, 127.5
THERMAL_MEAN, THERMAL_STD = 82.0, 60.0  # of frames normalised by sartm_core.thermal


class Student(nn.Module):
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
        super().__init__()
        rgb = create_encoder(encoder, in_channels=3, pretrained=pretrained)
        thermal = create_encoder(encoder, in_channels=1, pretrained=pretrained)
        self.rgb_stages = nn.ModuleList(rgb.stages[:3])
        self.thermal_stages = nn.ModuleList(thermal.stages[:3])
        self.deep_stage = rgb.stages[3]
        self.fusion = nn.ModuleList(GatedFusion(channels) for channels in rgb.channels[:3])
        self.decoder = FpnDecoder(rgb.channels, width, classes)

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        thermal_valid: torch.Tensor,
        present: torch.Tensor,
    ) -> torch.Tensor:
        """Logits at a quarter of the input size.

        Args:
            rgb: uint8 [B,H,W,3], RGB order.
            thermal: uint8 [B,H,W,1], as ``sartm_core.thermal.normalise`` gives it.
            thermal_valid: uint8 [B,H,W,1], 0 where the thermal camera does not look.
            present: float32 [B,2], 1 where the RGB / the thermal camera is there.

        Returns:
            float32 [B,classes,H/4,W/4]. What stands in the planes of an absent camera never
            changes a bit of it.

        Raises:
            SartmError: H or W is not divisible by 32.
        """
        height, width = rgb.shape[1:3]
        if height % STRIDE or width % STRIDE:
            raise SartmError(
                "input size does not fit the network",
                got=f"{height}x{width}",
                expected=f"height and width divisible by {STRIDE}",
                remedy=f"use {_round_up(height)}x{_round_up(width)}",
            )
        rgb_present = present[:, 0].view(-1, 1, 1, 1) > 0.5
        thermal_camera = present[:, 1].view(-1, 1, 1, 1) > 0.5
        coverage = (thermal_camera & (_channels_first(thermal_valid) > 0.5)).float()

        rgb_feature = (_channels_first(rgb) - RGB_MEAN) / RGB_STD
        rgb_feature = torch.where(rgb_present, rgb_feature, torch.zeros_like(rgb_feature))
        thermal_feature = (_channels_first(thermal) - THERMAL_MEAN) / THERMAL_STD
        thermal_feature = torch.where(
            coverage > 0.5, thermal_feature, torch.zeros_like(thermal_feature)
        )

        levels: list[torch.Tensor] = []
        coverage = F.avg_pool2d(coverage, 4)
        for rgb_stage, thermal_stage, fusion in zip(
            self.rgb_stages, self.thermal_stages, self.fusion, strict=True
        ):
            if levels:
                coverage = F.avg_pool2d(coverage, 2)
            rgb_feature = rgb_stage(rgb_feature)
            thermal_feature = thermal_stage(thermal_feature)
            levels.append(fusion(rgb_feature, thermal_feature, rgb_present, coverage > 0.5))
        levels.append(self.deep_stage(levels[-1]))
        logits: torch.Tensor = self.decoder(levels)
        return logits


def _channels_first(image: torch.Tensor) -> torch.Tensor:
    """uint8 [B,H,W,C] to float32 [B,C,H,W]; in memory the channels stay last."""
    return image.permute(0, 3, 1, 2).float()


def _round_up(size: int) -> int:
    return -(-size // STRIDE) * STRIDE
