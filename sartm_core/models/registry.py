"""Staged encoders of one modality by name: a dict and a decorator."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn

from sartm_core.errors import SartmError

Modality = Literal["rgb", "thermal"]
MODALITIES: tuple[Modality, Modality] = ("rgb", "thermal")
SHARED = "shared"  # the adapter that both modalities use
Channels = tuple[int, int, int, int]
Rgb = tuple[float, float, float]


def byte_range(values: tuple[float, float, float]) -> Rgb:
    """Means or deviations of images in 0..1 as those of images in 0..255."""
    red, green, blue = (255.0 * value for value in values)
    return red, green, blue


class Stream(nn.Module):
    """What turns an image into four levels, for one modality or, told which, for either.

    Attributes:
        channels: of the levels 1/4, 1/8, 1/16, 1/32.
        divisor: height and width of the input must be multiples of it.
        in_channels: of the image.
        rgb_mean, rgb_std: of the RGB images that the weights were learned on, in 0..255.
    """

    channels: Channels
    divisor: int
    in_channels: int
    rgb_mean: Rgb
    rgb_std: Rgb

    @abstractmethod
    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        """Four levels, finest first, from a normalised image [B,in_channels,H,W]."""


class PerModality(nn.ModuleDict):
    """One module for each modality; the caller chooses by key."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__({modality: copy.deepcopy(module) for modality in MODALITIES})


class Encoder(Stream):
    """A staged convolutional encoder of one modality.

    Args:
        stages: four modules in a row, with features at 1/4, 1/8, 1/16 and 1/32 of the input;
            stage 0 takes [B,in_channels,H,W].
        channels, in_channels, rgb_mean, rgb_std: as in :class:`Stream`.
    """

    divisor = 32

    def __init__(
        self,
        stages: list[nn.Module],
        channels: Channels,
        *,
        in_channels: int,
        rgb_mean: Rgb,
        rgb_std: Rgb,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.in_channels = in_channels
        self.rgb_mean = rgb_mean
        self.rgb_std = rgb_std

    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        """As in :class:`Stream`; the modality makes no difference."""
        levels: list[torch.Tensor] = []
        for stage in self.stages:
            levels.append(stage(levels[-1] if levels else image))
        return levels


class EncoderBuilder(Protocol):
    def __call__(
        self, *, in_channels: int, pretrained: bool, checkpoint: Path | None = None
    ) -> Encoder: ...


ENCODERS: dict[str, EncoderBuilder] = {}


def register_encoder(name: str) -> Callable[[EncoderBuilder], EncoderBuilder]:
    """Make an encoder known as ``name``."""

    def register(builder: EncoderBuilder) -> EncoderBuilder:
        ENCODERS[name] = builder
        return builder

    return register


def create_encoder(
    name: str, *, in_channels: int, pretrained: bool, checkpoint: Path | None = None
) -> Encoder:
    """The encoder called ``name``.

    Args:
        name: one of ``ENCODERS``.
        in_channels: 3 for RGB, 1 for thermal.
        pretrained: start from ImageNet weights that come inside an installed package.
        checkpoint: file with the weights of timm's model to start from instead.

    Raises:
        SartmError: no such encoder, none of its weights are installed, or the file is another's.
    """
    if name not in ENCODERS:
        raise SartmError("unknown encoder", got=repr(name), expected=", ".join(sorted(ENCODERS)))
    return ENCODERS[name](in_channels=in_channels, pretrained=pretrained, checkpoint=checkpoint)
