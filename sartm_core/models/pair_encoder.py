"""Encoders of RGB and thermal images by one name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models import encoders as _encoders  # registers the CNNs
from sartm_core.models.lora import LoraConfig, add_lora, merge_lora
from sartm_core.models.registry import (
    ENCODERS,
    MODALITIES,
    SHARED,
    Encoder,
    Modality,
    Stream,
    create_encoder,
)
from sartm_core.models.sam.variants import SAM2_NAMES, SAM_VARIANTS

if TYPE_CHECKING:
    from sartm_core.models.sam.streams import Sam2Stream, SamStream

del _encoders

AnyStream = TypeVar("AnyStream", bound=Stream)

SHARINGS = ("shared", "per_modality")
ENCODER_NAMES: tuple[str, ...] = (*sorted(ENCODERS), *SAM_VARIANTS, *SAM2_NAMES)


class PairEncoder(nn.Module):
    """Four levels of either modality.

    Args:
        stream: of both modalities, or of RGB.
        thermal_stream: of thermal, if it has its own. Parameters that are the very same object in
            both streams are stored once, under ``stream``.
        name: of the encoder.
        sharing: what the two modalities have in common.
        lora: that the streams have.
        note: what was loaded from where.

    Attributes:
        channels: of the levels 1/4, 1/8, 1/16, 1/32.
        divisor: height and width of the input must be multiples of it.
        rgb_mean, rgb_std: with which the caller normalises RGB images, in 0..255.
    """

    def __init__(
        self,
        stream: Stream,
        thermal_stream: Stream | None = None,
        *,
        name: str,
        sharing: str,
        lora: LoraConfig,
        note: str,
    ) -> None:
        super().__init__()
        self.stream = stream
        self.thermal_stream = thermal_stream
        self.name = name
        self.sharing = sharing
        self.lora = lora
        self.note = note
        self.channels = stream.channels
        self.divisor = stream.divisor
        self.rgb_mean = stream.rgb_mean
        self.rgb_std = stream.rgb_std
        self._tied = _tied_names(stream, thermal_stream)
        self.register_state_dict_post_hook(_leave_out_tied)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_put_back_tied)  # type: ignore[no-untyped-call]

    def forward(self, image: torch.Tensor, modality: Modality) -> list[torch.Tensor]:
        """Levels of one modality.

        Args:
            image: float32, normalised by the caller: [B,3,H,W] for ``rgb``, [B,1,H,W] for
                ``thermal``.
            modality: of the image.

        Returns:
            [B,C_i,h_i,w_i] at 1/4, 1/8, 1/16 and 1/32; where H or W is no multiple of 32, which
            only SAM takes, the size of the last is rounded up.

        Raises:
            SartmError: another number of channels, or a size that is not a multiple of ``divisor``.
        """
        self._check(image, modality)
        stream = self._stream_of(modality)
        # Grey for a network of colour images: the same image in all three channels.
        return stream(image.expand(-1, stream.in_channels, -1, -1), modality)  # type: ignore[no-any-return]

    def merged(self) -> PairEncoder:
        """A copy of the same function without LoRA, in which all parameters may learn.

        Its state loads into an encoder created without LoRA and with the same name and sharing.
        """
        rgb, thermal = (merge_lora(self._stream_of(each), each) for each in MODALITIES)
        twin: Stream | None = thermal
        if self.sharing == "shared":
            twin = None if self.thermal_stream is None else _tied_twin(rgb, thermal)
        return PairEncoder(
            rgb,
            twin,
            name=self.name,
            sharing=self.sharing,
            lora=LoraConfig(),
            note=f"{self.note}; LoRA merged",
        )

    def _stream_of(self, modality: Modality) -> Stream:
        if modality == "thermal" and self.thermal_stream is not None:
            return self.thermal_stream
        return self.stream

    def _check(self, image: torch.Tensor, modality: Modality) -> None:
        channels = {"rgb": 3, "thermal": 1}[modality]
        if image.ndim != 4 or image.shape[1] != channels:
            raise SartmError(
                f"not a batch of {modality} images",
                got=list(image.shape),
                expected=f"[B,{channels},H,W]",
            )
        height, width = image.shape[2:]
        if height % self.divisor or width % self.divisor:
            fitting = [-(-size // self.divisor) * self.divisor for size in (height, width)]
            raise SartmError(
                f"input size does not fit {self.name}",
                got=f"{height}x{width}",
                expected=f"height and width divisible by {self.divisor}",
                remedy=f"use {fitting[0]}x{fitting[1]}",
            )


def create_pair_encoder(
    name: str,
    *,
    sharing: str,
    lora: LoraConfig | None = None,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    gradient_checkpointing: bool = False,
    released: bool = False,
) -> PairEncoder:
    """The RGB-thermal encoder called ``name``.

    With LoRA the published weights are frozen, and everything that is new learns. CNNs get it on
    their pointwise convolutions, transformers on query and value.

    ``sharing`` means, without LoRA, that ``shared`` weights are the same for both modalities, or
    that there are two whole encoders ``per_modality``. With LoRA it says so of the LoRA pairs and
    of the levels made of SAM's features. BatchNorm is always per modality, its statistics and its
    scale and shift; with LoRA the latter are frozen and the statistics follow the data.

    Args:
        name: one of ``ENCODER_NAMES``.
        sharing: ``shared`` or ``per_modality``.
        lora: None or rank 0 = the encoder is trained whole.
        pretrained: start a CNN from the ImageNet weights of an installed package. Of SAM and SAM 2
            there are none; they start from ``checkpoint`` or at random.
        checkpoint: file of weights: SAM or SAM 2 as published, or timm's model for a CNN.
        gradient_checkpointing: compute a transformer's blocks again in the backward pass: less
            memory, about a third more time.
        released: put LoRA where the authors' code has it, see
            :class:`~sartm_core.models.sam.hiera.HieraImageEncoder`; only SAM 2 differs.

    Raises:
        SartmError: unknown name or sharing, unusable weights, or gradient checkpointing of a CNN.
    """
    if sharing not in SHARINGS:
        raise SartmError("unknown sharing", got=repr(sharing), expected=", ".join(SHARINGS))
    lora = lora or LoraConfig()
    if name in ENCODERS:
        if gradient_checkpointing:
            raise SartmError(
                f"{name} cannot be trained with gradient checkpointing",
                expected="a transformer: BatchNorm would count every batch twice",
                remedy="set model.gradient_checkpointing=false",
            )
        return _cnn_pair(name, sharing, lora, pretrained, checkpoint)
    if name in SAM_VARIANTS:
        from sartm_core.models.sam.streams import SamStream

        sam = SamStream(
            SAM_VARIANTS[name],
            checkpoint=checkpoint,
            gradient_checkpointing=gradient_checkpointing,
        )
        return pair_transformer(sam, name=name, sharing=sharing, lora=lora)
    if name in SAM2_NAMES:
        from sartm_core.models.sam.streams import create_sam2_stream

        sam2 = create_sam2_stream(
            name,
            checkpoint=checkpoint,
            gradient_checkpointing=gradient_checkpointing,
            released=released,
        )
        if lora.rank and checkpoint is not None and not sam2.neck_loaded:
            raise SartmError(
                f"{checkpoint} has no neck, and LoRA would freeze a random one",
                expected="a full checkpoint of SAM 2",
                remedy="give one, or set model.lora_rank=0",
            )
        return pair_transformer(sam2, name=name, sharing=sharing, lora=lora)
    raise SartmError(
        "unknown encoder", got=repr(name), expected=", ".join(sorted({*ENCODER_NAMES, *ENCODERS}))
    )


def pair_transformer(
    stream: SamStream | Sam2Stream, *, name: str, sharing: str, lora: LoraConfig
) -> PairEncoder:
    """An RGB-thermal encoder from SAM or SAM 2; arguments as of :func:`create_pair_encoder`."""
    thermal_stream = None
    if lora.rank:
        adapters = MODALITIES if sharing == "per_modality" else (SHARED,)
        add_lora(stream.image_encoder, lora, adapters, stream.image_encoder.lora_targets)
        if sharing == "per_modality":
            stream.split_new_parts()
    elif sharing == "per_modality":
        thermal_stream = copy.deepcopy(stream)
    return PairEncoder(
        stream, thermal_stream, name=name, sharing=sharing, lora=lora, note=stream.note
    )


def _cnn_pair(
    name: str, sharing: str, lora: LoraConfig, pretrained: bool, checkpoint: Path | None
) -> PairEncoder:
    def stream(in_channels: int, adapter: str) -> Encoder:
        encoder = create_encoder(
            name, in_channels=in_channels, pretrained=pretrained, checkpoint=checkpoint
        )
        if lora.rank:
            add_lora(encoder, lora, (adapter,), _pointwise(encoder))
        return encoder

    thermal: Encoder
    if sharing == "per_modality":
        rgb, thermal = stream(3, "rgb"), stream(1, "thermal")
    else:
        rgb = stream(3, SHARED)
        thermal = _tied_twin(rgb, copy.deepcopy(rgb))
    note = "random initialisation"
    if pretrained or checkpoint is not None:
        note = f"weights from {checkpoint or 'an installed package (ImageNet)'}"
    return PairEncoder(rgb, thermal, name=name, sharing=sharing, lora=lora, note=note)


def _pointwise(encoder: Encoder) -> list[str]:
    """Names of the 1x1 convolutions. Grouped ones are left out: peft cannot merge them, and the
    rank would have to divide the groups."""
    return [
        name
        for name, layer in encoder.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1
    ]


def _tied_twin(source: AnyStream, twin: AnyStream) -> AnyStream:
    """The twin with all parameters of the source but BatchNorm's, which stay its own."""
    for ours, theirs in zip(source.modules(), twin.modules(), strict=True):
        if not isinstance(ours, nn.modules.batchnorm._BatchNorm):
            for name, parameter in ours.named_parameters(recurse=False):
                setattr(theirs, name, parameter)
    return twin


def _tied_names(stream: Stream, thermal_stream: Stream | None) -> dict[str, str]:
    """State names under ``thermal_stream`` whose tensor is one of ``stream`` -> its name there."""
    if thermal_stream is None:
        return {}
    owners = {id(parameter): name for name, parameter in stream.named_parameters()}
    return {
        f"thermal_stream.{name}": f"stream.{owners[id(parameter)]}"
        for name, parameter in thermal_stream.named_parameters()
        if id(parameter) in owners
    }


def _leave_out_tied(
    encoder: PairEncoder, state: dict[str, torch.Tensor], prefix: str, _: Any
) -> None:
    """One tensor, one name: files are half as large, and an average over the state counts once."""
    for twin in encoder._tied:
        del state[prefix + twin]


def _put_back_tied(
    encoder: PairEncoder, state: dict[str, torch.Tensor], prefix: str, *_: Any
) -> None:
    for twin, owner in encoder._tied.items():
        if prefix + owner in state:
            state[prefix + twin] = state[prefix + owner]
