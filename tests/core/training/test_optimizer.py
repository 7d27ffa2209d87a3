"""Schedule, parameter groups and averaged weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sartm_core.models import Student
from sartm_core.training.config import TrainConfig
from sartm_core.training.optimizer import build_optimizer, learning_rate_factor, update_ema

PLAN = TrainConfig(steps=100, warmup_steps=20, lr_encoder=1e-4, lr_decoder=1e-3, weight_decay=0.1)


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 1 / 20),  # the first step learns
        (9, 0.5),
        (19, 1.0),
        (20, 1.0),  # the cosine starts
        (60, 0.5),
        (100, 0.0),
    ],
)
def test_warm_up_then_cosine(step: int, factor: float) -> None:
    assert learning_rate_factor(step, PLAN) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(9, 0.5), (20, 1.0), (60, 0.5**0.9), (100, 0.0)])
def test_warm_up_then_poly(step: int, factor: float) -> None:
    plan = replace(PLAN, schedule="poly")
    assert learning_rate_factor(step, plan) == pytest.approx(factor)


def test_encoder_and_decoder_rates_and_no_decay_of_biases() -> None:
    model = Student("mobilenetv4_conv_small", 5, 16)
    groups = build_optimizer(model, PLAN).param_groups
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        encoder = name.startswith(("rgb_stages", "thermal_stages", "deep_stage"))
        expected = (1e-4 if encoder else 1e-3, 0.1 if parameter.ndim > 1 else 0.0)
        assert settings[id(parameter)] == expected, name
    assert len(settings) == len(list(model.parameters()))


def test_averaged_weights_and_statistics() -> None:
    average, model = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.running_mean.fill_(8.0)
        model.num_batches_tracked.fill_(5)
    update_ema(average, model, 0.75)
    assert average.weight.item() == 0.75 * 1.0 + 0.25 * 3.0
    assert average.running_mean.item() == 0.25 * 8.0
    assert average.num_batches_tracked.item() == 5
