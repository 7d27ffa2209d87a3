"""Low-rank adaptation through peft (Hu et al., "LoRA", ICLR 2022).

A LoRA of one modality never depends on which adapter peft calls active. A transformer's layers hold
the pairs of both modalities and are told the modality with every call
(``sartm_core.models.lora_layer``); a convolutional encoder has its own copy per modality.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.models.registry import SHARED, Modality, PerModality
from sartm_core.models.torchvision_ops import ensure_torchvision_ops

if TYPE_CHECKING:
    from sartm_core.models.pair_encoder import PairEncoder

AnyModule = TypeVar("AnyModule", bound=nn.Module)
_HEADER = "sartm_lora"  # key of the settings in the file's metadata


@dataclass(frozen=True)
class LoraConfig:
    """Size and scale of a LoRA: W x + (alpha / rank) B A x, with A Kaiming and B zero at first.

    Attributes:
        rank: rows of A; 0 = no LoRA, the encoder is trained whole.
        alpha: 0 = rank, so that the update is not scaled.
    """

    rank: int = 0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha < 0:
            raise SartmError("LoRA cannot have this size", got=self, expected="0 or more of each")


def add_lora(
    module: nn.Module, config: LoraConfig, adapters: Sequence[str], targets: Sequence[str]
) -> None:
    """Give layers of a module LoRA, in place, and freeze everything else in it.

    Args:
        module: the encoder alone: all its parameters stop learning.
        config: with rank > 0.
        adapters: ``("shared",)``, one modality, or both.
        targets: names of the layers, or the last parts of their names.
    """
    ensure_torchvision_ops()
    import peft
    from peft.tuners.lora import LoraLayer

    from sartm_core.models.lora_layer import LoraProjection
    from sartm_core.models.projection import Projection

    settings = peft.LoraConfig(
        r=config.rank,
        # peft divides the number that it is given by the rank, whatever its type.
        lora_alpha=config.alpha or config.rank,  # type: ignore[arg-type]
        target_modules=list(targets),
    )
    settings._register_custom_module({Projection: LoraProjection})
    first, *others = adapters
    wrapper = peft.get_peft_model(module, settings, adapter_name=first)  # changes the module itself
    for adapter in others:
        wrapper.add_adapter(adapter, settings)
    for layer in module.modules():
        if isinstance(layer, LoraLayer):
            # By itself peft trains the first adapter alone.
            layer.set_adapter(list(adapters))


def merge_lora(module: AnyModule, modality: Modality) -> AnyModule:
    """A copy without LoRA that computes what the module computes for this modality."""
    ensure_torchvision_ops()
    from peft.tuners.lora import LoraLayer

    merged = copy.deepcopy(module)
    for name, part in list(merged.named_modules()):
        if isinstance(part, LoraLayer):
            part.merge(adapter_names=[modality if modality in part.lora_A else SHARED])
            plain = part.get_base_layer()
        elif isinstance(part, PerModality):
            plain = part[modality]
        else:
            continue
        parent, _, child = name.rpartition(".")
        setattr(merged.get_submodule(parent), child, plain)
    return merged.requires_grad_(True)


def save_lora(encoder: PairEncoder, path: Path) -> None:
    """Write the LoRA of an encoder, and nothing else of it, as safetensors."""
    from safetensors.torch import save_file

    with atomic_path(path) as aside:
        save_file(_adapters(encoder), aside, metadata={_HEADER: json.dumps(_settings(encoder))})


def load_lora(encoder: PairEncoder, path: Path) -> None:
    """Read what :func:`save_lora` wrote into an encoder of the same kind.

    Raises:
        SartmError: no such file, no LoRA in it, or one of another encoder, rank, alpha or sharing.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SartmError(
            f"{path} cannot be read as a LoRA", got=error, expected="a file that save_lora wrote"
        ) from error
    settings = _settings(encoder)
    found = None if header is None else json.loads(header)
    if found != settings:
        raise SartmError(f"{path} holds another LoRA", got=found, expected=settings)
    own = _adapters(encoder)
    if weights.keys() != own.keys():
        raise SartmError(
            f"{path} holds another LoRA",
            got=f"{len(weights)} tensors, {len(own.keys() - weights.keys())} missing, "
            f"{len(weights.keys() - own.keys())} unexpected",
            expected=f"{len(own)} tensors",
        )
    encoder.load_state_dict(weights, strict=False)


def _adapters(encoder: PairEncoder) -> dict[str, torch.Tensor]:
    """State of the LoRA pairs alone.

    Raises:
        SartmError: the encoder has none.
    """
    weights = {
        name: tensor.contiguous()
        for name, tensor in encoder.state_dict().items()
        if ".lora_A." in name or ".lora_B." in name
    }
    if not weights:
        raise SartmError(f"{encoder.name} has no LoRA", remedy="create it with a rank above 0")
    return weights


def _settings(encoder: PairEncoder) -> dict[str, object]:
    lora = encoder.lora
    return {
        "encoder": encoder.name,
        "sharing": encoder.sharing,
        "rank": lora.rank,
        "alpha": lora.alpha or float(lora.rank),
    }
