"""A tiny run that is there to be killed; imported before the processes that run it are forked."""

from __future__ import annotations

from pathlib import Path

from sartm_core.data import synthetic as _synthetic
from sartm_core.models.torchvision_ops import ensure_torchvision_ops
from sartm_core.training.config import Config
from sartm_core.training.train import RunResult, train
from tests.training_runs import tiny_config

ensure_torchvision_ops()
import timm as _timm  # noqa: E402

del _synthetic, _timm

STEPS = 100


def killed_config(out: Path) -> Config:
    """A checkpoint after every step, so that some kills hit its writing."""
    return tiny_config(
        out, f"train.steps={STEPS}", "train.checkpoint_every=1", "train.tensorboard=false"
    )


def run(out: Path) -> RunResult:
    """Start it, or go on with it."""
    return train(killed_config(out))
