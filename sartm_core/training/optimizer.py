"""The optimiser, its schedule, and the averaged weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from sartm_core.models import Student
from sartm_core.training.config import TrainConfig


def build_optimizer(model: Student, plan: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with one peak rate for the encoder stages and one for everything else; no weight decay
    for biases and normalisation."""
    encoder = {
        id(parameter)
        for part in (model.rgb_stages, model.thermal_stages, model.deep_stage)
        for parameter in part.parameters()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate = plan.lr_encoder if id(parameter) in encoder else plan.lr_decoder
        decay = plan.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]
    )


def learning_rate_factor(step: int, plan: TrainConfig) -> float:
    """Linear warm-up, then a cosine to 0 (Loshchilov & Hutter, ICLR 2017): 0..1 of the peak."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    part = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * part))


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the current ones, in place."""
    for average, value in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1.0 - decay)
        else:
            average.copy_(value)
