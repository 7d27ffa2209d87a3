"""Fusion of RGB and thermal features that is defined for either camera alone."""

from __future__ import annotations

import torch
from torch import nn


class GatedFusion(nn.Module):
    """Sum of both modalities, each weighted per pixel and channel by a gate that sees both.

    Where a modality is absent its features are replaced by a learned token, so that nothing of
    them reaches the output.

    Args:
        channels: channels of either input and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, channels, 1, 1))
        self.gate = nn.Conv2d(2 * channels, 2 * channels, 1)
        nn.init.normal_(self.gate.weight, std=0.01)
        nn.init.zeros_(self.gate.bias)  # type: ignore[arg-type]

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        rgb_present: torch.Tensor,
        thermal_present: torch.Tensor,
    ) -> torch.Tensor:
        """Fuse one level.

        Args:
            rgb, thermal: [B,C,h,w].
            rgb_present, thermal_present: bool, broadcastable to [B,1,h,w].

        Returns:
            [B,C,h,w].
        """
        rgb = torch.where(rgb_present, rgb, self.missing[0])
        thermal = torch.where(thermal_present, thermal, self.missing[1])
        gates = torch.sigmoid(self.gate(torch.cat([rgb, thermal], dim=1)))
        rgb_gate, thermal_gate = gates.chunk(2, dim=1)
        return rgb * rgb_gate + thermal * thermal_gate
