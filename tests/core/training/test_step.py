"""What one step learns from: which view, which samples, and what stays out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.losses import gradient_norms, segmentation_loss
from sartm_core.models.network import Decoded
from sartm_core.models.teacher import Teacher
from sartm_core.models.text_head import TextHead
from sartm_core.training.build import build_step
from sartm_core.training.config import Config
from sartm_core.training.optimizer import train_mode
from sartm_core.training.samples import Batch, apply_hidden
from sartm_core.training.step import StepLoss, TrainingStep
from tests.training_runs import CMKD, teacher_config

CLASSES, HEIGHT, WIDTH, FEATURES = 9, 64, 96, 14
BOTH, RGB, THERMAL = (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)


class CellMeans(nn.Module):
    """In the place of the ImageNet encoder: mean colours of cells, mixed; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("mix", torch.randn(FEATURES, 3, 1, 1, generator=generator))
        self.seen: list[torch.Tensor] = []

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        self.seen.append(rgb)
        return F.conv2d(F.avg_pool2d(rgb, 32), self.mix)


def grounded(step: TrainingStep) -> TrainingStep:
    """The step with a grounded text head and a stand-in for the ImageNet encoder."""
    network, text = step.network, step.network.text
    assert isinstance(network, Teacher)
    assert isinstance(text, TextHead)
    torch.manual_seed(1)
    grounding = torch.randn(len(text.centre), FEATURES)
    network.text = TextHead(16, text.words, text.centre, grounding=grounding)
    imagenet: Any = CellMeans()
    return TrainingStep(network, step.cmkd, imagenet, step.config, step.distill)


def build(config: Config) -> TrainingStep:
    torch.manual_seed(0)
    step = build_step(config, fresh=True)
    train_mode(step, config.train)
    return step


