"""`sartm data check`: every kind of fault is told, and nothing is told of sound data."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from sartm_core.cli import main
from sartm_core.data.check import check, count_frames, open_lists
from sartm_core.data.contact_sheet import choose
from sartm_core.data.datasets import sample_data_root
from sartm_core.data.images import read_rgb, write_png
from tests.published_sets import SIZE, label, picture, write_mfnet, write_split_folders

LISTS = {
    "train": [f"{number:05d}D" for number in range(1, 19)],
    "val": ["00021D", "00022N"],
    "test": ["00031D", "00032N", "00033N"],
    "test_day": ["00031D"],
    "test_night": ["00032N", "00033N"],
}


@pytest.fixture
def mfnet(tmp_path: Path) -> Path:
    return write_mfnet(tmp_path / "MFNet", LISTS)


def run(*specs: str, splits: tuple[str, ...] = ()) -> dict:
    lists = open_lists(specs, splits)
    read = []
    report = check(lists, lambda: read.append(1)).to_json()
    assert len(read) == count_frames(lists)
    return report


def without_counts(warnings: list[str]) -> list[str]:
    """Our sets are smaller than the published ones; leave those warnings out."""
    return [text for text in warnings if "the published list" not in text]


def test_sound_data_pass(mfnet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", f"mfnet:{mfnet}", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["problems"] == []
    assert without_counts(report["warnings"]) == []
    assert "MFNet/train has 18 frames, the published list 784" in report["warnings"]
    assert report["near_duplicates"] == []
    assert [entry["title"] for entry in report["lists"]] == [f"MFNet/{name}" for name in LISTS]


def test_the_histogram_counts_pixels_and_frames(mfnet: Path) -> None:
    ids = label(3)
    ids[0, :5] = 255
    write_png(mfnet / "labels/00033N.png", ids)
    entry = run(f"mfnet:{mfnet}", splits=("test",))["lists"][0]
    half = SIZE[0] * SIZE[1] // 2  # frames 31, 32 and 33 show classes 4, 5 and now 3
    assert entry["classes"]["unlabelled"] == {"pixels": 3 * half - 5, "frames": 3}
    for name in ("bike", "curve", "car_stop"):
        assert entry["classes"][name] == {"pixels": half, "frames": 1}
    assert entry["classes"]["car"] == {"pixels": 0, "frames": 0}
    assert entry["ignored_pixels"] == 5
    assert (entry["frames"], entry["day"], entry["night"], entry["untold"]) == (3, 1, 2, 0)
    assert entry["rgb_sizes"] == entry["thermal_sizes"] == {f"{SIZE[1]}x{SIZE[0]}": 3}


def no_image(root: Path) -> None:
    (root / "images/00003D.png").unlink()


def no_labels(root: Path) -> None:
    for number in (3, 4):
        (root / f"labels/{number:05d}D.png").unlink()


def alien_id(root: Path) -> None:
    write_png(root / "labels/00003D.png", label(9))


def other_size(root: Path) -> None:
    write_png(root / "labels/00003D.png", np.zeros((6, 8), np.uint8))


def damaged(root: Path) -> None:
    data = (root / "images/00003D.png").read_bytes()
    (root / "images/00003D.png").write_bytes(data[: len(data) // 2])


def in_two_lists(root: Path) -> None:
    (root / "val.txt").write_text("00021D\n00003D\n")


def twice_in_a_list(root: Path) -> None:
    (root / "val.txt").write_text("00021D\n00021D\n")


def empty_list(root: Path) -> None:
    (root / "val.txt").write_text("\n")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (no_image, "MFNet/train: 1 without a picture in {root}/images: 00003D"),
        (no_labels, "MFNet/train: 2 without a picture in {root}/labels: 00003D, 00004D"),
        (alien_id, "{root}/labels/00003D.png has labels that the class table 'mfnet'"),
        (other_size, "{root}/labels/00003D.png does not fit {root}/images/00003D.png"),
        (damaged, "{root}/images/00003D.png cannot be read"),
        (in_two_lists, "both MFNet/train and MFNet/val name 1: 00003D"),
        (twice_in_a_list, "MFNet/val names frames twice: 00021D"),
        (empty_list, "MFNet/val has no frames"),
    ],
)
def test_a_fault_fails_naming_the_file(
    mfnet: Path, spoil, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(mfnet)
    assert main(["data", "check", f"mfnet:{mfnet}"]) == 1
    lines = capsys.readouterr().out.splitlines()
    problems = [line for line in lines if line.startswith("problem: ")]
    assert len(problems) == 1
    assert problems[0].startswith("problem: " + problem.format(root=mfnet))
    assert lines[-1].startswith("not ok: problems 1")


def test_all_faults_are_told_at_once(mfnet: Path) -> None:
    no_labels(mfnet)
    (mfnet / "images/00005D.png").write_text("no picture")
    write_png(mfnet / "labels/00006D.png", label(9))
    report = run(f"mfnet:{mfnet}")
    assert len(report["problems"]) == 3
    train = report["lists"][0]
    assert (train["frames"], train["read"]) == (18, 14)


def test_thermal_of_another_size_is_a_problem(tmp_path: Path) -> None:
    write_split_folders(tmp_path / "FMB", "fmb", {"train": ["00001", "00002"]})
    write_png(tmp_path / "FMB/train/Infrared/00002.png", np.eye(12, 16, dtype=np.uint8) * 99)
    width, height = SIZE[1], SIZE[0]
    assert run(f"fmb:{tmp_path / 'FMB'}")["problems"] == [
        f"FMB/train: 1 with RGB and thermal of different size: 00002 ({width}x{height} and 16x12)"
    ]


def test_what_a_person_should_know_is_a_warning(mfnet: Path) -> None:
    (mfnet / "train.txt").write_text("\n".join([*LISTS["train"][:-2], "00002D_flip"]))
    black = np.dstack([np.zeros((*SIZE, 3), np.uint8), picture(3)[1]])
    PIL.Image.fromarray(black).save(mfnet / "images/00003D.png")
    report = run(f"mfnet:{mfnet}")
    assert report["ok"]
    assert without_counts(report["warnings"]) == [
        "MFNet: 1 mirrored copies (_flip) in its lists are skipped",
        "MFNet: 2 in no list: 00017D, 00018D",
        "MFNet/train: blank RGB or thermal images: 00003D",
    ]


def write_copies(mfnet: Path, root: Path) -> Path:
    """An MSRS with two frames of MFNet's train list: RGB as JPEG, thermal with more contrast."""
    write_split_folders(root, "msrs", {"test": ["00101D", "00102N", "00103D"]})
    for source, copy in (("00004D", "00101D"), ("00005D", "00103D")):
        rgb, thermal = picture(int(source[:5]))
        (root / f"test/vi/{copy}.png").unlink()
        PIL.Image.fromarray(rgb).save(root / f"test/vi/{copy}.jpg", quality=90, subsampling=0)
        curve = (255 * (np.arange(256) / 255) ** 0.6).astype(np.uint8)
        write_png(root / f"test/ir/{copy}.png", curve[thermal])
        ids = mfnet / f"labels/{source}.png"
        (root / f"test/Segmentation_labels/{copy}.png").write_bytes(ids.read_bytes())
    return root


