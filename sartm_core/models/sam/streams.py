"""SAM and SAM 2 as streams of an RGB-thermal encoder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sartm_core.models.registry import Modality, PerModality, Rgb, Stream, byte_range
from sartm_core.models.sam.hiera import FpnNeck, HieraImageEncoder
from sartm_core.models.sam.image_encoder import SamImageEncoder
from sartm_core.models.sam.pyramid import SamPyramid
from sartm_core.models.sam.variants import PATCH, RGB_MEAN, RGB_STD, SamVariant, build_sam
from sartm_core.models.weights import load_strictly, read_weights

_TRUNK, _NECK = "image_encoder.trunk.", "image_encoder.neck."


class SamStream(Stream):
    """SAM's image encoder and four levels made of it.

    Args:
        variant: its size.
        checkpoint: of SAM as published, loaded strictly; None = random initialisation.
        gradient_checkpointing: compute the blocks again in the backward pass.

    Attributes:
        image_encoder: what the checkpoint has; frozen when it gets LoRA.
        pyramid: what it has not; always learns. A ``PerModality`` where the LoRA is one.
        note: what was loaded from where.
    """

    channels = SamPyramid.channels
    divisor = PATCH
    in_channels = 3
    rgb_mean = RGB_MEAN
    rgb_std = RGB_STD

    def __init__(
        self,
        variant: SamVariant,
        *,
        checkpoint: Path | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.image_encoder = SamImageEncoder(
            build_sam(variant, checkpoint).image_encoder,
            variant.readouts,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.pyramid: nn.Module = SamPyramid(variant.width)
        self.note = (
            "random initialisation"
            if checkpoint is None
            else (
                f"image encoder from {checkpoint}, all of it; its prompt encoder and mask decoder "
                "are no part of an encoder; the pyramid to four levels is new"
            )
        )

    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        """Four levels; sides of the last are those of 1/16 halved and rounded up."""
        pyramid = self.pyramid
        if isinstance(pyramid, PerModality):
            pyramid = pyramid[modality]
        levels: list[torch.Tensor] = pyramid(*self.image_encoder(image, modality))
        return levels

    def split_new_parts(self) -> None:
        """Let each modality have its own pyramid; both start from the same weights."""
        self.pyramid = PerModality(self.pyramid)

    def image_embedding(self, image: torch.Tensor, modality: Modality) -> torch.Tensor:
        """What SAM's mask decoder is given: [B,256,H/16,W/16] from normalised [B,3,H,W]."""
        embedding: torch.Tensor = self.image_encoder(image, modality)[1]
        return embedding


class Sam2Stream(Stream):
    """SAM 2's trunk and neck.

    timm's trunk comes alone. From a full checkpoint (``image_encoder.trunk.*``,
    ``image_encoder.neck.*``) the neck is loaded as well; mask decoder, prompt encoder and memory
    never are, and ``note`` lists them.

    Args:
        hiera: timm's ``HieraDet``.
        rgb_mean, rgb_std: as in :class:`Stream`.
        checkpoint: full one of SAM 2, or the trunk alone with timm's names; None = random.
        gradient_checkpointing: compute the blocks again in the backward pass.
        released: see :class:`HieraImageEncoder`.

    Attributes:
        neck_loaded: whether the checkpoint had one.
    """

    channels = FpnNeck.channels
    divisor = 32
    in_channels = 3

    def __init__(
        self,
        hiera: Any,
        *,
        rgb_mean: Rgb,
        rgb_std: Rgb,
        checkpoint: Path | None = None,
        gradient_checkpointing: bool = False,
        released: bool = False,
    ) -> None:
        super().__init__()
        self.rgb_mean = rgb_mean
        self.rgb_std = rgb_std
        self.note = "random initialisation"
        neck: dict[str, torch.Tensor] = {}
        if checkpoint is not None:
            neck, self.note = _load_trunk(hiera, checkpoint)
        self.image_encoder = HieraImageEncoder(
            hiera, gradient_checkpointing=gradient_checkpointing, released=released
        )
        self.neck_loaded = bool(neck)
        if neck:
            load_strictly(self.image_encoder.neck, neck, source=checkpoint, expected="SAM 2's neck")

    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        levels: list[torch.Tensor] = self.image_encoder(image, modality)
        return levels

    def split_new_parts(self) -> None:
        """There are none: trunk and neck are SAM 2's own."""


def create_sam2_stream(
    name: str,
    *,
    checkpoint: Path | None = None,
    gradient_checkpointing: bool = False,
    released: bool = False,
) -> Sam2Stream:
    """The stream of timm's model called ``name``; arguments as of :class:`Sam2Stream`."""
    import timm

    hiera: Any = timm.create_model(name, pretrained=False)
    mean, std = (byte_range(hiera.default_cfg[key]) for key in ("mean", "std"))
    return Sam2Stream(
        hiera,
        rgb_mean=mean,
        rgb_std=std,
        checkpoint=checkpoint,
        gradient_checkpointing=gradient_checkpointing,
        released=released,
    )


def _load_trunk(hiera: Any, path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Load timm's trunk strictly; the neck's weights by own names, and what was used."""
    weights = read_weights(path)
    full = any(name.startswith(_TRUNK) for name in weights)
    trunk = {
        name.removeprefix(_TRUNK)
        .replace(".mlp.layers.0.", ".mlp.fc1.")
        .replace(".mlp.layers.1.", ".mlp.fc2."): tensor
        for name, tensor in weights.items()
        if name.startswith(_TRUNK) or not (full or name.startswith("head."))
    }
    hiera.head = nn.Identity()  # timm's classifier, which SAM 2 does not have
    expected = f"SAM 2's trunk ({_TRUNK}*, or timm's names)"
    load_strictly(hiera, trunk, source=path, expected=expected)
    neck = {
        name.removeprefix(_NECK).replace(".conv.", "."): tensor
        for name, tensor in weights.items()
        if name.startswith(_NECK)
    }
    unused = Counter(
        name.split(".")[0] for name in weights if full and not name.startswith((_TRUNK, _NECK))
    )
    parts = ["trunk", *(["neck"] if neck else [])]
    note = f"{' and '.join(parts)} from {path}"
    if not neck:
        note += "; the neck is not in the file and starts at random"
    if unused:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(unused.items()))
        note += f"; tensors not used: {listed}"
    return neck, note
