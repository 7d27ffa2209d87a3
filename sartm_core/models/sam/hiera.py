"""SAM 2's image encoder (Ravi et al., "SAM 2", 2024): timm's Hiera trunk and SAM 2's neck.

timm has the trunk alone. The neck is built here; SAM 2's mask decoder, its memory and its skip
convolutions ``conv_s0``, ``conv_s1`` are no part of this encoder.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from sartm_core.models.projection import split_qkv
from sartm_core.models.registry import Channels, Modality

NECK_CHANNELS = 256


class HieraImageEncoder(nn.Module):
    """Trunk and neck; four levels of 256 channels.

    Args:
        hiera: timm's ``HieraDet``, whose parts are taken over; its classifier head is not used.
        gradient_checkpointing: compute the blocks again in the backward pass.
        released: LoRA as in the authors' code, which adds its updates to the first and the last
            ``dim`` outputs of the fused qkv. Where a block widens, from dim to 2 * dim, that is the
            first half of the query and the last half of the value.
    """

    lora_targets = ("q", "v")

    def __init__(
        self, hiera: Any, *, gradient_checkpointing: bool = False, released: bool = False
    ) -> None:
        super().__init__()
        self.trunk = HieraTrunk(hiera, gradient_checkpointing, released)
        self.neck = FpnNeck(tuple(info["num_chs"] for info in hiera.feature_info))

    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        """Levels 1/4..1/32, [B,256,h_i,w_i], of normalised float [B,3,H,W], multiples of 32."""
        return self.neck(self.trunk(image, modality))  # type: ignore[no-any-return]


class HieraTrunk(nn.Module):
    """timm's ``HieraDet`` up to its four stage ends, with the modality as an argument."""

    def __init__(self, hiera: Any, gradient_checkpointing: bool, released: bool) -> None:
        super().__init__()
        self.patch_embed = hiera.patch_embed
        self.pos_embed = hiera.pos_embed
        self.pos_embed_window = hiera.pos_embed_window
        self.blocks = nn.ModuleList(HieraBlock(block, released) for block in hiera.blocks)
        self.stage_ends: list[int] = hiera.stage_ends
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        """[B,C_i,h_i,w_i], finest first."""
        x = self.patch_embed(image)
        x = x + self._position(x.shape[1], x.shape[2])
        levels = []
        for index, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, modality, use_reentrant=False)
            else:
                x = block(x, modality)
            if index in self.stage_ends:
                levels.append(x.permute(0, 3, 1, 2))
        return levels

    def _position(self, height: int, width: int) -> torch.Tensor:
        """[1,height,width,C]: one embedding for the place in the image, one within the window
        (Bolya et al., "Window Attention is Bugged", ICLR 2024)."""
        window = self.pos_embed_window
        tiles = (height // window.shape[2], width // window.shape[3])
        place = F.interpolate(self.pos_embed, (height, width), mode="bicubic")
        position: torch.Tensor = place + window.tile(tiles)
        return position.permute(0, 2, 3, 1)


class HieraBlock(nn.Module):
    """A block that may widen its channels and halve its resolution.

    Args:
        block: timm's ``MultiScaleBlock``.
        released: as in :class:`HieraImageEncoder`.
    """

    def __init__(self, block: Any, released: bool) -> None:
        super().__init__()
        self.norm1 = block.norm1
        self.attn = HieraAttention(block.attn, released)
        self.norm2 = block.norm2
        self.mlp = block.mlp
        self.proj = block.proj  # identity where the block does not widen
        self.pool = block.pool
        self.widens: bool = block.dim != block.dim_out
        self.window: tuple[int, int] | None = block.window_size if block.is_windowed else None
        self.stride: tuple[int, int] = block.q_stride or (1, 1)

    def forward(self, x: torch.Tensor, modality: Modality) -> torch.Tensor:
        """[B,h,w,dim] to [B,h/stride,w/stride,dim_out]."""
        attended = self.norm1(x)
        shortcut = x
        if self.widens:
            shortcut = self.proj(attended)
            if self.pool is not None:
                shortcut = _pooled(self.pool, shortcut)
        attended = self._attend(attended, modality)
        x = shortcut + attended[:, : shortcut.shape[1], : shortcut.shape[2]]
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]

    def _attend(self, x: torch.Tensor, modality: Modality) -> torch.Tensor:
        """Attention in the windows, or to the whole image; windows at the edge are zero-filled."""
        if self.window is None:
            return self.attn(x, modality)  # type: ignore[no-any-return]
        from timm.models.hieradet_sam2 import window_partition, window_unpartition

        (high, wide), (down, across) = self.window, self.stride
        x = F.pad(x, (0, 0, 0, -x.shape[2] % wide, 0, -x.shape[1] % high))
        size = (x.shape[1] // down, x.shape[2] // across)
        windows = self.attn(window_partition(x, self.window), modality)
        return window_unpartition(windows, (high // down, wide // across), size)  # type: ignore[no-any-return]


class HieraAttention(nn.Module):
    """Multi-head attention whose queries may be pooled.

    Args:
        attention: timm's ``MultiScaleAttention``.
        released: as in :class:`HieraImageEncoder`.
    """

    def __init__(self, attention: Any, released: bool) -> None:
        super().__init__()
        self.heads: int = attention.num_heads
        self.q, self.k, self.v = split_qkv(attention.qkv)
        self.proj = attention.proj
        self.q_pool = attention.q_pool
        if released:
            width = self.q.in_features
            self.q.limit_lora(slice(0, width))
            self.v.limit_lora(slice(self.v.out_features - width, None))

    def forward(self, x: torch.Tensor, modality: Modality) -> torch.Tensor:
        """[B,h,w,dim] to [B,h/stride,w/stride,dim_out]."""
        query, key, value = (layer(x, modality) for layer in (self.q, self.k, self.v))
        if self.q_pool is not None:
            query = _pooled(self.q_pool, query)
        batch, height, width, _ = query.shape
        query, key, value = (
            part.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (query, key, value)
        )
        x = F.scaled_dot_product_attention(query, key, value)
        # A copy even where the strides allow a view: in the exporter's decomposition they do not.
        x = x.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        return self.proj(x.view(batch, height, width, -1))  # type: ignore[no-any-return]


class FpnNeck(nn.Module):
    """SAM 2's neck: every level to 256 channels, 1/32 added to 1/16.

    Args:
        trunk_channels: of the trunk's levels, finest first.
    """

    channels: Channels = (NECK_CHANNELS,) * 4

    def __init__(self, trunk_channels: tuple[int, ...]) -> None:
        super().__init__()
        # Coarsest first, as in a checkpoint.
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, NECK_CHANNELS, 1) for channels in reversed(trunk_channels)
        )

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        """Four levels, finest first."""
        coarsest, sixteenth, eighth, quarter = (
            conv(level) for conv, level in zip(self.convs, reversed(levels), strict=True)
        )
        sixteenth = sixteenth + F.interpolate(coarsest, scale_factor=2.0, mode="nearest")
        return [quarter, eighth, sixteenth, coarsest]


def _pooled(pool: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Channels last in and out."""
    return pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]
