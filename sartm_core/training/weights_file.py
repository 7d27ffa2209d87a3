"""Trained weights without the state of their run: in half precision, small enough to be shared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.training.checkpoint import load_checkpoint
from sartm_core.training.config import Config, config_from_dict
from sartm_core.training.run_folder import public_values

SUFFIX = ".safetensors"
FORMAT = "sartm-weights-1"


@dataclass(frozen=True)
class TrainedWeights:
    """What a run made.

    Attributes:
        config: of the run. In a weights file its data sets have lost their folders.
        step: optimiser steps done.
        weights: state dict of the network, averaged over the run, on the CPU.
        provenance: git revision, data, metrics.
    """

    config: Config
    step: int
    weights: dict[str, torch.Tensor]
    provenance: dict[str, Any]


def load_weights(path: Path) -> TrainedWeights:
    """Read a checkpoint or a weights file.

    Raises:
        SartmError: no such file, or neither of the two.
    """
    if path.suffix != SUFFIX:
        state = load_checkpoint(path)
        return TrainedWeights(state.config, state.step, state.ema, state.provenance)
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SartmError("no such weights", got=path)
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            weights = {name: _widened(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        if about.get("format") != FORMAT:
            raise ValueError(f"format {about.get('format')}")
        known = json.loads(about["about"])
        config = config_from_dict(known["config"])
        return TrainedWeights(config, known["step"], weights, known["provenance"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise SartmError(
            f"{path} holds no weights of a sartm training",
            got=f"{type(error).__name__}: {error}".splitlines()[0][:120],
            expected=f"what `sartm export CKPT --out NAME{SUFFIX}` writes",
        ) from error


def save_weights(checkpoint: Path, out: Path) -> TrainedWeights:
    """Write the averaged weights of a checkpoint, matrices and kernels as float16.

    Vectors (norms and their statistics, biases) are few and stay as they are.

    Args:
        checkpoint: that training wrote.
        out: ends in ``.safetensors``.

    Raises:
        SartmError: no checkpoint, or a weight beyond the range of float16.
    """
    from safetensors.torch import save_file

    state = load_weights(checkpoint)
    narrow = {name: _narrowed(name, tensor) for name, tensor in state.weights.items()}
    about = {
        "config": public_values(state.config),
        "step": state.step,
        "provenance": state.provenance,
    }
    with atomic_path(out) as aside:
        save_file(narrow, aside, {"format": FORMAT, "about": json.dumps(about)})
    return state


def _narrowed(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.ndim < 2 or not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half().contiguous()
    if not half.isfinite().all():
        raise SartmError(
            f"weight '{name}' does not fit into float16", got=f"{tensor.abs().max():.3g}"
        )
    return half


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor
