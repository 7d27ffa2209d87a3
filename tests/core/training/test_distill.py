"""Steps and runs that learn from teachers: which view, which parameters, bit for bit again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sartm_core.data.images import write_png
from sartm_core.losses import gradient_norms
from sartm_core.losses.distill import counted_cells, distillation_loss
from sartm_core.training.checkpoint import LAST, load_checkpoint
from sartm_core.training.config import Config
from sartm_core.training.data import load_data
from sartm_core.training.samples import Batch, TeacherTarget, collate, draw_sample
from sartm_core.training.teacher_outputs import ask_teachers
from sartm_core.training.train import train
from tests.core.training.test_step import CLASSES, HEIGHT, WIDTH, build, random_batch
from tests.core.training.test_train import assert_same_run
from tests.training_runs import CMKD, DISTILL, distill_config, teacher_config, write_teacher

TERMS = {"distill/logits", "distill/feature", "distill/relation"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return distill_config(tmp_path_factory.mktemp("distill") / "run")


def taught(batch: Batch, channels: int = 16, seed: int = 3) -> Batch:
    """With a teacher that is right about most of the cells."""
    generator = torch.Generator().manual_seed(seed)
    size = len(batch.present)
    known = batch.label[:, 2::4, 2::4]
    known = known.where(known < CLASSES, 0)
    wanted = 4.0 * torch.nn.functional.one_hot(known, CLASSES).permute(0, 3, 1, 2)
    noise = torch.randn(size, CLASSES, HEIGHT // 4, WIDTH // 4, generator=generator)
    feature = torch.randn(size, channels, HEIGHT // 16, WIDTH // 16, generator=generator)
    threshold = torch.full((size, CLASSES), 0.3)
    return replace(
        batch, teacher=TeacherTarget((wanted + noise).softmax(dim=1), feature, threshold)
    )


def test_the_drawn_view_learns_what_the_pair_would_have_shown(config: Config) -> None:
    frozen = replace(config, train=replace(config.train, freeze_batchnorm=True))
    step, batch = build(frozen), taught(random_batch(hidden=False))
    loss = step(batch, 0.5)
    assert loss.parts.keys() >= TERMS
    assert batch.teacher is not None
    view = step.network.decode(step.network.encode(*batch.inputs), batch.present)
    counted = counted_cells(batch.teacher.probability, batch.label, batch.teacher.threshold)
    expected = distillation_loss(view.logits, batch.teacher.probability, counted, 2.0, 5.0)
    torch.testing.assert_close(loss.parts["distill/logits"], expected)
    for name in TERMS:
        weight = getattr(config.distill, name.removeprefix("distill/"))
        torch.testing.assert_close(loss.weighted[name], weight * loss.parts[name])
    torch.testing.assert_close(loss.total, torch.stack([*loss.weighted.values()]).sum())
    whole = step(replace(batch, present=torch.ones(3, 2)), 0.5)
    for name in TERMS:
        assert whole.parts[name] != loss.parts[name]


def test_every_term_pulls_at_the_feature(config: Config) -> None:
    loss = build(config)(taught(random_batch()), 0.5)
    assert loss.feature is not None
    norms = gradient_norms(loss.weighted, loss.feature)
    assert norms.keys() == {"label/main", *TERMS}
    assert all(norm > 0 for norm in norms.values()), norms


def test_beside_distillation_between_cameras(tmp_path: Path) -> None:
    teacher = f"distill.teachers=[{write_teacher(tmp_path)}]"
    step = build(teacher_config(tmp_path / "run", *DISTILL, teacher))
    batch = taught(random_batch())
    loss = step(batch, 0.5)
    assert loss.feature is not None
    norms = gradient_norms(loss.weighted, loss.feature)
    assert all(norms[name] > 0 for name in TERMS | {"cmkd/gap", "cmkd/relation"}), norms
    loss.total.backward()
    assert not [name for name, value in step.named_parameters() if value.grad is None]
    assert len(CMKD) > 4


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("nothing", [False, True])
def test_finite_without_any_label(config: Config, bf16: bool, nothing: bool) -> None:
    """What the teacher is sure of is learned; where it says nothing either, nothing is."""
    step, batch = build(config), taught(random_batch())
    batch = replace(batch, label=torch.full_like(batch.label, 255))
    if nothing:
        assert batch.teacher is not None
        batch = replace(batch, teacher=batch.teacher.map(torch.zeros_like))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = step(batch, 0.5)
    loss.total.backward()
    gradients = [value.grad for value in step.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    learns = {name for name, part in loss.parts.items() if part != 0}
    assert learns == (set() if nothing else {"distill/logits", "distill/feature"})


def unlabelled_folder(path: Path) -> Path:
    rng = np.random.default_rng(0)
    for stem, shape in (("a", (70, 101)), ("b", (66, 120))):
        for part, channels in (("rgb", (3,)), ("thermal", ())):
            (path / part).mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (*shape, *channels)).astype(np.uint8)
            write_png(path / part / f"{stem}.png", image)
    return path


def mixture(tmp_path: Path) -> tuple[str, ...]:
    """Half of the samples are of frames without labels; objects are pasted into the others."""
    folder = unlabelled_folder(tmp_path / "unlabelled")
    scenes = "{dataset: synthetic, frames: 4, width: 96, height: 64}"
    return (
        f"data.sources=[{scenes}, {{dataset: 'folder:{folder}'}}]",
        "distill.least_confidence=0",
        "augment.copy_paste=0.8",
        "augment.rotation=5",
        "augment.drop_rgb=0.3",
        "train.tensorboard=false",
        "train.gradient_norms_every=2",
    )


def test_batches_of_frames_with_and_without_labels(tmp_path: Path) -> None:
    config = distill_config(tmp_path / "run", *mixture(tmp_path))
    sources = ask_teachers(config, load_data(config)[0], torch.device("cpu"))
    sources[1].threshold = np.full(CLASSES, 0.123, np.float32)
    batch = collate(draw_sample(sources, config.data, config.augment, (0, 0, i)) for i in range(12))
    assert batch.teacher is not None
    assert batch.teacher.feature is not None
    assert batch.teacher.probability.shape == (12, CLASSES, 16, 24)
    assert batch.teacher.probability.dtype == torch.float32
    assert batch.teacher.feature.shape == (12, 16, 4, 6)
    assert batch.teacher.threshold.shape == (12, CLASSES)
    bare = (batch.label == 255).flatten(1).all(dim=1)
    assert 0 < bare.sum() < 12
    said = batch.teacher.probability.sum(dim=1)
    assert said[bare].any()
    own = torch.tensor(sources[1].threshold)
    assert torch.equal((batch.teacher.threshold == own).all(dim=1), bare)


def test_a_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    options = ("train.steps=4", *mixture(tmp_path))
    whole = distill_config(tmp_path / "a" / "run", *options)
    # The same teacher: its path belongs to the configuration, the folder of the cache does not.
    same = f"distill.teachers=[{whole.distill.teachers[0]}]"
    assert train(whole).finished
    for step in (1, 2, 3, 4):
        part = distill_config(
            tmp_path / "b" / "run", *options, same, "train.max_minutes=1e-9",
            f"distill.cache={tmp_path}/{step}",
        )  # fmt: skip
        assert train(part).step == step
    assert_same_run(tmp_path / "b" / "run", tmp_path / "a" / "run")

    state = load_checkpoint(tmp_path / "a" / "run" / LAST)
    (teacher,) = state.provenance["teacher"]
    assert teacher["file"] == "teacher.ckpt"
    assert len(teacher["sha256"]) == 64
    for name in ("distill.projection.weight", "distill.banks.student.seen"):
        assert state.training[name].any()
        assert not any("distill" in key for key in state.ema)
    torch.manual_seed(whole.train.seed)
    fresh = build(whole).distill
    assert fresh is not None
    assert fresh.projection is not None
    learned = state.training["distill.projection.weight"]
    assert not torch.equal(learned, fresh.projection.weight)


def test_runs_without_teachers_have_no_part_of_it(tmp_path: Path) -> None:
    step = build(teacher_config(tmp_path / "run"))
    assert step.distill is None
    assert not any("distill" in name for name in step.state_dict())
