"""Fusion of RGB and thermal features that is defined for either camera alone.

Every module of ``FUSIONS`` is made with the channels of one level and called with that level of
both cameras. Where a camera is absent its features are replaced, before anything else looks at
them, by a learned token: nothing of them reaches the output, whatever they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from sartm_core.models.layers import LayerNorm2d

ATTENTION_HEADS = 4


class GatedFusion(nn.Module):
    """Sum of both modalities, each weighted per pixel and channel by a gate that sees both.

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


class ConcatFusion(nn.Module):
    """Both modalities side by side and one 1x1 convolution: the plain baseline.

    Args:
        channels: channels of either input and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, channels, 1, 1))
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        rgb_present: torch.Tensor,
        thermal_present: torch.Tensor,
    ) -> torch.Tensor:
        """Fuse one level; arguments and result as in :meth:`GatedFusion.forward`."""
        rgb = torch.where(rgb_present, rgb, self.missing[0])
        thermal = torch.where(thermal_present, thermal, self.missing[1])
        fused: torch.Tensor = self.project(torch.cat([rgb, thermal], dim=1))
        return fused


class MixFusion(ConcatFusion):
    """:class:`ConcatFusion` that starts as the mean of both modalities.

    What follows sees features of the kind that it was pretrained on. Without a gate there is
    nothing in it that quantises badly.

    Args:
        channels: channels of either input and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        half = 0.5 * torch.eye(channels)
        with torch.no_grad():
            self.project.weight.copy_(torch.cat([half, half], dim=1)[..., None, None])
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]


class CmxFusion(nn.Module):
    """Rectification of each modality by the other, cross-attention, channel embedding.

    The two steps of CMX (Zhang et al., "CMX: Cross-Modal Fusion for RGB-X Semantic Segmentation
    With Transformers", IEEE T-ITS 2023), a third of its size: half the channels inside the
    attention, narrow perceptrons in the rectification. Three things differ for safety's sake: the
    attention is the normalised linear form (see :func:`linear_attention`), whose result does not
    grow with the image; norms are LayerNorms; and both modalities have their missing tokens.

    Args:
        channels: channels of either input and of the output, at least 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.missing = nn.Parameter(0.02 * torch.randn(2, channels, 1, 1))
        self.rectify = FeatureRectification(channels)
        self.fuse = FeatureFusion(channels)

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        rgb_present: torch.Tensor,
        thermal_present: torch.Tensor,
    ) -> torch.Tensor:
        """Fuse one level; arguments and result as in :meth:`GatedFusion.forward`."""
        rgb = torch.where(rgb_present, rgb, self.missing[0])
        thermal = torch.where(thermal_present, thermal, self.missing[1])
        fused: torch.Tensor = self.fuse(*self.rectify(rgb, thermal))
        return fused


class FeatureRectification(nn.Module):
    """CMX's FRM: each modality is given part of the other, x_m + (w^C + w^S) / 2 * x_other.

    The weights of both directions come from both modalities: w^C per channel from mean and maximum
    over the image, w^S per pixel from all its channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.channel_weights = nn.Sequential(
            nn.Linear(4 * channels, narrow),
            nn.ReLU(inplace=True),
            nn.Linear(narrow, 2 * channels),
            nn.Sigmoid(),
        )
        self.spatial_weights = nn.Sequential(
            nn.Conv2d(2 * channels, narrow, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, 2, 1),
            nn.Sigmoid(),
        )

    def forward(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both modalities [B,C,h,w], rectified."""
        both = torch.cat([rgb, thermal], dim=1)
        pooled = torch.cat([both.mean(dim=(2, 3)), both.amax(dim=(2, 3))], dim=1)
        rgb_channels, thermal_channels = (
            self.channel_weights(pooled).unsqueeze(-1).unsqueeze(-1).chunk(2, dim=1)
        )
        rgb_pixels, thermal_pixels = self.spatial_weights(both).chunk(2, dim=1)
        return (
            rgb + 0.5 * (rgb_channels + rgb_pixels) * thermal,
            thermal + 0.5 * (thermal_channels + thermal_pixels) * rgb,
        )


class FeatureFusion(nn.Module):
    """CMX's FFM: every pixel of one modality asks the whole of the other, then both become one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.rgb = CrossPath(channels, narrow)
        self.thermal = CrossPath(channels, narrow)
        self.residual = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.embed = nn.Sequential(
            nn.Conv2d(2 * channels, narrow, 1),
            nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, channels, 1),
        )
        self.norm = LayerNorm2d(channels)

    def forward(self, rgb: torch.Tensor, thermal: torch.Tensor) -> torch.Tensor:
        """One feature [B,C,h,w] of two."""
        batch, _, height, width = rgb.shape
        rgb, thermal = _tokens(rgb), _tokens(thermal)
        rgb_kept, rgb_asks = self.rgb.project(rgb)
        thermal_kept, thermal_asks = self.thermal.project(thermal)
        rgb_told = linear_attention(rgb_asks, *self.thermal.tell(thermal_asks))
        thermal_told = linear_attention(thermal_asks, *self.rgb.tell(rgb_asks))
        rgb = self.rgb.merge(rgb, rgb_kept, rgb_told)
        thermal = self.thermal.merge(thermal, thermal_kept, thermal_told)
        both = torch.cat([rgb, thermal], dim=2).transpose(1, 2).reshape(batch, -1, height, width)
        fused: torch.Tensor = self.norm(self.residual(both) + self.embed(both))
        return fused


