"""Synthetic scenes: what they promise to training, to bags and to `sartm synth`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from sartm_core.classes import MFNET
from sartm_core.cli import main
from sartm_core.data.datasets import open_dataset
from sartm_core.data.synthetic import Scene, SceneSequence, generate_scene, write_folder
from sartm_core.errors import SartmError

SCENES = 60


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(seed, width=240, height=180) for seed in range(SCENES)]


def _digest(scene: Scene) -> str:
    planes = (scene.rgb, scene.thermal, scene.thermal_valid, scene.label)
    return hashlib.sha256(b"".join(plane.tobytes() for plane in planes)).hexdigest()


def _label_overlap(a: Scene, b: Scene) -> float:
    """Intersection over union of equal foreground labels."""
    union = (a.label > 0) | (b.label > 0)
    return float(((a.label == b.label) & union).sum() / max(1, union.sum()))


def _contrasts(scene: Scene, class_id: int) -> tuple[float, float] | None:
    """Grey levels between a class and its surroundings, in RGB and in thermal."""
    mask = scene.label == class_id
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    ring = grown & (scene.label == 0)
    if mask.sum() < 60 or ring.sum() < 60:
        return None
    grey, thermal = scene.rgb.mean(axis=2), scene.thermal.astype(float)
    rgb_contrast = abs(float(grey[mask].mean() - grey[ring].mean()))
    return rgb_contrast, abs(float(thermal[mask].mean() - thermal[ring].mean()))


def test_planes_have_the_promised_shapes_and_types() -> None:
    scene = generate_scene(1, width=200, height=120)
    assert scene.rgb.shape == (120, 200, 3)
    for plane in (scene.thermal, scene.thermal_valid, scene.label):
        assert plane.shape == (120, 200)
    for plane in (scene.rgb, scene.thermal, scene.thermal_valid, scene.label):
        assert plane.dtype == np.uint8
        assert plane.flags.c_contiguous
    assert scene.thermal_valid.all()


def test_same_seed_same_bytes_in_another_process() -> None:
    code = (
        "from tests.core.data.test_synthetic import _digest\n"
        "from sartm_core.data.synthetic import generate_scene, SceneSequence\n"
        "print(_digest(generate_scene(11)), _digest(SceneSequence(12).render(3.7)))"
    )
    here = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [
        _digest(generate_scene(11)),
        _digest(SceneSequence(12).render(3.7)),
    ]


def test_other_seeds_give_other_scenes() -> None:
    assert len({_digest(generate_scene(seed, width=64, height=48)) for seed in range(6)}) == 6


@pytest.mark.parametrize("night", [True, False])
@pytest.mark.parametrize("indoor", [True, False])
def test_night_and_indoor_can_be_chosen(night: bool, indoor: bool) -> None:
    assert generate_scene(3, width=64, height=48, night=night, indoor=indoor).night is night


def test_every_class_is_there_often_enough_to_train_on(scenes: list[Scene]) -> None:
    seen = np.zeros(len(MFNET), int)
    for scene in scenes:
        counts = np.bincount(scene.label.ravel(), minlength=len(MFNET))
        assert len(counts) == len(MFNET), "a label beyond the class table"
        seen += counts > 30
    assert (seen >= SCENES // 4).all(), dict(zip(MFNET.names, seen.tolist(), strict=True))


def test_foreground_share_is_useful(scenes: list[Scene]) -> None:
    shares = np.array([(scene.label > 0).mean() for scene in scenes])
    assert ((shares >= 0.03) & (shares <= 0.3)).mean() >= 0.9
    assert sum(scene.night for scene in scenes) in range(SCENES // 4, 3 * SCENES // 4)


def test_at_night_objects_show_in_thermal_and_not_in_rgb() -> None:
    contrasts: dict[bool, dict[int, list[tuple[float, float]]]] = {}
    brightness = {}
    for night in (True, False):
        pictures = [
            generate_scene(seed, width=240, height=180, night=night) for seed in range(100, 140)
        ]
        brightness[night] = float(np.mean([scene.rgb.mean() for scene in pictures]))
        contrasts[night] = {
            class_id: [c for scene in pictures if (c := _contrasts(scene, class_id))]
            for class_id in range(1, len(MFNET))
        }
    assert brightness[True] < 0.4 * brightness[False]
    for class_id in range(1, len(MFNET)):
        rgb_night, thermal_night = np.median(contrasts[True][class_id], axis=0)
        rgb_day, _ = np.median(contrasts[False][class_id], axis=0)
        assert rgb_night < 0.5 * rgb_day, MFNET.names[class_id]
        assert thermal_night > 5.0, MFNET.names[class_id]
        assert thermal_night > 1.5 * rgb_night, MFNET.names[class_id]


def test_persons_are_warmer_than_their_surroundings_at_night() -> None:
    differences = []
    for seed in range(30):
        scene = generate_scene(seed, width=240, height=180, night=True)
        if (person := scene.label == 2).sum() > 60:
            thermal = scene.thermal.astype(float)
            differences.append(thermal[person].mean() - np.median(thermal[scene.label == 0]))
    assert len(differences) > 15
    assert min(differences) > 10


def test_narrower_thermal_view_has_a_dark_invalid_border() -> None:
    whole = generate_scene(5, night=False)
    cut = generate_scene(5, night=False, thermal_fov=0.75)
    inside = cut.thermal_valid == 1
    assert inside.mean() == pytest.approx(0.75**2, abs=0.01)
    assert inside[30:210, 40:280].all()
    assert not cut.thermal[~inside].any()
    np.testing.assert_array_equal(cut.thermal[inside], whole.thermal[inside])
    np.testing.assert_array_equal(cut.rgb, whole.rgb)


def test_misregistration_moves_thermal_alone_by_that_many_pixels() -> None:
    aligned = generate_scene(6, night=True)
    moved = generate_scene(6, night=True, misregistration_px=6.0)
    np.testing.assert_array_equal(moved.label, aligned.label)
    np.testing.assert_array_equal(moved.rgb, aligned.rgb)
    (dx, dy), _ = cv2.phaseCorrelate(
        aligned.thermal.astype(np.float64), moved.thermal.astype(np.float64)
    )
    assert np.hypot(dx, dy) == pytest.approx(6.0, abs=1.5)
    assert not moved.thermal[moved.thermal_valid == 0].any()
    assert (moved.thermal_valid == 0).any()


@pytest.mark.parametrize("seed", [0, 4, 21])
def test_a_sequence_moves_continuously(seed: int) -> None:
    sequence = SceneSequence(seed, width=240, height=180, indoor=False)
    frames = [sequence.render(0.1 * i) for i in range(8)]
    steps = [_label_overlap(a, b) for a, b in pairwise(frames)]
    assert min(steps) > 0.6
    assert _label_overlap(frames[0], sequence.render(5.0)) < min(steps)
    later = sequence.render(0.45)
    assert (later.thermal != frames[4].thermal).mean() > 0.2
    assert later.night == sequence.night == frames[0].night


@pytest.mark.parametrize("seed", [0, 7])
def test_a_sequence_shows_several_classes_for_ten_seconds(seed: int) -> None:
    sequence = SceneSequence(seed, width=160, height=120)
    visible = [len(np.unique(sequence.render(float(t)).label)) - 1 for t in range(11)]
    assert np.median(visible) >= 4
    assert min(visible) >= 2


def test_time_may_be_negative_and_order_does_not_matter() -> None:
    sequence = SceneSequence(9, width=96, height=72)
    before = _digest(sequence.render(-0.02))
    sequence.render(8.0)
    assert _digest(sequence.render(-0.02)) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 0, "width": 8}, "width"),
        ({"seed": 0, "height": 100_000}, "height"),
        ({"seed": 0, "misregistration_px": -1.0}, "misregistration"),
        ({"seed": 0, "misregistration_px": 90.0}, "quarter of the shorter side"),
        ({"seed": 0, "thermal_fov": 0.0}, "field of view"),
        ({"seed": 0, "thermal_fov": 1.5}, "field of view"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(SartmError, match=words):
        generate_scene(**arguments)  # type: ignore[arg-type]


def test_a_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(SartmError, match="finite"):
        SceneSequence(0, width=64, height=48).render(float("nan"))


def test_synth_writes_a_folder_that_opens_as_a_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "synth"
    size = ["--width", "96", "--height", "64"]
    words = ["synth", str(out), "--frames", "6", "--seed", "2", *size, "--val", "0.34", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": str(out),
        "frames": 6,
        "val": 2,
        "seed": 2,
    }
    train = open_dataset(f"folder:{out}", "train")
    val = open_dataset(f"folder:{out}", "val")
    assert train.stems == ("00000D", "00001N", "00002D", "00003N")
    assert val.stems == ("00004D", "00005N")
    assert val.classes is MFNET
    sample = val.read("00005N")
    assert sample.night
    assert sample.rgb.shape == (64, 96, 3)
    assert sample.thermal.shape == (64, 96)
    assert sample.label is not None
    assert sample.label.any()


def test_synth_is_reproducible_and_seeds_differ(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done: list[int] = []
        write_folder(tmp_path / name, 2, seed, width=64, height=48, on_progress=done.append)
        assert done == [1, 2]
    files = [Path(kind) / "00001N.png" for kind in ("rgb", "thermal", "label")]
    for file in files:
        a, b, c = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert a == b != c


def test_synth_does_not_mix_with_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    assert main(["synth", str(tmp_path), "--frames", "2"]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_synth_refuses_before_writing(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match="thermal field of view"):
        write_folder(tmp_path / "new", 2, 0, thermal_fov=2.0)
    assert not (tmp_path / "new").exists()
