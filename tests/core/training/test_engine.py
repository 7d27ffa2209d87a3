"""Switches of the training engine: accumulation, frozen statistics, other weights to start from."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from sartm_core.data.synthetic import write_folder
from sartm_core.errors import SartmError
from sartm_core.training.board import FOLDER, similarity_picture
from sartm_core.training.build import build_step
from sartm_core.training.checkpoint import LAST, load_checkpoint
from sartm_core.training.config import Config
from sartm_core.training.data import load_data
from sartm_core.training.loader import load_batches
from sartm_core.training.run_folder import read_metrics
from sartm_core.training.samples import Batch, Source
from sartm_core.training.train import train
from tests.training_runs import TEACHER, teacher_config, tiny_config

NO_RATE = ("train.lr_encoder=1e-12", "train.lr_decoder=1e-12", "train.weight_decay=0")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return tiny_config(tmp_path_factory.mktemp("engine") / "run", "train.steps=3")


@pytest.fixture(scope="module")
def sources(config: Config) -> list[Source]:
    return load_data(config)[0]


def batches(
    config: Config, sources: list[Source], first: int = 0, process: int = 0, **plan: Any
) -> list[Batch]:
    return list(
        load_batches(replace(config, train=replace(config.train, **plan)), sources, first, process)
    )


def tensors(batch: Batch) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    batch.map(lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


def joined(parts: list[Batch]) -> Batch:
    rows = zip(*map(tensors, parts), strict=True)
    return parts[0].map(lambda _: torch.cat(next(rows)))


def assert_equal(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for ours, theirs in zip(tensors(one), tensors(other), strict=True):
            assert torch.equal(ours, theirs)


def test_a_step_draws_the_same_samples_however_it_is_divided(
    config: Config, sources: list[Source]
) -> None:
    """Into accumulated batches, processes, or both."""
    whole = batches(config, sources, batch=4)
    assert len(whole) == 3
    assert not any(torch.equal(one.rgb, other.rgb) for one, other in pairwise(whole))
    accumulated = batches(config, sources, batch=1, accumulate=4)
    assert_equal([joined(accumulated[4 * step : 4 * step + 4]) for step in range(3)], whole)
    processes = [batches(config, sources, process=rank, batch=2) for rank in (0, 1)]
    assert_equal([joined(list(parts)) for parts in zip(*processes, strict=True)], whole)
    both = [batches(config, sources, process=rank, batch=1, accumulate=2) for rank in (0, 1)]
    steps = [[part for run in both for part in run[2 * s : 2 * s + 2]] for s in range(3)]
    assert_equal([joined(parts) for parts in steps], whole)


def test_a_resumed_run_goes_on_where_it_was(config: Config, sources: list[Source]) -> None:
    for plan in ({}, {"batch": 1, "accumulate": 2}):
        parts = plan.get("accumulate", 1)
        whole = batches(config, sources, **plan)
        assert_equal(batches(config, sources, first=1, **plan), whole[parts:])


def test_workers_change_nothing(config: Config, sources: list[Source]) -> None:
    assert_equal(batches(config, sources, workers=1), batches(config, sources))


def test_accumulated_batches_make_one_step(tmp_path: Path) -> None:
    """With frozen statistics and a loss that is a mean over images, two batches of one are one of
    two; here each image has as many pixels that count."""
    plain = (
        *("loss.hardest=0", "loss.dice=0", "loss.foreground_weight=1", "train.steps=1"),
        *("train.freeze_batchnorm=true", "train.lr_encoder=1e-3", "train.ema=0"),
        *("augment.scale=[1.0,1.0]", "augment.thermal_shift=0", "data.centered=0"),
    )
    train(tiny_config(tmp_path / "one" / "run", *plain))
    train(tiny_config(tmp_path / "two" / "run", *plain, "train.batch=1", "train.accumulate=2"))
    moments = [
        load_checkpoint(tmp_path / name / "run" / LAST).optimizer["state"]
        for name in ("one", "two")
    ]
    for key, state in moments[0].items():
        gradient, other = state["exp_avg"], moments[1][key]["exp_avg"]
        assert (gradient - other).norm() <= 1e-3 * gradient.norm() + 1e-7


def statistics(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in state.items()
        if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


@pytest.mark.parametrize("freeze", ["true", "false"])
def test_frozen_batchnorm_keeps_its_statistics(tmp_path: Path, freeze: str) -> None:
    config = tiny_config(
        tmp_path / "run",
        *TEACHER,
        "cmkd.gap=1",
        f"train.freeze_batchnorm={freeze}",
        "train.steps=2",
    )
    before = statistics(build_step(config, fresh=True).state_dict())
    assert before
    train(config)
    after = statistics(load_checkpoint(tmp_path / "run" / LAST).training)
    kept = [torch.equal(after[name], value) for name, value in before.items()]
    assert all(kept) if freeze == "true" else not any(kept)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a short run whose averaged weights are far from its last ones."""
    out = tmp_path_factory.mktemp("first") / "run"
    return train(tiny_config(out, "train.steps=4", "train.lr_decoder=0.1")).checkpoint