def test_frames_of_train_in_another_sets_test_list_are_found(mfnet: Path, tmp_path: Path) -> None:
    msrs = write_copies(mfnet, tmp_path / "MSRS")
    report = run(f"mfnet:{mfnet}", f"msrs:{msrs}")
    assert report["ok"]
    (found,) = report["near_duplicates"]
    assert (found["list"], found["other"]) == ("MSRS/test", "MFNet/train")
    assert (found["frames"], found["same"]) == (2, 2)
    pairs = {pair["frame"]: pair for pair in found["pairs"]}
    assert {frame: pair["other"] for frame, pair in pairs.items()} == {
        "00101D": "00004D",
        "00103D": "00005D",
    }
    assert all(pair["label_agreement"] == 1 for pair in pairs.values())
    (warning,) = without_counts(report["warnings"])
    assert warning.startswith(
        "2 of 3 frames of MSRS/test nearly stand in MFNet/train, 2 of them as the same picture: "
    )


def test_the_same_picture_with_another_label_is_told(mfnet: Path, tmp_path: Path) -> None:
    msrs = write_copies(mfnet, tmp_path / "MSRS")
    write_png(msrs / "test/Segmentation_labels/00101D.png", label(7))
    warnings = without_counts(run(f"mfnet:{mfnet}", f"msrs:{msrs}")["warnings"])
    assert warnings[1:] == [
        "the same pictures have other labels in MSRS/test and MFNet/train: 00101D and 00004D (0.00)"
    ]


def test_ids_of_different_class_tables_are_not_compared(tmp_path: Path) -> None:
    write_split_folders(tmp_path / "FMB", "fmb", {"train": ["00001", "00002"]})
    write_split_folders(tmp_path / "PST", "pst900", {"train": ["00001"]})
    (found,) = run(f"fmb:{tmp_path / 'FMB'}", f"pst900:{tmp_path / 'PST'}")["near_duplicates"]
    assert [pair["label_agreement"] for pair in found["pairs"]] == [None]


def test_near_duplicates_between_the_lists_of_one_set(mfnet: Path) -> None:
    """The next moment in val: one corner of the scene has changed."""
    rgb, thermal = (pixels.copy() for pixels in picture(4))
    rgb[:16, :16] = 255 - rgb[:16, :16]
    PIL.Image.fromarray(np.dstack([rgb, thermal])).save(mfnet / "images/00021D.png")
    (found,) = run(f"mfnet:{mfnet}")["near_duplicates"]
    assert (found["list"], found["other"], found["same"]) == ("MFNet/val", "MFNet/train", 0)
    assert [(pair["frame"], pair["other"]) for pair in found["pairs"]] == [("00021D", "00004D")]


def test_fit_and_dev_can_be_checked(tmp_path: Path) -> None:
    names = [f"frame{number}" for number in range(40)]
    write_split_folders(tmp_path, "pst900", {"train": names})
    report = run(f"pst900:{tmp_path}", splits=("fit", "dev"))
    assert [entry["list"] for entry in report["lists"]] == ["fit", "dev"]
    assert report["ok"]
    assert report["near_duplicates"] == []


