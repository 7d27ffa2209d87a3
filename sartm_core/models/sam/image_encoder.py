"""SAM's image encoder (Kirillov et al., "Segment Anything", ICCV 2023) for any input size.

Made of segment-anything's own modules. What differs: query, key and value are three layers, every
block is told the modality (for LoRA), and the position embedding fits the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling.image_encoder import (
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

from sartm_core.models.projection import split_qkv
from sartm_core.models.registry import Modality


class SamImageEncoder(nn.Module):
    """The transformer and its neck.

    Args:
        vit: segment-anything's ``ImageEncoderViT``, whose parts are taken over.
        readouts: indexes of the blocks whose outputs are returned.
        gradient_checkpointing: compute the blocks again in the backward pass instead of keeping
            what is inside them.
    """

    lora_targets = ("q", "v")

    def __init__(
        self, vit: Any, readouts: tuple[int, ...], *, gradient_checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.patch_embed = vit.patch_embed
        self.pos_embed = vit.pos_embed
        self.blocks = nn.ModuleList(SamBlock(block) for block in vit.blocks)
        self.neck = vit.neck
        self.readouts = readouts
        self.gradient_checkpointing = gradient_checkpointing

    def forward(
        self, image: torch.Tensor, modality: Modality
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Features at 1/16.

        Args:
            image: normalised float [B,3,H,W], H and W multiples of the patch.
            modality: whose LoRA is used.

        Returns:
            What the read-out blocks put out, [B,H/16,W/16,C] each, and the image embedding,
            [B,256,H/16,W/16].
        """
        x = self.patch_embed(image)
        x = x + self._position(x.shape[1], x.shape[2])
        features = []
        for index, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, modality, use_reentrant=False)
            else:
                x = block(x, modality)
            if index in self.readouts:
                features.append(x)
        return features, self.neck(x.permute(0, 3, 1, 2))

    def _position(self, height: int, width: int) -> torch.Tensor:
        """The position embedding, [1,height,width,C]."""
        embedding: torch.Tensor = self.pos_embed
        if embedding.shape[1:3] == (height, width):
            return embedding
        return F.interpolate(
            embedding.permute(0, 3, 1, 2), (height, width), mode="bicubic", align_corners=False
        ).permute(0, 2, 3, 1)


class SamBlock(nn.Module):
    """A transformer block with attention in windows, or to the whole image where there are none.

    Args:
        block: segment-anything's.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1 = block.norm1
        self.attn = SamAttention(block.attn)
        self.norm2 = block.norm2
        self.mlp = block.mlp
        self.window_size: int = block.window_size

    def forward(self, x: torch.Tensor, modality: Modality) -> torch.Tensor:
        """[B,h,w,C] of the same shape."""
        attended = self.norm1(x)
        if self.window_size:
            height, width = x.shape[1:3]
            attended, padded = window_partition(attended, self.window_size)
            attended = self.attn(attended, modality)
            attended = window_unpartition(attended, self.window_size, padded, (height, width))
        else:
            attended = self.attn(attended, modality)
        x = x + attended
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class SamAttention(nn.Module):
    """Multi-head attention with decomposed relative positions (Li et al., MViTv2, CVPR 2022).

    Args:
        attention: segment-anything's.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.heads: int = attention.num_heads
        self.q, self.k, self.v = split_qkv(attention.qkv)
        self.proj = attention.proj
        self.rel_pos_h = attention.rel_pos_h
        self.rel_pos_w = attention.rel_pos_w

    def forward(self, x: torch.Tensor, modality: Modality) -> torch.Tensor:
        """[B,h,w,C] of the same shape; every position attends to all h * w."""
        batch, height, width, _ = x.shape
        query, key, value = (
            layer(x, modality).view(batch, height * width, self.heads, -1).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        bias = self._relative_position(query, height, width)
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        # A copy even where the strides allow a view: in the exporter's decomposition they do not.
        x = x.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        return self.proj(x.view(batch, height, width, -1))  # type: ignore[no-any-return]

    def _relative_position(self, query: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """What is added to the scores, [B,heads,h*w,h*w]; segment-anything fits the tables."""
        rows = get_rel_pos(height, height, self.rel_pos_h)
        columns = get_rel_pos(width, width, self.rel_pos_w)
        grid = query.view(*query.shape[:2], height, width, -1)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, rows)
        by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, columns)
        bias = by_row.unsqueeze(-1) + by_column.unsqueeze(-2)
        return bias.flatten(4, 5).flatten(2, 3).to(query.dtype)
