import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sartm_core.cli import main
from sartm_core.data.images import read_ids, write_png
from sartm_core.registration import Homography, Registration, save_registration
from tests.bundles import CAR, PERSON


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    for index in range(3):
        rgb = np.zeros((96, 128, 3), np.uint8)
        rgb[:, : 20 * index, 0] = 255
        thermal = np.zeros((96, 128), np.uint8)
        thermal[:10] = 255
        write_png(tmp_path / f"rgb/f{index}.png", rgb)
        write_png(tmp_path / f"thermal/f{index}.png", thermal)
    return tmp_path


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_folders_are_paired_by_stem(frames: Path, tiny_bundle: Path) -> None:
    out = frames / "masks"
    inputs = ("--rgb", frames / "rgb", "--thermal", frames / "thermal")
    assert run("predict", tiny_bundle, *inputs, "--out", out, "--overlay") == 0
    mask = read_ids(out / "f2.png")
    assert (mask[:10] == PERSON).all()
    assert (mask[10:, :40] == CAR).all()
    assert (mask[10:, 40:] == 0).all()
    assert (out / "f2.overlay.png").is_file()


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_one_camera_and_one_file(
    frames: Path, tiny_bundle: Path, camera: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = frames / "one.png"
    picture = frames / camera / "f1.png"
    assert run("predict", tiny_bundle, f"--{camera}", picture, "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(out)]
    assert set(np.unique(read_ids(out))) == {0, CAR if camera == "rgb" else PERSON}


def spoil_missing(frames: Path) -> None:
    (frames / "rgb/f1.png").unlink()


def spoil_text(frames: Path) -> None:
    (frames / "rgb/f1.png").write_text("not a picture")


def spoil_size(frames: Path) -> None:
    write_png(frames / "thermal/f1.png", np.zeros((96, 96), np.uint8))


def spoil_truncated(frames: Path) -> None:
    data = (frames / "rgb/f1.png").read_bytes()
    (frames / "rgb/f1.png").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_missing, "does not exist"),
        (spoil_text, "is not an image"),
        (spoil_truncated, "cannot be read"),
        (spoil_size, "differ in aspect"),
    ],
)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_bad_files_give_one_clear_line(
    frames: Path, tiny_bundle: Path, spoil, words: str, whole_folder: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    spoil(frames)
    names = ("", "") if whole_folder else ("f1.png", "f1.png")
    inputs = ("--rgb", frames / "rgb" / names[0], "--thermal", frames / "thermal" / names[1])
    assert run("predict", tiny_bundle, *inputs, "--out", frames / "o") == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "f1" in lines[0]
    if not (whole_folder and spoil is spoil_missing):
        assert words in lines[0]


def test_a_damaged_bundle_in_a_process_of_its_own(frames: Path, tiny_bundle: Path) -> None:
    import shutil

    bundle = shutil.copytree(tiny_bundle, frames / "bundle")
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[-20] ^= 0x40
    (bundle / "model.onnx").write_bytes(data)
    command = [sys.executable, "-m", "sartm_core", "predict", bundle, "--rgb",
               frames / "rgb", "--out", frames / "o"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "wrong sha256" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_use_exits_with_2(tiny_bundle: Path, tmp_path: Path) -> None:
    assert run("predict", tiny_bundle, "--out", tmp_path / "o") == 2
    assert run("predict", tiny_bundle, "--rgb", "x.png") == 2


def test_several_masks_do_not_fit_one_file(
    frames: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", tiny_bundle, "--rgb", frames / "rgb", "--out", frames / "m.png") == 1
    assert "name a folder" in capsys.readouterr().err


def test_a_registration_moves_thermal(frames: Path, tiny_bundle: Path) -> None:
    """20 pixels to the right and 30 down, said by a file."""
    matrix = np.array([[1.0, 0, 20], [0, 1, 30], [0, 0, 1]])
    file = frames / "registration.yaml"
    save_registration(Registration((128, 96), (128, 96), Homography(matrix)), file)
    inputs = ("--rgb", frames / "rgb/f0.png", "--thermal", frames / "thermal/f0.png")
    out = frames / "moved.png"
    assert run("predict", tiny_bundle, *inputs, "--out", out, "--registration", file) == 0
    mask = read_ids(out)
    assert (mask[31:39, 21:] == PERSON).all()
    assert (mask[:30] == 0).all()
    assert (mask[:, :20] == 0).all()
    assert run("predict", tiny_bundle, *inputs, "--out", out, "--registration", out) == 1