def test_a_split_may_be_missing_in_one_set_but_not_in_all(mfnet: Path, tmp_path: Path) -> None:
    msrs = write_copies(mfnet, tmp_path / "MSRS")
    specs = [f"mfnet:{mfnet}", f"msrs:{msrs}"]
    assert [entry.title for entry in open_lists(specs, ["train", "test"])] == [
        "MFNet/train", "MFNet/test", "MSRS/test",
    ]  # fmt: skip
    assert main(["data", "check", *specs, "--split", "trian"]) == 1
    assert main(["data", "check", specs[0], specs[0]]) == 1
    assert main(["data", "check", "synthetic:7"]) == 1
    assert main(["data", "check"]) == 2


def shapes(seed: int, shift: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """A day scene of 320x240 and its thermal image, moved by `shift` = (right, down)."""
    rng = np.random.default_rng(seed)
    rgb, thermal = np.full((240, 320, 3), 120, np.uint8), np.full((240, 320), 60, np.uint8)
    for _ in range(12):
        x, y = (int(rng.integers(0, side)) for side in (300, 220))
        corner = (x + int(rng.integers(10, 80)), y + int(rng.integers(10, 60)))
        color = [int(value) for value in rng.integers(0, 256, 4)]
        cv2.rectangle(rgb, (x, y), corner, color[:3], cv2.FILLED)
        cv2.rectangle(thermal, (x, y), corner, color[3], cv2.FILLED)
    return rgb, np.roll(thermal, shift, axis=(1, 0))


def test_a_shift_between_the_cameras_is_told(tmp_path: Path) -> None:
    for name, shift in (("good", (0, 0)), ("bad", (8, -4))):
        for seed in range(12):
            rgb, thermal = shapes(seed, shift)
            write_png(tmp_path / name / f"rgb/{seed:02d}.png", rgb)
            write_png(tmp_path / name / f"thermal/{seed:02d}.png", thermal)
    good, bad = (run(f"folder:{tmp_path / name}") for name in ("good", "bad"))
    assert good["lists"][0]["thermal_shift"] == (0, 0)
    assert good["warnings"] == []
    right, down = bad["lists"][0]["thermal_shift"]
    assert (right * 320, down * 240) == pytest.approx((8, -4), abs=1)
    assert len(bad["warnings"]) == 1
    assert "bad/all: thermal lies about +2.5 % of the width to the right" in bad["warnings"][0]


def test_the_contact_sheet_shows_every_class(mfnet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["data", "check", f"mfnet:{mfnet}", "--out", str(out)]) == 0
    report = json.loads((out / "data_check.json").read_text())
    assert report["ok"]
    sheet = read_rgb(Path(report["contact_sheet"]))
    assert sheet.shape[0] > 300
    rgb = cv2.resize(picture(1)[0], (200, 150), interpolation=cv2.INTER_AREA)
    found = cv2.matchTemplate(sheet, rgb, cv2.TM_SQDIFF_NORMED).min()
    assert found < 1e-6  # the first frame of train is on the sheet
    lists = open_lists([f"mfnet:{mfnet}"], ["train"])
    result = check(lists, lambda: None)
    shown = choose(lists[0], result, 3)
    assert {int(stem[:5]) % 9 for stem in shown} >= set(range(1, 9))
    assert shown[0] == "00001D"
    assert shown[-1] == "00018D"


def test_sheets_of_unlabelled_and_of_broken_data(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for part, pixels in zip(("rgb", "thermal"), picture(1), strict=True):
        write_png(site / part / "a.png", pixels)
    assert main(["data", "check", f"folder:{site}", "--out", str(tmp_path / "out")]) == 0
    assert read_rgb(tmp_path / "out/contact_sheet.png").shape[0] > 150
    (site / "rgb/a.png").write_text("no picture")
    assert main(["data", "check", f"folder:{site}", "--out", str(tmp_path / "out")]) == 1
    assert read_rgb(tmp_path / "out/contact_sheet.png").shape[0] < 50


@pytest.mark.data
def test_real_sets_share_the_frames_that_they_share() -> None:
    root = sample_data_root()
    report = run(f"folder:{root}/mfnet_subset", f"folder:{root}/msrs_subset")
    assert report["ok"]
    found = {(row["list"], row["other"]): row for row in report["near_duplicates"]}
    assert set(found) == {
        ("mfnet_subset/train", "msrs_subset/train"),
        ("mfnet_subset/val", "msrs_subset/val"),
    }  # and no list of one set nearly stands in another list of it
    train = found["mfnet_subset/train", "msrs_subset/train"]
    same = {pair["frame"]: pair for pair in train["pairs"] if pair["same"]}
    assert len(same) == 25
    assert all(pair["other"] == frame for frame, pair in same.items())
    assert all(pair["label_agreement"] == 1 for pair in same.values())
    for pair in train["pairs"]:
        assert abs(int(pair["frame"][:5]) - int(pair["other"][:5])) <= 8
