"""Checkpoints: everything a run needs to go on bit for bit, in a file that never runs code."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sartm_core.classes import class_table
from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.models import Student
from sartm_core.training.config import Config, config_from_dict, config_to_dict

FORMAT = 1
LAST = "last.ckpt"
BEST = "best.ckpt"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``step`` optimiser steps.

    The learning rate and the sample order are functions of the step, so ``step`` stands for the
    positions of schedule and sampler.

    Attributes:
        config: of the run.
        step: optimiser steps done.
        model, ema, optimizer: state dicts.
        rng: torch's CPU generator, and one per CUDA device.
        best: best dev score so far, below 0 if there was none.
        provenance: git revision, data, metrics: what goes into the model card.
    """

    config: Config
    step: int
    model: dict[str, torch.Tensor]
    ema: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
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
        raise SartmError(
            f"{path} is not a sartm checkpoint", got=str(error).splitlines()[0][:120]
        ) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise SartmError(
            f"{path} is not a sartm checkpoint",
            got=f"format {values.get('format') if isinstance(values, dict) else 'unknown'}",
            expected=f"format {FORMAT}",
        )
    values.pop("format")
    values["config"] = config_from_dict(values["config"])
    return Checkpoint(**values)


def build_model(config: Config, *, pretrained: bool) -> Student:
    """The network of a configuration.

    Args:
        config: of the run.
        pretrained: whether ImageNet weights are read, if the configuration asks for them.
    """
    return Student(
        config.model.encoder,
        len(class_table(config.data.classes)),
        config.model.width,
        pretrained and config.model.pretrained,
    )


def load_student(path: Path) -> tuple[Student, Checkpoint]:
    """The averaged weights of a checkpoint as a network in evaluation mode, on the CPU."""
    checkpoint = load_checkpoint(path)
    model = build_model(checkpoint.config, pretrained=False)
    model.load_state_dict(checkpoint.ema)
    return model.eval(), checkpoint
