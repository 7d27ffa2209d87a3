"""Training samples: a pure function of (seed, step, place); what a batch of them holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sartm_core.data.augment import AugmentConfig, TrainingSample
from sartm_core.training.config import Config, DataConfig
from sartm_core.training.data import load_data
from sartm_core.training.frame import Frame
from sartm_core.training.samples import Source, apply_hidden, collate, draw_sample
from tests.pairs import PLAIN
from tests.training_runs import tiny_config

CAR, CONE = 1, 6


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return tiny_config(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def sources(config: Config) -> list[Source]:
    return load_data(config)[0]


def equal(first: TrainingSample, second: TrainingSample) -> bool:
    return all(np.array_equal(value, vars(second)[name]) for name, value in vars(first).items())


def plain_frame(
    stem: str, class_id: int, corner: tuple[int, int] = (0, 0), night: bool = False
) -> Frame:
    """Black but for a square of 16x16 pixels of one class."""
    label = np.zeros((200, 300), np.uint8)
    y, x = corner
    label[y : y + 16, x : x + 16] = class_id
    grey = np.zeros_like(label)
    return Frame(stem, np.zeros((*label.shape, 3), np.uint8), grey, grey + 1, label, night)


EVERYTHING = AugmentConfig(
    crop_height=64, crop_width=96, rotation=10, perspective=0.1, overexpose=0.5, blur=0.5,
    thermal_clahe=0.5, thermal_noise=0.5, thermal_homography=3, masking=0.5, copy_paste=1.0,
)  # fmt: skip


@pytest.mark.parametrize("changes", ["default", "everything"])
def test_a_place_determines_the_sample(config: Config, sources: list[Source], changes: str) -> None:
    augmentation = EVERYTHING if changes == "everything" else config.augment
    places = [(seed, step, place) for seed in (0, 1) for step in (0, 7) for place in (0, 1)]
    samples = {p: draw_sample(sources, config.data, augmentation, p) for p in places}
    fresh = load_data(config)[0]  # as a resumed run reads them
    for place in reversed(places):  # whatever was drawn before
        again = draw_sample(fresh, config.data, augmentation, place)
        assert equal(samples[place], again)
        assert sum(equal(again, other) for other in samples.values()) == 1


def test_batch_has_the_networks_types(config: Config, sources: list[Source]) -> None:
    batch = collate(draw_sample(sources, config.data, config.augment, (0, 0, i)) for i in range(3))
    assert batch.rgb.shape == (3, 64, 96, 3)
    assert batch.thermal.shape == batch.thermal_valid.shape == (3, 64, 96, 1)
    assert batch.present.shape == (3, 2)
    assert batch.label.shape == batch.hidden.shape == (3, 64, 96)
    assert batch.labelled.shape == (3, 9)
    assert [tensor.dtype for tensor in batch.inputs] == [torch.uint8] * 3 + [torch.float32]
    assert batch.label.dtype == torch.int64
    assert batch.hidden.dtype == torch.uint8
    assert batch.labelled.dtype == torch.bool


def test_samples_know_what_their_source_labels(config: Config) -> None:
    labelled = np.arange(9) < 3
    mixture = [
        Source([plain_frame("a", CAR)], 1.0, labelled),
        Source([plain_frame("b", CONE)], 1.0),
    ]
    data = replace(config.data, centered=1.0)
    batch = collate(draw_sample(mixture, data, config.augment, (0, 0, i)) for i in range(20))
    cars = (batch.label == CAR).flatten(1).any(dim=1)
    assert 0 < cars.sum() < 20
    for car, row in zip(cars, batch.labelled, strict=True):
        assert row.tolist() == (labelled.tolist() if car else [True] * 9)


def test_hidden_blocks_are_masked_on_demand(config: Config, sources: list[Source]) -> None:
    masking = replace(PLAIN, masking=1.0, mask_block=16)
    batch = collate(draw_sample(sources, config.data, masking, (0, 0, i)) for i in range(4))
    before = batch.map(torch.clone)
    masked = apply_hidden(batch)
    for name in ("rgb", "thermal", "thermal_valid", "present", "label", "hidden", "labelled"):
        assert torch.equal(vars(batch)[name], vars(before)[name])
    rgb_hidden, thermal_hidden = batch.hidden == 1, batch.hidden == 2
    assert rgb_hidden.any()
    assert thermal_hidden.any()
    assert (masked.rgb[rgb_hidden] == 127).all()
    assert torch.equal(masked.rgb[~rgb_hidden], batch.rgb[~rgb_hidden])
    for name in ("thermal", "thermal_valid"):
        image, clean = vars(masked)[name], vars(batch)[name]
        assert image.dtype == torch.uint8
        assert not image[thermal_hidden].any()
        assert torch.equal(image[~thermal_hidden], clean[~thermal_hidden])
    assert (masked.thermal_valid[rgb_hidden] == 1).all()


def test_donors_are_of_other_frames_of_the_same_light() -> None:
    frames = [
        plain_frame(f"{index}{'N' if night else 'D'}", CONE, (90, 20 * index + 10), night)
        for index in range(6)
        for night in (False, True)
    ]
    source = Source(frames, 1.0)
    place = {id(frame.label): frame for frame in frames}
    for target in frames:
        donors = source.draw_donors(target, 40, (), 0.25, np.random.default_rng(0))
        origins = [place[id(donor.label)] for donor in donors]
        assert {frame.night for frame in origins} == {target.night}
        assert target not in origins
        assert len({frame.stem for frame in origins}) == 5
        for donor, frame in zip(donors, origins, strict=True):
            assert donor.rgb is frame.rgb
            assert donor.thermal is frame.thermal
    assert source.draw_donors(frames[0], 4, (CAR,), 0.25, np.random.default_rng(0)) == []


def test_rare_objects_are_pasted_into_other_frames() -> None:
    empty = plain_frame("empty", 0)
    source = Source([empty, plain_frame("cone", CONE, (90, 100))], 1.0)
    augmentation = replace(PLAIN, crop_height=192, crop_width=288, copy_paste=1.0)
    data = DataConfig(centered=0.0)
    samples = [draw_sample([source], data, augmentation, (0, step, 0)) for step in range(12)]
    assert all((sample.label == CONE).any() for sample in samples)
    night = Source([plain_frame("empty", 0, night=True), *source.frames[1:]], 1.0)
    shown = [
        (draw_sample([night], data, augmentation, (0, step, 0)).label == CONE).any()
        for step in range(12)
    ]
    assert 0 < np.mean(shown) < 1  # only the frame that has one itself


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