class CrossPath(nn.Module):
    """What the cross-attention learns of one modality.

    Its features are projected to two halves: one is kept, one asks the other modality and, as key
    and value, answers its questions.
    """

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.input = nn.Linear(channels, 2 * narrow)
        self.key_value = nn.Linear(narrow, 2 * narrow, bias=False)
        self.output = nn.Linear(2 * narrow, channels)
        self.norm = nn.LayerNorm(channels)

    def project(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Kept and asking half [B,N,narrow] of the modality's tokens [B,N,C]."""
        kept, asking = self.input(tokens).relu().chunk(2, dim=2)
        return kept, asking

    def tell(self, asking: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Key and value [B,N,narrow] for the other modality."""
        key, value = self.key_value(asking).chunk(2, dim=2)
        return key, value

    def merge(self, tokens: torch.Tensor, kept: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """The modality's tokens [B,N,C], added to by what was kept and what the other told."""
        merged: torch.Tensor = self.norm(tokens + self.output(torch.cat([kept, told], dim=2)))
        return merged


def linear_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(q) (softmax(k)^T v), linear in the number of tokens; all [B,N,C].

    Queries are normalised over the channels of a head, keys over all tokens ("efficient attention",
    Shen et al., WACV 2021): the result is a mean of values, so it neither grows with N nor
    overflows in half precision. Computed in float32 also under autocast: a key's weight of 1/N is
    below the smallest normal number of float16 at 120 x 160 tokens.
    """
    heads = math.gcd(query.shape[2], ATTENTION_HEADS)
    with torch.autocast(query.device.type, enabled=False):
        q, k, v = (x.float().reshape(*x.shape[:2], heads, -1) for x in (query, key, value))
        context = k.permute(0, 2, 3, 1).softmax(dim=-1) @ v.transpose(1, 2)
        answer: torch.Tensor = q.transpose(1, 2).softmax(dim=-1) @ context
    return answer.transpose(1, 2).flatten(2).to(query.dtype)


def _tokens(feature: torch.Tensor) -> torch.Tensor:
    """[B,C,h,w] to [B,h*w,C]."""
    return feature.flatten(2).transpose(1, 2)


FUSIONS: dict[str, Callable[[int], nn.Module]] = {
    "gated": GatedFusion,
    "cmx": CmxFusion,
    "concat": ConcatFusion,
    "mix": MixFusion,
}
