"""Two processes with half of each batch learn exactly what one learns from the joint batch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from sartm_core.losses import (
    CmkdConfig,
    CrossModalDistillation,
    LossConfig,
    gradient_norms,
    hardest_mean,
    segmentation_loss,
)
from tests.core.losses.views import View

CLASSES, CHANNELS, WORDS, BATCH, STEPS = 6, 7, 5, 4, 50
CAMERAS = {"fused": (1.0, 1.0), "rgb": (1.0, 0.0), "thermal": (0.0, 1.0)}


class Batch(NamedTuple):
    """Images [B,4,8,8], labels [B,32,32] and which classes are labelled [B,C]."""

    image: torch.Tensor
    label: torch.Tensor
    labelled: torch.Tensor

    def part(self, rank: int, of: int) -> Batch:
        return Batch(*(tensor.chunk(of)[rank] for tensor in self))


def draw(step: int) -> Batch:
    """Blocks of classes, unlike in the two halves: the second one holds only classes 0 to 3, labels
    no others, and has more ignored pixels; in every fifth batch it is ignored altogether."""
    generator = torch.Generator().manual_seed(step)
    blocks = torch.randint(0, CLASSES, (BATCH, 4, 4), generator=generator)
    label = blocks.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    label[BATCH // 2 :] %= 4
    ignored = torch.rand(label.shape, generator=generator)
    label[ignored < torch.tensor([0.1, 0.1, 0.4, 0.4]).view(-1, 1, 1)] = 255
    if step % 5 == 3:
        label[BATCH // 2 :] = 255
    labelled = torch.ones(BATCH, CLASSES, dtype=torch.bool)
    labelled[BATCH // 2 :, 4:] = False
    hue = torch.randn(CLASSES, 4, generator=torch.Generator().manual_seed(1)).double()
    image = hue[blocks].permute(0, 3, 1, 2).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    noise = torch.randn(image.shape, generator=generator, dtype=torch.float64)
    return Batch(image + 0.5 * noise, label, labelled)


class Step(nn.Module):
    """A linear network of two cameras with two channels each, and every loss there is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.feature = nn.Conv2d(4, CHANNELS, 1)
        self.classify = nn.Conv2d(CHANNELS, CLASSES, 1)
        self.embed = nn.Linear(CHANNELS, WORDS)
        words = nn.functional.normalize(torch.randn(CLASSES, WORDS), dim=1)
        words[0] = 0.0
        self.cmkd = CrossModalDistillation(
            CmkdConfig(gap=1.0, gap_prototype=0.5, relation=0.3, alignment_prototype=0.3),
            classes=CLASSES,
            channels=CHANNELS,
            words=words,
            centre=words[1:].mean(dim=0),
        )

    def forward(
        self, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        views = {}
        for name, present in CAMERAS.items():
            mask = torch.tensor(present, dtype=torch.float64).repeat_interleave(2).view(1, 4, 1, 1)
            feature = self.feature(batch.image * mask)
            views[name] = View(self.classify(feature), feature)
        feature = views["fused"].feature
        assert feature is not None
        logits = nn.functional.interpolate(self.classify(feature), scale_factor=4, mode="bilinear")
        config = LossConfig(hardest_fraction=0.2)
        loss, parts = segmentation_loss(logits, batch.label, config, batch.labelled)
        terms = self.cmkd(views, None, batch.label, progress, self.embed, batch.labelled)
        return loss + self.cmkd.weigh(terms), parts | terms, feature


class Record(NamedTuple):
    """What a run leaves behind."""

    losses: list[float]
    parts: dict[str, float]
    norms: dict[str, float]
    gradients: dict[str, torch.Tensor]
    state: dict[str, torch.Tensor]


def train(rank: int = 0, processes: int = 1) -> Record:
    step = Step().double()
    network = DistributedDataParallel(step) if processes > 1 else step
    optimizer = torch.optim.SGD(step.parameters(), lr=0.05)
    losses: list[float] = []
    for number in range(STEPS):
        # The run is in the middle of the ramp of the gap at its first step.
        progress = 0.05 + number / STEPS
        loss, parts, feature = network(draw(number).part(rank, processes), progress)
        if number == 0:
            values = {name: part.item() for name, part in parts.items()}
            norms = gradient_norms(parts, feature)
        optimizer.zero_grad()
        loss.backward()
        if number == 0:
            gradients = {
                name: parameter.grad.clone()
                for name, parameter in step.named_parameters()
                if parameter.grad is not None
            }
        optimizer.step()
        step.cmkd.update()
        losses.append(loss.item())
    return Record(losses, values, norms, gradients, step.state_dict())


def in_process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    # Values of the joint batch 9 8 7 ... 0: the hardest four are 9 8 7 6; and none at all.
    hardest = hardest_mean(torch.arange(7.0, 10.0) if rank else torch.arange(7.0), 0.4)
    none = hardest_mean(torch.zeros(0), 0.4)
    # Tied values share the places that are left: 5, and one of 1 1 1.
    tied = hardest_mean(torch.tensor([1.0, 1.0, 5.0] if rank else [1.0]), 0.5)
    record = train(rank, processes=2)
    torch.save((record._asdict(), [hardest, none, tied]), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def alone() -> Record:
    return train()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Record, list[torch.Tensor]]]:
    """What each of two processes leaves behind."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        multiprocessing.spawn(in_process, args=(folder,), nprocs=2)
    saved = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return [(Record(**record), hardest) for record, hardest in saved]


Processes = list[tuple[Record, list[torch.Tensor]]]


def test_gradients_at_the_first_step_are_those_of_the_joint_batch(
    alone: Record, together: Processes
) -> None:
    assert min(alone.parts.values()) > 1e-3  # every term takes part
    assert all(gradient.abs().max() > 1e-3 for gradient in alone.gradients.values())
    for record, _ in together:
        assert record.parts == pytest.approx(alone.parts, abs=1e-9)
        for name, gradient in alone.gradients.items():
            torch.testing.assert_close(record.gradients[name], gradient, rtol=0, atol=1e-9)


def test_losses_and_weights_stay_together(alone: Record, together: Processes) -> None:
    assert alone.losses[-1] < 0.8 * alone.losses[0]
    for record, _ in together:
        assert record.losses == pytest.approx(alone.losses, abs=1e-6)
        for name, value in alone.state.items():
            torch.testing.assert_close(record.state[name], value, rtol=0, atol=1e-6)


def test_gradient_norms_are_of_the_joint_batch(alone: Record, together: Processes) -> None:
    detached = {name for name, norm in alone.norms.items() if norm == 0}
    assert detached == {"gap", "gap_prototype"}  # the fused view is their target
    for record, _ in together:
        assert record.norms == pytest.approx(alone.norms, rel=1e-9)


def test_hardest_pixels_are_those_of_the_joint_batch(together: Processes) -> None:
    for _, (hardest, none, tied) in together:
        assert hardest.item() == 7.5
        assert none.item() == 0
        assert tied.item() == 3.0
