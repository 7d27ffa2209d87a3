"""Encoders by name: a dict and a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn

from sartm_core.errors import SartmError


class Encoder(nn.Module):
    """Four stages in a row, with features at 1/4, 1/8, 1/16 and 1/32 of the input.

    Args:
        stages: four modules; stage 0 takes [B,in_channels,H,W], each next one the output before.
        channels: output channels of the four stages.
    """

    def __init__(self, stages: list[nn.Module], channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels


class EncoderBuilder(Protocol):
    def __call__(self, *, in_channels: int, pretrained: bool) -> Encoder: ...


ENCODERS: dict[str, EncoderBuilder] = {}


def register_encoder(name: str) -> Callable[[EncoderBuilder], EncoderBuilder]:
    """Make an encoder known as ``name``."""

    def register(builder: EncoderBuilder) -> EncoderBuilder:
        ENCODERS[name] = builder
        return builder

    return register


def create_encoder(name: str, *, in_channels: int, pretrained: bool) -> Encoder:
    """The encoder called ``name``.

    Args:
        name: one of ``ENCODERS``.
        in_channels: 3 for RGB, 1 for thermal.
        pretrained: start from ImageNet weights that come inside an installed package.

    Raises:
        SartmError: no such encoder, or none of its weights are installed.
    """
    if name not in ENCODERS:
        raise SartmError("unknown encoder", got=repr(name), expected=", ".join(sorted(ENCODERS)))
    return ENCODERS[name](in_channels=in_channels, pretrained=pretrained)
