"""Query, key and value as layers of their own, so that LoRA can reach exactly two of them."""

from __future__ import annotations

import torch
from torch import nn

from sartm_core.models.registry import Modality


class Projection(nn.Linear):
    """A linear layer that LoRA may take the place of: it is told the modality and needs it not.

    Attributes:
        reached: float [out_features], 0 where LoRA is cut off; None = it reaches every output.
    """

    reached: torch.Tensor | None

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("reached", None, persistent=False)

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, modality: Modality
    ) -> torch.Tensor:
        """[...,in] to [...,out]."""
        return super().forward(x)

    def limit_lora(self, outputs: slice) -> None:
        """Let LoRA reach these outputs alone."""
        reached = torch.zeros(self.out_features)
        reached[outputs] = 1
        self.register_buffer("reached", reached, persistent=False)


def split_qkv(fused: nn.Linear) -> tuple[Projection, Projection, Projection]:
    """The query, key and value layers whose outputs, one after the other, are those of ``fused``.

    Args:
        fused: dim to 3 * dim_out, with bias.
    """
    width = fused.out_features // 3
    layers = (Projection(fused.in_features, width) for _ in range(3))
    query, key, value = layers
    with torch.no_grad():
        for part, layer in enumerate((query, key, value)):
            rows = slice(part * width, (part + 1) * width)
            layer.weight.copy_(fused.weight[rows])
            layer.bias.copy_(fused.bias[rows])
    return query, key, value
