"""Training samples: a pure function of (seed, step, place), drawn from frames that were checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sartm_core.classes import MFNET
from sartm_core.data.augment import TrainingSample
from sartm_core.data.synthetic import write_folder
from sartm_core.errors import SartmError
from sartm_core.training.config import Config, DataConfig, SourceConfig
from sartm_core.training.data import Frame, is_dev, load_data, load_frames
from sartm_core.training.samples import Source, collate, draw_sample
from tests.training_runs import tiny_config

CAR, CONE = 1, 6


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled frames in folder layout, 00000D to 00005N, all in train.txt."""
    path = tmp_path_factory.mktemp("site") / "site"
    write_folder(path, 6, 0, width=96, height=64, val_share=0.0)
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return tiny_config(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def sources(config: Config) -> list[Source]:
    (frames,), _ = load_data(config)
    return [Source(frames, 1.0)]


def equal(first: TrainingSample, second: TrainingSample) -> bool:
    return all(np.array_equal(value, vars(second)[name]) for name, value in vars(first).items())


def plain_frame(stem: str, class_id: int, corner: tuple[int, int] = (0, 0)) -> Frame:
    """Black but for a square of 16x16 pixels of one class."""
    label = np.zeros((200, 300), np.uint8)
    y, x = corner
    label[y : y + 16, x : x + 16] = class_id
    grey = np.zeros_like(label)
    return Frame(stem, np.zeros((*label.shape, 3), np.uint8), grey, grey + 1, label, False)


def test_a_place_determines_the_sample(config: Config, sources: list[Source]) -> None:
    places = [(seed, step, place) for seed in (0, 1) for step in (0, 7) for place in (0, 1)]
    samples = {p: draw_sample(sources, config.data, config.augment, p) for p in places}
    for place in reversed(places):  # whatever was drawn before
        again = draw_sample(sources, config.data, config.augment, place)
        assert equal(samples[place], again)
        assert sum(equal(again, other) for other in samples.values()) == 1


def test_batch_has_the_networks_types(config: Config, sources: list[Source]) -> None:
    batch = collate(draw_sample(sources, config.data, config.augment, (0, 0, i)) for i in range(3))
    assert batch.rgb.shape == (3, 64, 96, 3)
    assert batch.thermal.shape == batch.thermal_valid.shape == (3, 64, 96, 1)
    assert batch.present.shape == (3, 2)
    assert batch.label.shape == (3, 64, 96)
    assert [tensor.dtype for tensor in batch.inputs] == [torch.uint8] * 3 + [torch.float32]
    assert batch.label.dtype == torch.int64


def test_centred_crops_show_their_class(config: Config) -> None:
    frames = [plain_frame("car", CAR, (0, 0)), plain_frame("cone", CONE, (184, 284))]
    data = replace(config.data, centered=1.0)
    for step in range(20):
        sample = draw_sample([Source(frames, 1.0)], data, config.augment, (0, step, 0))
        assert np.isin(sample.label, (CAR, CONE)).any()


@pytest.mark.parametrize(
    ("rarity", "low", "high"),
    [
        (0.0, 0.4, 0.6),  # every class alike
        (1.0, 0.8, 1.0),  # in proportion to 1 / frames
        (-1.0, 0.0, 0.2),  # in proportion to frames
    ],
)
def test_rare_classes_are_favoured(rarity: float, low: float, high: float) -> None:
    source = Source(
        [plain_frame("cone", CONE), *(plain_frame(f"car{i}", CAR) for i in range(9))], 1.0
    )
    data = DataConfig(centered=1.0, rarity=rarity)
    rng = np.random.default_rng(0)
    drawn = [source.draw(data, rng)[0].stem for _ in range(400)]
    assert low < drawn.count("cone") / len(drawn) < high


def test_sources_are_mixed_by_weight(config: Config) -> None:
    mixture = [Source([plain_frame("a", CAR)], 3.0), Source([plain_frame("b", CONE)], 1.0)]
    data = replace(config.data, centered=1.0)
    shown = [
        CAR in draw_sample(mixture, data, config.augment, (0, step, 0)).label for step in range(300)
    ]
    assert 0.65 < np.mean(shown) < 0.85


@pytest.mark.parametrize(("modalities", "present"), [("rgb", [1, 0]), ("thermal", [0, 1])])
def test_a_camera_that_is_not_named_is_never_shown(
    config: Config, sources: list[Source], modalities: str, present: list[int]
) -> None:
    data = replace(config.data, modalities=modalities)
    for step in range(5):
        sample = draw_sample(sources, data, config.augment, (0, step, 0))
        assert sample.present.tolist() == present


@pytest.mark.parametrize(
    ("stem", "inside"),
    [
        ("00121D", True),  # both ends included
        ("00130D", True),
        ("00125N", True),
        ("00120N", False),
        ("00130N", False),
        ("01250N", True),  # the second range
    ],
)
def test_dev_ranges(stem: str, inside: bool) -> None:
    assert is_dev(stem, ["00121D-00130D", "01200D-01300N"]) == inside


def with_source(tmp_path: Path, source: str, *overrides: str) -> Config:
    return tiny_config(tmp_path / "run", f"data.sources=[{source}]", *overrides)


def test_dev_frames_leave_training_in_every_real_source(site: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    synthetic = "{dataset: synthetic, frames: 4, width: 96, height: 64}"
    mixture, dev = load_data(
        with_source(tmp_path, f"{folder}, {synthetic}", "data.dev=[00002D-00003N]")
    )
    assert [frame.stem for frame in dev] == ["00002D", "00003N"]
    assert [frame.stem for frame in mixture[0]] == ["00000D", "00001N", "00004D", "00005N"]
    assert len(mixture[1]) == 4


def test_folder_frames_equal_what_was_written(site: Path) -> None:
    frames = list(load_frames(SourceConfig(f"folder:{site}", "train"), MFNET))
    assert [frame.night for frame in frames] == [False, True] * 3
    assert all(frame.label.shape == frame.thermal.shape == (64, 96) for frame in frames)
    assert all(frame.thermal_valid.all() for frame in frames)


def test_synthetic_data_set_keeps_its_field_of_view() -> None:
    source = SourceConfig("synthetic:3?frames=4&width=96&height=64", "val")
    for frame in load_frames(source, MFNET):
        assert frame.thermal_valid.shape == (64, 96)
        assert not frame.thermal[frame.thermal_valid == 0].any()


@pytest.mark.parametrize(("period", "nights"), [("day", 0), ("night", 4)])
def test_period_of_generated_scenes(period: str, nights: int) -> None:
    source = SourceConfig(frames=4, width=96, height=64, period=period)
    assert sum(frame.night for frame in load_frames(source, MFNET)) == nights


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.dev=[09000D-09001D]", "data.dev names no frame"),
        ("data.dev=[00000D-00009N]", "no frames of 'folder:.*' are left for training"),
        ("data.classes=pst900", r"other classes than the run \(data.classes\)"),
    ],
)
def test_data_that_do_not_fit_the_run(
    site: Path, tmp_path: Path, override: str, message: str
) -> None:
    config = with_source(tmp_path, f"{{dataset: 'folder:{site}', split: train}}", override)
    with pytest.raises(SartmError, match=message):
        load_data(config)


def test_frame_without_label_is_refused_by_name(site: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    for part in ("rgb", "thermal"):
        (bare / part).mkdir(parents=True)
        (bare / part / "a.png").write_bytes((site / part / "00000D.png").read_bytes())
    names = {str(index): name for index, name in enumerate(MFNET.names)}
    (bare / "classes.json").write_text(json.dumps({"classes": names}))
    with pytest.raises(SartmError, match=r"frame 'a' of 'folder:.*' has no label"):
        list(load_frames(SourceConfig(f"folder:{bare}"), MFNET))
