"""Temperatures are found where they are known, for each set of cameras its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from sartm_core.classes import IGNORE_ID
from sartm_core.data.sample import Sample
from sartm_core.models import RgbThermalNetwork
from sartm_core.thermal import normalise
from sartm_core.training import temperature
from sartm_core.training.config import Config
from sartm_core.training.temperature import BOUNDS, calibrate, fit_temperature, in_order
from tests.training_runs import tiny_config

HEIGHT, WIDTH = 64, 96
GAIN = {"rgb+thermal": 1.5, "rgb": 3.0, "thermal": 5.0}
CAR, PERSON = 1, 2


def drawn(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """uint8 [N]: classes drawn with the probabilities of logits [N,C]."""
    noisy = logits + rng.gumbel(size=logits.shape)
    return noisy.argmax(axis=1).astype(np.uint8)


@pytest.mark.parametrize("known", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(known: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (60_000, 5)).astype(np.float32)
    logits[:, 0] = -20  # no background: what counts then does not depend on the prediction
    assert fit_temperature(known * logits, drawn(rng, logits)) == pytest.approx(known, rel=0.05)


def test_pixels_that_do_not_count_have_no_say() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 4)).astype(np.float32)
    logits[:, 0] = -20
    truth = drawn(rng, logits)
    background = np.zeros((30_000, 4), np.float32)
    background[:, 0] = 9
    ignored = np.roll(logits, 1, axis=1)
    both = np.concatenate((logits, background, ignored))
    nothing = np.concatenate((truth, np.zeros(30_000, np.uint8), np.full(20_000, IGNORE_ID)))
    assert fit_temperature(both, nothing.astype(np.uint8)) == fit_temperature(logits, truth)
    assert fit_temperature(background, np.zeros(30_000, np.uint8)) == 1.0
    assert fit_temperature(background[:0], np.zeros(0, np.uint8)) == 1.0


def test_the_result_stays_within_bounds() -> None:
    logits = np.tile(np.array([0, 20, 0], np.float32), (100, 1))
    right, wrong = np.full(100, CAR, np.uint8), np.full(100, PERSON, np.uint8)
    assert fit_temperature(logits, right) == pytest.approx(BOUNDS[0])
    assert fit_temperature(logits, wrong) == pytest.approx(BOUNDS[1], rel=0.02)


class Scripted(nn.Module):
    """Car or person by the brightness of the image, too sure by a factor that depends on the
    cameras; logits have the size of the image."""

    mask_stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(
        self, rgb: torch.Tensor, thermal: torch.Tensor, valid: torch.Tensor, present: torch.Tensor
    ) -> torch.Tensor:
        rgb_there, thermal_there = (bool(flag) for flag in present[0])
        cameras = ("rgb+thermal" if thermal_there else "rgb") if rgb_there else "thermal"
        level = rgb[..., 0] if rgb_there else thermal[..., 0]
        lead = GAIN[cameras] * margin(level)
        logits = [torch.full_like(lead, -50.0), lead, torch.zeros_like(lead)]
        return torch.stack(logits + [torch.full_like(lead, -50.0)] * 6, dim=1)


def margin(level: torch.Tensor) -> torch.Tensor:
    """True log odds of car against person."""
    return (level.float() - 128) / 40


@pytest.fixture
def network() -> RgbThermalNetwork:
    return cast(RgbThermalNetwork, Scripted().eval())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return tiny_config(tmp_path / "run")


def frames(count: int, seed: int = 0) -> list[Sample]:
    """Frames whose cameras show the same, and whose thermal camera looks at the left half only."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        thermal = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
        valid = np.ones_like(thermal)
        valid[:, WIDTH // 2 :] = 0
        level = normalise(thermal, valid=valid)
        odds = margin(torch.from_numpy(level)).numpy()
        car = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
        samples.append(
            Sample(
                stem=f"site/{index:05d}",
                rgb=np.repeat(level[..., None], 3, axis=2),
                thermal=thermal,
                label=np.where(car, CAR, PERSON).astype(np.uint8),
                night=False,
                thermal_valid=valid,
            )
        )
    return samples


def test_each_set_of_cameras_gets_its_own(network: RgbThermalNetwork, config: Config) -> None:
    found = calibrate(network, config, frames(6))
    assert found.frames == 6
    for cameras, gain in GAIN.items():
        assert found.temperature[cameras] == pytest.approx(gain, rel=0.1)
        before, after = found.before[cameras], found.after[cameras]
        assert before is not None
        assert after is not None
        assert after < 0.02 < before
    assert in_order(found.temperature) == tuple(found.temperature[name] for name in GAIN)


def test_thermal_alone_is_judged_where_it_looks(network: RgbThermalNetwork, config: Config) -> None:
    good = frames(2)
    spoilt = []
    for sample in good:
        assert sample.label is not None
        label = sample.label.copy()
        label[:, WIDTH // 2 :] = CAR + PERSON - label[:, WIDTH // 2 :]
        spoilt.append(replace(sample, label=label))
    one, other = (calibrate(network, config, each) for each in (good, spoilt))
    assert one.temperature["thermal"] == other.temperature["thermal"]
    assert one.after["thermal"] == other.after["thermal"]
    assert other.temperature["rgb"] > 1.5 * one.temperature["rgb"]


def test_memory_is_bounded(
    network: RgbThermalNetwork, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fit(logits: np.ndarray, truth: np.ndarray) -> float:
        seen.append((len(logits), len(truth)))
        return 1.0

    monkeypatch.setattr(temperature, "fit_temperature", fit)
    monkeypatch.setattr(temperature, "FRAMES", 2)
    monkeypatch.setattr(temperature, "CELLS", 1000)
    assert calibrate(network, config, frames(5)).frames == 2
    assert all(800 < cells == labels <= 1000 for cells, labels in seen)
    assert len(seen) == 3


def test_without_foreground_nothing_is_measured(network: RgbThermalNetwork, config: Config) -> None:
    unlabelled = np.full((HEIGHT, WIDTH), IGNORE_ID, np.uint8)
    found = calibrate(network, config, [replace(frames(1)[0], label=unlabelled)])
    assert set(found.temperature.values()) == {1.0}
    assert set(found.before.values()) == set(found.after.values()) == {None}
