"""The teacher: an encoder per camera, four fused levels, a mask decoder, a multi-scale head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sartm_core.models.fusion import FUSIONS
from sartm_core.models.heads import MultiScaleHead
from sartm_core.models.mask_decoder import MaskDecoder
from sartm_core.models.network import (
    THERMAL_MEAN,
    THERMAL_STD,
    Decoded,
    Encoded,
    RgbThermalNetwork,
    presence,
)
from sartm_core.models.pair_encoder import PairEncoder
from sartm_core.models.text_head import TextHead

HEADS = ("main", "aux", "text")


class Teacher(RgbThermalNetwork):
    """SARTM (arXiv 2505.01950) on any encoder.

    Args:
        encoder: of both cameras.
        classes: number of classes, background included.
        channels: of the fused levels 1/4, 1/8, 1/16, 1/32.
        fusion: name in ``sartm_core.models.fusion.FUSIONS``.
        heads: ``main`` (SAM's mask decoder with one token per class), ``aux`` (multi-scale head).
        width: channels of the multi-scale feature.
        inference: whose logits are used: ``main``, ``aux``, ``text``, or ``mean`` of main and aux.
        text: head in text space on the multi-scale feature; needs ``aux``. As it costs as much as
            the rest of decoding, ``decode`` leaves it to the caller unless inference uses it.
        released: with the defects of the released code that can be switched: fusion is given RGB
            twice and never thermal, and thermal images are only divided by 255.
    """

    def __init__(
        self,
        encoder: PairEncoder,
        *,
        classes: int,
        channels: tuple[int, int, int, int],
        fusion: str,
        heads: Sequence[str],
        width: int,
        inference: str,
        text: TextHead | None = None,
        released: bool = False,
    ) -> None:
        super().__init__(
            divisor=encoder.divisor,
            rgb_mean=encoder.rgb_mean,
            rgb_std=encoder.rgb_std,
            thermal_mean=0.0 if released else THERMAL_MEAN,
            thermal_std=255.0 if released else THERMAL_STD,
        )
        self.encoder = encoder
        self.rgb_lateral = _laterals(encoder.channels, channels)
        self.thermal_lateral = _laterals(encoder.channels, channels)
        self.fusion = nn.ModuleList(FUSIONS[fusion](width) for width in channels)
        self.mask_decoder = MaskDecoder(classes, channels) if "main" in heads else None
        self.pixel = MultiScaleHead(channels, width) if "aux" in heads else None
        self.classifier = nn.Conv2d(width, classes, 1) if "aux" in heads else None
        self.text = text
        self.inference = inference
        self.released = released

    @property
    def encoder_modules(self) -> Sequence[nn.Module]:
        return (self.encoder,)

    def extract(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        rgb_levels = [
            lateral(level)
            for lateral, level in zip(self.rgb_lateral, self.encoder(rgb, "rgb"), strict=True)
        ]
        thermal_levels = [
            lateral(level)
            for lateral, level in zip(
                self.thermal_lateral, self.encoder(thermal, "thermal"), strict=True
            )
        ]
        return rgb_levels, thermal_levels

    def decode(self, encoded: Encoded, present: torch.Tensor) -> Decoded:
        thermal_levels = encoded.rgb if self.released else encoded.thermal
        levels = [
            fusion(rgb, thermal, *there)
            for fusion, rgb, thermal, there in zip(
                self.fusion, encoded.rgb, thermal_levels, presence(encoded, present), strict=True
            )
        ]
        heads: dict[str, torch.Tensor] = {}
        feature = None
        if self.mask_decoder is not None:
            heads["main"] = self.mask_decoder(levels)
        if self.pixel is not None and self.classifier is not None:
            feature = self.pixel(levels)
            heads["aux"] = self.classifier(feature)
        if self.inference == "mean":
            logits = torch.stack([*heads.values()]).mean(dim=0)
        elif self.inference == "text" and self.text is not None and feature is not None:
            logits = self.text(feature)
        else:
            logits = heads[self.inference]
        return Decoded(logits, heads, feature)


def _laterals(inputs: Sequence[int], outputs: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(wide, narrow, 1, bias=False), nn.BatchNorm2d(narrow))
        for wide, narrow in zip(inputs, outputs, strict=True)
    )
