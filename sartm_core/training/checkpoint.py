"""Checkpoints: everything a run needs to go on bit for bit, in a file that never runs code."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.training.config import Config, config_from_dict, config_to_dict

FORMAT = 2
LAST = "last.ckpt"
BEST = "best.ckpt"
# What may change between the parts of one run: none of it changes the result.
FREE_KEYS = {
    "out",
    "resume",
    "distill.cache",
    "train.max_minutes",
    "train.checkpoint_every",
    "train.evaluate_every",
    "train.threads",
    "train.workers",
    "train.tensorboard",
    "train.gradient_norms_every",
}


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` optimiser steps.

    The learning rate and the sample order are functions of the step, so ``step`` stands for the
    positions of schedule and sampler.

    Attributes:
        config: of the run.
        step: optimiser steps done.
        training: state dict of network and distillation (``TrainingStep``).
        ema: state dict of the network with averaged weights.
        optimizer: its state dict.
        scaler: state dict of the loss scale of fp16; empty without one.
        rng: torch's CPU generator, and one per CUDA device.
        best: best dev score so far, below 0 if there was none.
        provenance: git revision, data, metrics: what goes into the model card.
    """

    config: Config
    step: int
    training: dict[str, torch.Tensor]
    ema: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    rng: list[torch.Tensor]
    best: float
    provenance: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically: after a crash or on a full disk the previous file is intact."""
    values = dict(vars(checkpoint), format=FORMAT, config=config_to_dict(checkpoint.config))
    with atomic_path(path) as aside:
        torch.save(values, aside)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; only tensors and plain values are accepted.

    Raises:
        SartmError: no such file, not a checkpoint, or one of another format.
    """
    if not path.is_file():
        raise SartmError("no such checkpoint", got=path)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise SartmError(f"{path} is not a sartm checkpoint", got=reason) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise SartmError(
            f"{path} is not a sartm checkpoint",
            got=f"format {values.get('format') if isinstance(values, dict) else 'unknown'}",
            expected=f"format {FORMAT}",
        )
    values.pop("format")
    values["config"] = config_from_dict(values["config"])
    return Checkpoint(**values)


def checkpoint_to_resume(config: Config) -> Checkpoint | None:
    """What ``config.resume`` names, None for a new run.

    Raises:
        SartmError: the run folder is taken, or the checkpoint is of another configuration.
    """
    last = config.folder / LAST
    if config.resume == "never":
        if last.exists():
            raise SartmError(
                f"{config.folder} already holds a run", remedy="choose another out=FOLDER"
            )
        return None
    if config.resume == "auto" and not last.exists():
        return None
    path = last if config.resume == "auto" else Path(config.resume)
    checkpoint = load_checkpoint(path)
    now, then = flatten(config_to_dict(config)), flatten(config_to_dict(checkpoint.config))
    keys = sorted({key for key, _ in now.items() ^ then.items()} - FREE_KEYS)
    if keys:
        raise SartmError(
            f"{path} belongs to another configuration",
            got="other values of " + ", ".join(keys),
            remedy="choose another out=FOLDER for the new configuration",
        )
    return checkpoint


def flatten(values: Any, prefix: str = "") -> dict[str, str]:
    """Nested plain values as one level of dotted keys."""
    if not isinstance(values, dict):
        return {prefix: repr(values)}
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def get_rng() -> list[torch.Tensor]:
    """States of torch's generators: the CPU's, then one per CUDA device."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def set_rng(states: list[torch.Tensor]) -> None:
    """Set what :func:`get_rng` gave, as far as there are devices."""
    torch.set_rng_state(states[0])
    for device, state in enumerate(states[1 : 1 + torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)
