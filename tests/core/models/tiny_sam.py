"""SAM and SAM 2 small enough for a test, with random weights that hide nothing behind zeros."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from sartm_core.models.lora import LoraConfig
from sartm_core.models.pair_encoder import PairEncoder, pair_transformer
from sartm_core.models.sam.streams import Sam2Stream, SamStream
from sartm_core.models.sam.variants import SamVariant, build_sam

TINY = SamVariant(width=16, depth=4, heads=2, global_blocks=(1, 3))
GREY = (127.5, 127.5, 127.5)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with noise on every parameter: position tables and biases start at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module


def write_sam(path: Path, variant: SamVariant = TINY, seed: int = 0) -> Any:
    """Save segment-anything's own random model under its published names; returns the model."""
    torch.manual_seed(seed)
    sam = randomised(build_sam(variant), seed).eval()
    torch.save(sam.state_dict(), path)
    return sam


def tiny_hiera(seed: int = 0) -> Any:
    """timm's trunk with 8 to 64 channels; three of its four blocks widen."""
    from timm.models.hieradet_sam2 import HieraDet

    torch.manual_seed(seed)
    return randomised(
        HieraDet(embed_dim=8, stages=(1, 1, 2, 1), global_att_blocks=(3,), num_classes=0), seed
    ).eval()


def tiny_pair(
    kind: str,
    *,
    sharing: str = "per_modality",
    rank: int = 0,
    alpha: float = 0.0,
    gradient_checkpointing: bool = False,
    released: bool = False,
    seed: int = 0,
) -> PairEncoder:
    """A tiny ``sam`` or ``sam2``; the same base weights for the same seed, whatever the LoRA."""
    torch.manual_seed(seed)
    stream: SamStream | Sam2Stream
    if kind == "sam":
        stream = SamStream(TINY, gradient_checkpointing=gradient_checkpointing)
    else:
        stream = Sam2Stream(
            tiny_hiera(seed),
            rgb_mean=GREY,
            rgb_std=GREY,
            gradient_checkpointing=gradient_checkpointing,
            released=released,
        )
    randomised(stream, seed)
    return pair_transformer(
        stream, name=f"tiny_{kind}", sharing=sharing, lora=LoraConfig(rank, alpha)
    )


def randomise_lora(encoder: nn.Module, seed: int = 5) -> None:
    """Give B other values than the zeros that it starts with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(generator=generator)


def images(seed: int = 0, height: int = 64, width: int = 96) -> dict[str, torch.Tensor]:
    """A normalised image of each modality."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "rgb": torch.randn(1, 3, height, width, generator=generator),
        "thermal": torch.randn(1, 1, height, width, generator=generator),
    }
