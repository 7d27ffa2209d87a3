"""Two processes that run the real step on half of each batch learn what one learns from all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from sartm_core.training.config import Config
from sartm_core.training.optimizer import train_mode
from sartm_core.training.samples import Batch
from sartm_core.training.step import TrainingStep
from tests.core.training.test_distill import taught
from tests.core.training.test_step import BOTH, RGB, THERMAL, build, grounded, random_batch
from tests.training_runs import DISTILL, teacher_config, write_teacher

STEPS = 4
LABELLED = 4  # classes of the second process's data set


def draw(step: int) -> Batch:
    """The joint batch of four; its halves are unlike: the second one has no RGB, nothing to ground,
    no hidden blocks, only the first classes, less said by teachers, and in one step no labels."""
    batch = random_batch([BOTH, RGB, THERMAL, THERMAL], seed=step)
    labelled = batch.labelled.clone()
    labelled[2:, LABELLED:] = False
    label = batch.label.clone()
    label[2:] = label[2:].where((label[2:] < LABELLED) | (label[2:] == 255), 0)
    hidden = batch.hidden.clone()
    hidden[2:] = 0
    if step == 1:
        label[2:] = 255
    batch = taught(replace(batch, label=label, labelled=labelled, hidden=hidden), seed=step)
    assert batch.teacher is not None
    assert batch.teacher.feature is not None
    batch.teacher.probability[2:, ..., :8] = 0.0
    batch.teacher.feature[2:, ..., :2] = 0.0
    return batch


def part(batch: Batch, rank: int) -> Batch:
    return batch.map(lambda tensor: tensor.chunk(2)[rank])


class Record(NamedTuple):
    """What a run leaves behind."""

    losses: list[float]
    parts: list[dict[str, float]]
    gradients: dict[str, torch.Tensor]
    state: dict[str, torch.Tensor]


def prepared(config: Config) -> TrainingStep:
    """Real statistics of BatchNorm, and then frozen."""
    step = grounded(build(replace(config, train=replace(config.train, freeze_batchnorm=False))))
    with torch.no_grad():
        for seed in range(20):
            step(taught(random_batch(seed=100 + seed)), 0.5)
    train_mode(step, replace(config.train, freeze_batchnorm=True))
    return step


def train(config: Config, rank: int = 0, processes: int = 1) -> Record:
    torch.set_num_threads(1)
    step = prepared(config)
    network = DistributedDataParallel(step) if processes > 1 else step
    optimizer = torch.optim.SGD(step.parameters(), lr=1e-3)
    losses, parts, gradients = [], [], {}
    for number in range(STEPS):
        batch = draw(number)
        optimizer.zero_grad()
        loss = network(part(batch, rank) if processes > 1 else batch, 0.05 + number / STEPS)
        loss.total.backward()
        if number == 0:
            gradients = {
                name: parameter.grad.clone()
                for name, parameter in step.named_parameters()
                if parameter.grad is not None
            }
        optimizer.step()
        assert step.cmkd is not None
        step.cmkd.update()
        assert step.distill is not None
        step.distill.update()
        losses.append(loss.total.item())
        parts.append({name: value.item() for name, value in loss.parts.items()})
    return Record(losses, parts, gradients, step.state_dict())


def in_process(rank: int, config: Config, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    torch.save(train(config, rank, processes=2)._asdict(), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("distributed")
    taught_by = f"distill.teachers=[{write_teacher(folder)}]"
    # Light, or the rounding of one step would be too large in the next.
    weights = "distill.logits=0.1", "distill.feature=0.1", "distill.relation=0.02"
    return teacher_config(folder / "run", *DISTILL, taught_by, *weights)


@pytest.fixture(scope="module")
def alone(config: Config) -> Record:
    return train(config)


@pytest.fixture(scope="module")
def together(config: Config, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        multiprocessing.spawn(in_process, args=(config, folder), nprocs=2)
    return [Record(**torch.load(folder / f"{rank}.pt", weights_only=True)) for rank in range(2)]


def test_gradients_at_the_first_step_are_those_of_the_joint_batch(
    alone: Record, together: list[Record]
) -> None:
    largest = max(gradient.norm().item() for gradient in alone.gradients.values())
    for record in together:
        assert record.gradients.keys() == alone.gradients.keys()
        for name, gradient in alone.gradients.items():
            difference = (record.gradients[name] - gradient).norm().item()
            assert difference <= 1e-3 * gradient.norm().item() + 1e-6 * largest, name


def test_losses_and_averages_stay_together(alone: Record, together: list[Record]) -> None:
    assert min(alone.parts[0].values()) > 1e-4  # every term takes part, grounding too
    for record in together:
        assert record.losses == pytest.approx(alone.losses, rel=1e-4)
        for ours, theirs in zip(record.parts, alone.parts, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        for name, value in alone.state.items():
            torch.testing.assert_close(record.state[name], value, rtol=1e-3, atol=1e-4)
