"""`sartm calibrate`: three ways to one file, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sartm_core.calibration.board_views import Board
from sartm_core.calibration.fit import transform
from sartm_core.cli import main
from sartm_core.data.images import read_rgb, write_png
from sartm_core.registration import CameraPairModel, load_registration
from tests.core.calibration.boards import (
    RGB_SIZE,
    THERMAL_SIZE,
    in_thermal,
    known_rig,
    poses,
    render,
)
from tests.core.calibration.scenes import SIZE, frames

TRUTH = np.array([[2.0, 0.0, 10.0], [0.0, 1.9, 5.0], [0.0, 0.0, 1.0]])
SIZES = ("--rgb-size", "640x480", "--thermal-size", "320x256")


def run(*words: object) -> int:
    return main([str(word) for word in ("calibrate", *words)])


@pytest.fixture
def points(tmp_path: Path) -> Path:
    thermal = np.random.default_rng(0).uniform(5, 240, (12, 2))
    rows = np.column_stack([thermal, transform(TRUTH, thermal)])
    lines = [",".join(f"{value:.3f}" for value in row) for row in rows]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(["thermal_x,thermal_y,rgb_x,rgb_y", *lines]))
    return path


def test_points(points: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "registration.yaml"
    assert run("--points", points, *SIZES, "--out", out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["inliers"] == 12
    assert result["files"] == [str(out)]
    registration = load_registration(out)
    np.testing.assert_allclose(registration.model.matrix, TRUTH, atol=0.01)
    assert registration.residual_px["p95"] < 0.1


def test_points_with_images_give_a_picture(points: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_png(tmp_path / "rgb.png", rng.integers(0, 256, (480, 640, 3), np.uint8))
    write_png(tmp_path / "heat.png", rng.integers(0, 256, (256, 320), np.uint8))
    images = ("--rgb", tmp_path / "rgb.png", "--thermal", tmp_path / "heat.png")
    assert run("--points", points, *images, "--out", tmp_path / "r.yaml") == 0
    assert read_rgb(tmp_path / "r.png").shape[1] == 2 * 640 + 4


def test_a_failure_leaves_the_old_file(
    points: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "registration.yaml"
    out.write_text("old")
    points.write_text("thermal_x,thermal_y,rgb_x,rgb_y\n1,2,3,4\n")
    assert run("--points", points, *SIZES, "--out", out) == 1
    assert "too few points" in capsys.readouterr().err
    assert out.read_text() == "old"


def test_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also with an image of one camera alone, and one that shows no board."""
    board, rig = Board.parse("circles:7x5:0.06"), known_rig()
    for number, pose in enumerate(poses(9, seed=2)):
        picture = render(board, rig.rgb, RGB_SIZE, pose, (30, 220), number)
        grey = np.clip(picture, 0, 255).astype(np.uint8)
        write_png(tmp_path / f"rgb/{number}.png", np.repeat(grey[..., None], 3, axis=2))
        if number:
            heat = render(board, rig.thermal, THERMAL_SIZE, in_thermal(pose), (30400, 29500), 7)
            write_png(tmp_path / f"heat/{number}.png", heat.astype(np.uint16))
    write_png(tmp_path / "rgb/none.png", np.full((480, 640, 3), 128, np.uint8))
    out = tmp_path / "registration.yaml"
    folders = ("--rgb", tmp_path / "rgb", "--thermal", tmp_path / "heat")
    assert run("--board", "circles:7x5:0.06", *folders, "--depth", 5, "--out", out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (tmp_path / "registration.png").is_file()
    assert result["cameras"]["RGB"]["images"] == 10
    assert result["cameras"]["RGB"]["with_board"] <= 9
    assert result["depth_m"] == 5
    model = load_registration(out).model
    assert isinstance(model, CameraPairModel)
    assert np.linalg.norm(model.translation - rig.translation) < 0.02


def test_board_in_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    folders = ("--rgb", tmp_path / "empty", "--thermal", tmp_path / "empty")
    assert run("--board", "chessboard:9x6:0.04", *folders, "--out", tmp_path / "r.yaml") == 1
    assert "no RGB images" in capsys.readouterr().err


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    warp = np.array([[1.02, 0, 5.0], [0, 1.02, -7.0], [0, 0, 1]])
    names = []
    for number, (rgb, thermal) in enumerate(frames(14, warp)):
        names.append(f"f{number:02}")
        write_png(tmp_path / f"set/rgb/{names[-1]}.png", rgb)
        write_png(tmp_path / f"set/thermal/{names[-1]}.png", thermal)
    (tmp_path / "set/all.txt").write_text("\n".join(names))
    table = {"classes": {"0": "background"}, "palette": [[0, 0, 0]], "ignore_id": None}
    (tmp_path / "set/classes.json").write_text(json.dumps(table))
    return tmp_path / "set"


def test_refine(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = dataset / "registration.yaml"
    assert run("--refine", f"folder:{dataset}", "--out", out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    shifts = result["local_shift_px"]
    assert shifts["after"]["median"] < shifts["before"]["median"] / 2
    assert load_registration(out).rgb_size == SIZE
    assert (dataset / "registration.png").is_file()


def test_refine_a_bag_from_a_start(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rosbags")
    bag, out = dataset / "drive.mcap", dataset / "registration.yaml"
    assert main(["bag", "make", "--data", f"folder:{dataset}", str(bag)]) == 0
    assert run("--refine", bag, "--out", out) == 0
    capsys.readouterr()
    again = ("--registration", out, "--out", out, "--json")
    assert run("--refine", bag, *again) == 0
    shifts = json.loads(capsys.readouterr().out)["local_shift_px"]
    assert shifts["before"]["median"] < 1.5


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--points", "a.csv"],
        ["--points", "a.csv", "--board", "chessboard:9x6:0.04"],
        ["--points", "a.csv", "--rgb-size", "640", "--thermal-size", "320x240"],
        ["--points", "a.csv", "--depth", "3"],
        ["--board", "chessboard:9x6:0.04"],
        ["--refine", "folder:x", "--rgb", "x"],
    ],
)
def test_wrong_use(words: list[str], tmp_path: Path) -> None:
    assert run(*words, "--out", tmp_path / "r.yaml") == 2
    assert not (tmp_path / "r.yaml").exists()


def test_out_is_a_yaml_file(points: Path, tmp_path: Path) -> None:
    assert run("--points", points, *SIZES, "--out", tmp_path / "r.json") == 2