def test_init_starts_from_averaged_weights(first: Path, tmp_path: Path) -> None:
    frozen = ("train.steps=2", "train.freeze_batchnorm=true", *NO_RATE)
    config = tiny_config(tmp_path / "run", *frozen, f"train.init={first}", "train.max_minutes=1e-9")
    train(config)
    started, origin = load_checkpoint(tmp_path / "run" / LAST), load_checkpoint(first)
    for name, value in origin.ema.items():
        torch.testing.assert_close(started.ema[name], value, rtol=0, atol=1e-6)
        torch.testing.assert_close(started.training[f"network.{name}"], value, rtol=0, atol=1e-6)
    last = origin.training["network.decoder.classifier.weight"]
    assert (last - origin.ema["decoder.classifier.weight"]).abs().max() > 1e-3
    assert started.step == 1

    copy = tmp_path / "first.ckpt"
    copy.write_bytes(first.read_bytes())
    config = tiny_config(tmp_path / "b" / "run", *frozen, f"train.init={copy}")
    train(replace(config, train=replace(config.train, max_minutes=1e-9)))
    copy.unlink()
    assert train(config).finished  # its weights are in the run's own checkpoint by now


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=24", r"train\.init: .*last\.ckpt holds another network; got size mismatch"),
        ("model.architecture=teacher", r"train\.init: .*last\.ckpt holds another network; got Mis"),
        ("train.init=nowhere.ckpt", "no such checkpoint; got nowhere.ckpt"),
    ],
)
def test_init_from_another_network_is_refused(
    first: Path, tmp_path: Path, override: str, message: str
) -> None:
    config = tiny_config(tmp_path / "run", f"train.init={first}", override)
    with pytest.raises(SartmError, match=message):
        train(config)
    assert not (tmp_path / "run").exists()


def test_init_takes_the_encoder_alone_into_a_network_of_another_width(
    first: Path, tmp_path: Path
) -> None:
    frozen = ("train.steps=1", "train.freeze_batchnorm=true", *NO_RATE, "model.width=24")
    fresh = tiny_config(tmp_path / "fresh", *frozen)
    config = tiny_config(
        tmp_path / "run", *frozen, f"train.init={first}", "train.init_part=encoder"
    )
    train(fresh)
    train(config)
    origin = load_checkpoint(first).ema
    own = load_checkpoint(tmp_path / "run" / LAST).ema
    untouched = load_checkpoint(tmp_path / "fresh" / LAST).ema
    encoder = ("rgb_stages.", "thermal_stages.", "fused_stages.", "deep_stage.")
    for name, value in own.items():
        expected = origin if name.startswith(encoder) else untouched
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)


def test_init_takes_no_encoder_of_another_kind(first: Path, tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path / "run",
        *("model.fuse_at=8", f"train.init={first}", "train.init_part=encoder"),
    )
    with pytest.raises(SartmError, match="expected the same encoder as this run"):
        train(config)


def events(folder: Path) -> Any:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / FOLDER))
    found.Reload()
    return found


def with_dev(tmp_path: Path) -> tuple[str, ...]:
    write_folder(tmp_path / "site", 6, 0, width=96, height=64, val_share=0.0)
    source = f"data.sources=[{{dataset: 'folder:{tmp_path / 'site'}', split: train}}]"
    return (source, "data.dev=[00002D-00003N]", "train.evaluate_every=1")


def test_tensorboard_shows_losses_gradients_and_similarities(tmp_path: Path) -> None:
    options = ("train.steps=2", "train.gradient_norms_every=1")
    train(teacher_config(tmp_path / "run", *options, *with_dev(tmp_path)))
    found = events(tmp_path / "run")
    scalars, images = found.Tags()["scalars"], found.Tags()["images"]
    terms = {f"cmkd/{name}" for name in ("gap", "gap_prototype", "relation", "alignment_prototype")}
    parts = {f"{head}/{term}" for head in ("main", "aux", "text") for term in ("ce", "dice")}
    norms = {f"gradient/{name}" for name in (*terms, "label/aux", "label/text")}
    assert {"loss", "lr", "dev/score", *terms, *parts, *norms} <= set(scalars)
    assert set(images) == {f"similarity/{name}" for name in ("words", "fused", "rgb", "thermal")}
    rows = {row["step"]: row for row in read_metrics(tmp_path / "run") if "loss" in row}
    for event in found.Scalars("loss"):
        assert event.value == pytest.approx(rows[event.step]["loss"])
    assert [event.step for event in found.Scalars("gradient/label/aux")] == [1, 2]
    picture = found.Images("similarity/words")[-1]
    assert (picture.step, picture.width, picture.height) == (2, 8 * 24, 8 * 24)


@pytest.mark.parametrize("dev", [False, True])
def test_distillation_without_words_has_no_pictures(tmp_path: Path, dev: bool) -> None:
    data = with_dev(tmp_path) if dev else ()
    train(tiny_config(tmp_path / "run", *TEACHER, "cmkd.gap=1", "train.steps=1", *data))
    found = events(tmp_path / "run")
    assert "cmkd/gap" in found.Tags()["scalars"]
    assert found.Tags()["images"] == []


def test_similarities_are_shown_without_a_dev_list(tmp_path: Path) -> None:
    train(teacher_config(tmp_path / "run", "train.steps=1"))
    assert "similarity/words" in events(tmp_path / "run").Tags()["images"]


def test_no_tensorboard_files_where_they_are_not_wanted(tmp_path: Path) -> None:
    train(tiny_config(tmp_path / "run", "train.steps=1", "train.tensorboard=false"))
    assert not (tmp_path / "run" / FOLDER).exists()


def test_similarity_picture() -> None:
    picture = similarity_picture(torch.tensor([[1.0, 0.0], [float("nan"), -1.0]]).numpy(), cell=2)
    assert picture.shape == (4, 4, 3)
    assert picture[0, 0].tolist() == [178, 24, 43]
    assert picture[1, 3].tolist() == [247, 247, 247]
    assert picture[2, 1].tolist() == [127, 127, 127]
    assert picture[3, 3].tolist() == [33, 102, 172]
