"""Students that were tried for speed alone: what no configuration of the product can ask for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from sartm_core.models import Decoded, Encoded, RgbThermalNetwork, Student, create_encoder
from sartm_core.models.decoder import FpnDecoder
from sartm_core.models.network import presence


class SumFusion(nn.Module):
    """Sum of both modalities, nothing learned but the missing tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, channels, 1, 1))

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        rgb_present: torch.Tensor,
        thermal_present: torch.Tensor,
    ) -> torch.Tensor:
        return torch.where(rgb_present, rgb, self.missing[0]) + torch.where(
            thermal_present, thermal, self.missing[1]
        )


class PixelGateFusion(nn.Module):
    """One gate per pixel, between RGB and thermal."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, channels, 1, 1))
        self.gate = nn.Conv2d(2 * channels, 1, 1)

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        rgb_present: torch.Tensor,
        thermal_present: torch.Tensor,
    ) -> torch.Tensor:
        rgb = torch.where(rgb_present, rgb, self.missing[0])
        thermal = torch.where(thermal_present, thermal, self.missing[1])
        gate = torch.sigmoid(self.gate(torch.cat([rgb, thermal], dim=1)))
        return thermal + gate * (rgb - thermal)


class EarlyFusion(RgbThermalNetwork):
    """One EfficientNet-Lite0 for both cameras.

    Args:
        classes, width: as in ``Student``.
        own_stems: each camera has its first convolution, and their outputs are added; otherwise
            the first convolution takes four channels.
    """

    def __init__(self, classes: int, width: int, own_stems: bool) -> None:
        super().__init__(divisor=32, rgb_mean=[127.5], rgb_std=[127.5])
        rgb, thermal = (
            create_encoder("efficientnet_lite0", in_channels=channels, pretrained=False)
            for channels in (3, 1)
        )
        self.rgb_stem, *first = rgb.stages[0]
        self.thermal_stem = thermal.stages[0][0]
        self.fusion: nn.Module = SumFusion(32)
        if not own_stems:
            conv = self.rgb_stem[0]
            conv.in_channels = 4
            conv.weight = nn.Parameter(torch.randn(32, 4, 3, 3))
            first.insert(0, self.rgb_stem)
            self.rgb_stem, self.thermal_stem = nn.Identity(), nn.Identity()
            self.fusion = SideBySide()
        self.stages = nn.ModuleList([nn.Sequential(*first), *rgb.stages[1:]])
        self.decoder = FpnDecoder(rgb.channels, width, classes)

    @property
    def encoder_modules(self) -> list[nn.Module]:
        return [self.stages]

    def extract(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [self.rgb_stem(rgb)], [self.thermal_stem(thermal)]

    def decode(self, encoded: Encoded, present: torch.Tensor) -> Decoded:
        # Whole cameras only: coverage is not known at 1/1 and 1/2, and costs no time to speak of.
        rgb_there, thermal_there = presence(encoded, present)[0]
        thermal_there = thermal_there.flatten(1).any(dim=1).view(-1, 1, 1, 1)
        feature = self.fusion(encoded.rgb[0], encoded.thermal[0], rgb_there, thermal_there)
        levels = []
        for stage in self.stages:
            feature = stage(feature)
            levels.append(feature)
        logits = self.decoder.classifier(self.decoder(levels))
        return Decoded(logits, {"main": logits}, None)


class SideBySide(nn.Module):
    def forward(
        self, rgb: torch.Tensor, thermal: torch.Tensor, *there: torch.Tensor
    ) -> torch.Tensor:
        return torch.cat([rgb, thermal], dim=1)


def with_fusion(student: Student, fusion: Callable[[int], nn.Module]) -> Student:
    """The student with another fusion at every level."""
    channels = [module.missing.shape[1] for module in student.fusion]
    student.fusion = nn.ModuleList(fusion(wide) for wide in channels)
    return student


def with_activation(network: nn.Module, activation: Callable[[], nn.Module]) -> None:
    """Replace every ReLU6, in place."""
    for name, child in network.named_children():
        if isinstance(child, nn.ReLU6):
            setattr(network, name, activation())
        else:
            with_activation(child, activation)


NETWORKS: dict[str, Callable[[Student], RgbThermalNetwork]] = {
    "early": lambda student: EarlyFusion(9, 128, own_stems=False),
    "stems": lambda student: EarlyFusion(9, 128, own_stems=True),
    "sum": lambda student: with_fusion(student, SumFusion),
    "pixel_gate": lambda student: with_fusion(student, PixelGateFusion),
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "hardswish": nn.Hardswish}
