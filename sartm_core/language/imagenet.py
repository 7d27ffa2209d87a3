"""EfficientNet-Lite as it was trained on ImageNet: features before pooling, and the classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.language.text_space import Vectors
from sartm_core.models.encoders import imagenet_network
from sartm_core.models.torchvision_ops import ensure_torchvision_ops

IMAGENET_ENCODERS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


class ImageNetFeatures(nn.Module):
    """The frozen encoder whose features the ImageNet classifier reads, one vector per cell.

    It stays in evaluation mode and without gradients, whatever the network around it does.

    Args:
        name: one of ``IMAGENET_ENCODERS``.

    Raises:
        SartmError: no such encoder, or its weights are not installed.
    """

    channels = 1280

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = _network(name)
        self.network.reset_classifier(0)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> ImageNetFeatures:
        return super().train(False)

    @torch.no_grad()
    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Features before pooling.

        Args:
            rgb: [B,3,H,W], RGB order, 0 to 255; uint8 or floating point.

        Returns:
            float [B,1280,H/32,W/32], not below 0.
        """
        features: torch.Tensor = self.network.forward_features((rgb.float() - 127.5) / 127.5)
        return features


def classifier_rows(name: str) -> Vectors:
    """float32 [1000,1280]: one row per ImageNet class."""
    rows: torch.Tensor = _network(name).get_classifier().weight.detach()
    vectors: Vectors = rows.float().numpy()
    return vectors


def imagenet_words() -> list[tuple[str, ...]]:
    """The synonyms of each of the 1,000 ImageNet classes, in the classifier's order."""
    ensure_torchvision_ops()
    from timm.data.imagenet_info import ImageNetInfo

    lemmas = ImageNetInfo("imagenet-1k").label_descriptions()
    return [tuple(word.strip() for word in line.split(",")) for line in lemmas]


def _network(name: str) -> Any:
    if name not in IMAGENET_ENCODERS:
        raise SartmError(
            "no ImageNet classifier is known of this encoder",
            got=repr(name),
            expected=", ".join(IMAGENET_ENCODERS),
        )
    return imagenet_network(int(name.removeprefix("efficientnet_lite")))