def random_batch(
    present: Sequence[tuple[float, float]] = (BOTH, RGB, THERMAL),
    *,
    hidden: bool = True,
    seed: int = 5,
) -> Batch:
    """Noise, and labels in blocks of 16x16 pixels of every class."""
    generator = torch.Generator().manual_seed(seed)
    size = (len(present), HEIGHT, WIDTH)

    def blocks(high: int) -> torch.Tensor:
        coarse = torch.randint(0, high, (size[0], HEIGHT // 16, WIDTH // 16), generator=generator)
        return coarse.repeat_interleave(16, dim=1).repeat_interleave(16, dim=2)

    images = torch.randint(0, 256, (*size, 4), generator=generator, dtype=torch.uint8)
    label = blocks(CLASSES)
    label[:, :8, :8] = 255
    return Batch(
        rgb=images[..., :3],
        thermal=images[..., 3:],
        thermal_valid=torch.ones(*size, 1, dtype=torch.uint8),
        present=torch.tensor(present),
        label=label,
        hidden=blocks(3).to(torch.uint8) * hidden,
        labelled=torch.ones(size[0], CLASSES, dtype=torch.bool),
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """All terms on."""
    return teacher_config(tmp_path_factory.mktemp("step") / "run")


def without(config: Config, **weights: float) -> Config:
    return replace(config, cmkd=replace(config.cmkd, **weights))


LABELS_ONLY = {"gap": 0.0, "gap_prototype": 0.0, "relation": 0.0, "alignment_prototype": 0.0}


def test_labels_are_learned_in_the_view_that_each_sample_was_drawn_for(config: Config) -> None:
    """With frozen statistics a view of the step is the network on those cameras."""
    config = replace(config, train=replace(config.train, freeze_batchnorm=True))
    step, batch = build(config), random_batch()
    network = step.network
    masked = apply_hidden(batch)
    drawn = network.decode(network.encode(*masked.inputs), batch.present)
    loss = step(batch, 0.5)
    assert drawn.feature is not None
    heads = drawn.heads | {"text": network.text(drawn.feature)}
    for name, logits in heads.items():
        logits = F.interpolate(logits, size=(HEIGHT, WIDTH), mode="bilinear")
        _, terms = segmentation_loss(logits, batch.label, config.loss)
        for term, value in terms.items():
            torch.testing.assert_close(loss.parts[f"{name}/{term}"], value, rtol=1e-4, atol=1e-5)
    fused = step(replace(batch, present=torch.ones(3, 2)), 0.5)
    assert fused.parts["main/ce"] != loss.parts["main/ce"]


class Recorder(nn.Module):
    """In the place of CMKD: keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[str, Decoded] = {}
        self.target: torch.Tensor | None = None

    def forward(
        self, views: dict[str, Decoded], target: torch.Tensor | None, *_: object
    ) -> dict[str, torch.Tensor]:
        self.views, self.target = views, target
        return {}


def recorded(config: Config, batch: Batch) -> tuple[TrainingStep, Recorder]:
    """A step on the batch, and what CMKD was given."""
    step = build(config)
    recorder: Any = Recorder()
    step.cmkd = recorder
    step(batch, 0.5)
    return step, recorder


def test_target_is_of_the_uncorrupted_pair_and_has_no_gradient(config: Config) -> None:
    batch = random_batch()
    step, recorder = recorded(config, batch)
    assert recorder.target is not None
    assert not recorder.target.requires_grad
    other = replace(batch, hidden=batch.hidden.flip(2), present=torch.ones(3, 2))
    _, moved = recorded(config, other)
    assert moved.target is not None
    assert torch.equal(moved.target, recorder.target)  # neither blocks nor dropped cameras
    assert not torch.equal(moved.views["fused"].logits, recorder.views["fused"].logits)
    assert recorder.views["fused"].logits.requires_grad
    _, plain = recorded(config, random_batch(hidden=False))
    assert plain.target is None  # the view of both is the target

    torch.manual_seed(0)
    fresh = build_step(config, fresh=True).network.eval()
    with torch.no_grad():
        expected = fresh(batch.rgb, batch.thermal, batch.thermal_valid, torch.ones(3, 2))
    torch.testing.assert_close(recorder.target, expected)
    assert step.network.training


def test_views_of_one_camera_have_no_blocks_of_the_other(config: Config) -> None:
    """What is hidden in thermal is still whole in RGB, and does not matter to RGB alone."""
    config = replace(config, train=replace(config.train, freeze_batchnorm=True))
    batch = random_batch()
    thermal_hidden = batch.hidden * (batch.hidden == 2)
    _, masked = recorded(config, replace(batch, hidden=thermal_hidden))
    _, clean = recorded(config, replace(batch, hidden=torch.zeros_like(batch.hidden)))
    torch.testing.assert_close(masked.views["rgb"].logits, clean.views["rgb"].logits)
    assert not torch.equal(masked.views["thermal"].logits, clean.views["thermal"].logits)


def test_target_leaves_the_statistics_of_batchnorm_alone(config: Config) -> None:
    """After the step they are those of the masked views alone."""
    batch = random_batch()
    step, masked = build(config), apply_hidden(batch)
    step(batch, 0.5)
    reference = build(config)
    reference(replace(masked, hidden=torch.zeros_like(batch.hidden)), 0.5)
    for name, value in reference.network.named_buffers():
        assert torch.equal(step.network.get_buffer(name), value), name
    counts = [v for k, v in step.network.named_buffers() if k.endswith("num_batches_tracked")]
    assert {int(count) for count in counts} == {1}


@pytest.mark.parametrize("freeze", [False, True])
def test_target_leaves_every_module_in_its_mode(config: Config, freeze: bool) -> None:
    step = build(replace(config, train=replace(config.train, freeze_batchnorm=freeze)))
    before = {name: module.training for name, module in step.named_modules()}
    step(random_batch(), 0.5)
    assert {name: module.training for name, module in step.named_modules()} == before
    assert freeze != all(before.values())


def test_alignment_weighs_the_text_head(config: Config) -> None:
    loss = build(config)(random_batch(), 0.5)
    own = ("text/ce", 1.0), ("text/hardest", config.loss.hardest), ("text/dice", config.loss.dice)
    expected = config.language.alignment * sum(w * loss.parts[name] for name, w in own)
    torch.testing.assert_close(loss.weighted["label/text"], expected)
    torch.testing.assert_close(loss.total, torch.stack([*loss.weighted.values()]).sum())
    assert config.language.alignment != 1


def test_grounding_is_of_the_samples_with_rgb(config: Config) -> None:
    step, batch = grounded(build(config)), random_batch()
    torch.manual_seed(0)
    loss = step(batch, 0.5)
    imagenet: Any = step._imagenet[0]
    (seen,) = imagenet.seen
    assert torch.equal(seen, batch.rgb[:2].permute(0, 3, 1, 2).float())  # not masked, not thermal
    assert 0 < loss.parts["grounding"] < 2
    weighted = config.language.grounding_weight * loss.parts["grounding"]
    assert torch.equal(loss.weighted["grounding"], weighted)

    none = step(random_batch([THERMAL, THERMAL]), 0.5)
    assert none.parts["grounding"] == 0
    assert len(imagenet.seen) == 1


def total_with_gradients(step: TrainingStep, batch: Batch, progress: float = 0.5) -> StepLoss:
    step.zero_grad(set_to_none=True)
    loss: StepLoss = step(batch, progress)
    loss.total.backward()
    return loss


@pytest.mark.parametrize("cameras", [[BOTH, RGB, THERMAL], [BOTH, BOTH], [THERMAL, THERMAL]])
@pytest.mark.parametrize("weights", [{}, LABELS_ONLY])
def test_every_parameter_gets_a_gradient(
    config: Config, cameras: list[tuple[float, float]], weights: dict[str, float]
) -> None:
    """DistributedDataParallel waits for every one, whatever cameras a process has drawn."""
    step = grounded(build(without(config, **weights)))
    total_with_gradients(step, random_batch(cameras))
    missing = [name for name, value in step.named_parameters() if value.grad is None]
    assert not missing
    if len(cameras) == 3:
        still = [name for name, value in step.named_parameters() if not value.grad.any()]
        # A key's bias moves every logit of a softmax alike.
        assert not [name for name in still if "k_proj.bias" not in name], still


def test_one_optimiser_step_teaches_both_cameras_and_all_heads(config: Config) -> None:
    step = build(config)
    before = {name: value.detach().clone() for name, value in step.network.named_parameters()}
    optimizer = torch.optim.SGD(step.parameters(), lr=0.1)
    total_with_gradients(step, random_batch())
    optimizer.step()
    parts = {
        ".".join(name.split(".")[:2])
        for name, value in step.network.named_parameters()
        if not torch.equal(value, before[name])
    }
    for part in ("encoder.stream", "encoder.thermal_stream", "mask_decoder.class_tokens"):
        assert part in parts
    assert {"classifier.weight", "text.projection", "pixel.fuse", "fusion.0"} <= parts


@pytest.mark.parametrize(
    "label",
    [
        255,  # all ignored
        0,  # background only
        3,  # one class only
    ],
)
@pytest.mark.parametrize("bf16", [False, True])
def test_finite_whatever_the_labels(config: Config, label: int, bf16: bool) -> None:
    step, batch = grounded(build(config)), random_batch()
    batch = replace(batch, label=torch.full_like(batch.label, label))
    for _ in range(2):
        step.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = step(batch, 0.5)
        loss.total.backward()
        assert step.cmkd is not None
        step.cmkd.update()
        assert torch.isfinite(loss.total)
        assert all(torch.isfinite(part) for part in loss.parts.values())
        assert all(torch.isfinite(p.grad).all() for p in step.parameters() if p.grad is not None)
    if label == 255:
        assert all(value == 0 for name, value in loss.parts.items() if name != "grounding")


def test_bf16_is_close_and_learns_everywhere(config: Config) -> None:
    """The pass without gradients comes first: its rounded weights must not be taken again."""
    batch = random_batch()
    exact = total_with_gradients(build(config), batch)
    step = build(config)
    with torch.autocast("cpu", torch.bfloat16):
        loss = step(batch, 0.5)
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in step.parameters())
    assert loss.parts.keys() == exact.parts.keys()
    torch.testing.assert_close(loss.total, exact.total, rtol=0.1, atol=0.05)
    assert all(part.dtype == torch.float32 for part in loss.parts.values())


def test_labels_and_words_pull_at_the_feature_with_the_gap_on(config: Config) -> None:
    step = build(config)
    assert step.cmkd is not None
    step(random_batch(), 0.5)
    step.cmkd.update()
    loss = step(random_batch(), 0.5)
    assert loss.feature is not None
    assert loss.feature.shape[0] == 9  # of all three views
    norms = gradient_norms(loss.weighted, loss.feature)
    assert norms.keys() == {
        *("label/main", "label/aux", "label/text"),
        *("cmkd/gap", "cmkd/gap_prototype", "cmkd/relation", "cmkd/alignment_prototype"),
    }
    assert norms.pop("label/main") == 0  # the mask decoder does not use this feature
    assert all(norm > 0 for norm in norms.values()), norms
    loss.total.backward()  # the graph is still there


def test_gap_of_a_correct_target_grows_over_the_ramp(config: Config) -> None:
    step, batch = build(config), random_batch(hidden=False)
    with torch.no_grad():
        early, late = (step(batch, progress).parts["cmkd/gap"] for progress in (0.05, 0.1))
        start = step(batch, 0.0).parts["cmkd/gap"]
    assert start == 0
    assert 0 < early < late


def test_classes_that_a_data_set_does_not_label_cost_nothing(config: Config) -> None:
    """A sample of a set without class 8 teaches nothing about it where it says background."""
    batch = random_batch([BOTH, BOTH])
    label = batch.label.where(batch.label != 8, 0)
    labelled = batch.labelled.clone()
    labelled[:, 8] = False
    step = build(without(config, **LABELS_ONLY))
    whole = total_with_gradients(step, replace(batch, label=label))
    bias = step.network.get_parameter("classifier.bias").grad
    assert bias is not None
    pushed_down = bias[8].item()
    part = total_with_gradients(step, replace(batch, label=label, labelled=labelled))
    bias = step.network.get_parameter("classifier.bias").grad
    assert bias is not None
    assert part.parts["aux/ce"] < whole.parts["aux/ce"]
    assert bias[8].item() < pushed_down


def test_terms_are_those_of_the_configuration(config: Config) -> None:
    assert len(CMKD) > 4
    all_on = set(build(config)(random_batch(), 0.5).weighted)
    labels = {"label/main", "label/aux", "label/text"}
    terms = {f"cmkd/{name}" for name in LABELS_ONLY}
    assert all_on == labels | terms
    assert set(build(without(config, **LABELS_ONLY))(random_batch(), 0.5).weighted) == labels
    one = without(config, **{**LABELS_ONLY, "relation": 0.5})
    assert set(build(one)(random_batch(), 0.5).weighted) == {*labels, "cmkd/relation"}


def test_words_are_read_from_the_file(config: Config, tmp_path: Path) -> None:
    step = build(config)
    shuffled = build(replace(config, language=replace(config.language, shuffle=1)))
    assert isinstance(step.network.text, TextHead)
    assert isinstance(shuffled.network.text, TextHead)
    right, wrong = step.network.text.words, shuffled.network.text.words
    assert not torch.equal(right, wrong)
    torch.testing.assert_close(right.sum(dim=0), wrong.sum(dim=0))
    assert step.cmkd is not None
    assert torch.equal(step.cmkd.words, right)
