"""The optimiser, its schedule, and the averaged weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from sartm_core.models import RgbThermalNetwork
from sartm_core.training.config import TrainConfig

POLY_POWER = 0.9


def build_optimizer(
    model: RgbThermalNetwork, plan: TrainConfig, extra: nn.Module | None = None
) -> torch.optim.Optimizer:
    """AdamW with one peak rate for the encoders and one for everything else; no weight decay for
    biases and normalisation. Frozen weights are left out.

    Args:
        model: the network.
        plan: rates and weight decay.
        extra: what is trained beside the network.
    """
    encoder = {id(parameter) for part in model.encoder_modules for parameter in part.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in (*model.parameters(), *(extra.parameters() if extra else ())):
        if not parameter.requires_grad:
            continue
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
    """Linear warm-up, then to 0 by a cosine (Loshchilov & Hutter, ICLR 2017) or a polynomial of
    power 0.9 (DeepLab, Chen et al., 2017): 0..1 of the peak."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    part = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    if plan.schedule == "poly":
        return float((1.0 - part) ** POLY_POWER)
    return 0.5 * (1.0 + math.cos(math.pi * part))


def train_mode(module: nn.Module, plan: TrainConfig) -> None:
    """Training mode; with ``freeze_batchnorm`` the statistics of BatchNorm stay as they are."""
    module.train()
    if plan.freeze_batchnorm:
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the current ones, in place."""
    for average, value in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1.0 - decay)
        else:
            average.copy_(value)
