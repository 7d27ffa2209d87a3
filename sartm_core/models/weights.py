"""Weights from files: read without running code, checked name by name and shape by shape."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from sartm_core.errors import SartmError

_FORMATS = "a state dict written by torch.save, or a .safetensors file"


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, on the CPU.

    A state dict that lies under the key ``model`` or ``state_dict`` is taken out of it. Nothing but
    tensors is unpickled.

    Raises:
        SartmError: there is no such file, or it holds no state dict.
    """
    if not path.is_file():
        raise SartmError(
            "no such checkpoint", got=path, expected=_FORMATS, remedy="give the path of the file"
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content: object
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise SartmError(
            f"{path} cannot be read as weights",
            got=str(error).split("\n", 1)[0][:200],
            expected=_FORMATS,
            remedy="download the file again",
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise SartmError(f"{path} holds no weights", got=type(content).__name__, expected=_FORMATS)
    if not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise SartmError(f"{path} holds more than tensors", expected=_FORMATS)
    return content


def load_strictly(
    module: nn.Module, weights: Mapping[str, torch.Tensor], *, source: object, expected: str
) -> None:
    """Load exactly the tensors that the module has; nothing is loaded if one does not fit.

    Args:
        module: takes the weights.
        weights: state dict.
        source: where the weights come from, for the message.
        expected: what the module is, for the message.

    Raises:
        SartmError: tensors are missing, unexpected or of another shape; says how many, and which
            is the first.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in weights]
    unexpected = [name for name in weights if name not in own]
    reshaped = [
        f"{name} {list(weights[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {fault} (first: {names[0]})"
        for fault, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if faults:
        raise SartmError(
            f"{source} does not fit the encoder",
            got=f"{len(weights)} tensors, {', '.join(faults)}",
            expected=f"the {len(own)} tensors of {expected}",
            remedy="choose the encoder that the file was made for",
        )
    module.load_state_dict(weights)
