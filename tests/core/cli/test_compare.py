"""`sartm compare`: which model is better, how sure that is, and what got worse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sartm_core.classes import MFNET
from sartm_core.cli import main
from sartm_core.data.images import write_png
from tests.bundles import CAR, PERSON

SHAPE = (40, 60)


def label_of(index: int) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[5:15, 5 : 25 + index % 7] = CAR
    label[20:36, 30 : 40 + index % 5] = PERSON
    return label


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Ten frames far apart, so that each is a block, by day and by night."""
    root = tmp_path / "site"
    for index in range(10):
        stem = f"{20 * index:05d}{'DN'[index % 2]}"
        write_png(root / f"rgb/{stem}.png", np.full((*SHAPE, 3), 90, np.uint8))
        write_png(root / f"thermal/{stem}.png", np.full(SHAPE, 90, np.uint8))
        write_png(root / f"label/{stem}.png", label_of(index))
    table = {str(info.id): info.name for info in MFNET.classes}
    (root / "classes.json").write_text(json.dumps({"classes": table}))
    (root / "val.txt").write_text("".join(f"{20 * i:05d}{'DN'[i % 2]}\n" for i in range(10)))
    return root


def command(*words: object) -> int:
    return main([str(word) for word in words])


def scored(site: Path, folder: Path, missed: int, *, wide: int = -1) -> Path:
    """Score masks that miss columns of the car, more of them in later frames, and of one person."""
    for index, path in enumerate(sorted((site / "label").iterdir())):
        mask = label_of(index)
        mask[:, 5 : 5 + missed + (index % 3 if missed else 0)] = 0
        if index == wide:
            mask[20:36, 30:40] = 0
        write_png(folder / "masks" / path.name, mask)
    words = ("--data", f"folder:{site}", "--split", "val", "--out", folder)
    assert command("score", folder / "masks", *words) == 0
    return folder / "metrics.json"


def compared(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert command("compare", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_better_model_is_called_better(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = scored(site, tmp_path / "a", missed=8), scored(site, tmp_path / "b", missed=3)
    result = compared(capsys, a, b)
    row = result["protocols"]["mfnet8"]
    assert result["protocol"] == "mfnet8"
    assert row["difference"] == pytest.approx(row["b"] - row["a"])
    assert 0 < row["low"] <= row["difference"] <= row["high"]
    assert result["verdict"][0].startswith("B is better: mean IoU")
    assert "better: car" in result["verdict"][1]
    assert result["classes"]["car"]["low"] > 0
    assert result["classes"]["person"]["difference"] == 0
    assert result["classes"]["bump"]["difference"] is None
    assert set(result["subsets"]) == {"day", "night"}
    assert result["worse_frames"] == []
    turned = compared(capsys, b, a)
    assert turned["verdict"][0].startswith("B is worse")
    assert turned["protocols"]["mfnet8"]["high"] == pytest.approx(-row["low"])


def test_chance_is_not_called_better(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # B loses one person of ten and gains nothing else.
    a, b = scored(site, tmp_path / "a", missed=0), scored(site, tmp_path / "b", missed=0, wide=4)
    result = compared(capsys, a, b)
    row = result["protocols"]["mfnet8"]
    assert row["low"] < row["difference"] < row["high"] == 0
    assert "No difference is shown" in result["verdict"][0]
    assert f"true difference of {row['smallest_detectable']:.3f}" in result["verdict"][0]
    (worse,) = result["worse_frames"]
    assert worse["name"] == "00080D"
    assert worse["note"].startswith("person: 100 % found, now")
    assert compared(capsys, a, a)["verdict"] == [
        "A and B make the same errors in the same frames: no figure differs."
    ]


def test_the_page_shows_what_got_worse(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = scored(site, tmp_path / "a", missed=0), scored(site, tmp_path / "b", missed=2, wide=4)
    out = tmp_path / "out"
    assert command("compare", a.parent, b, "--out", out, "--data", f"folder:{site}") == 0
    said = capsys.readouterr().out
    assert "frames that got worse" in said
    assert "report:" in said
    page = (out / "compare.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/webp") == 4 * 10
    assert "Errors of B of frame 00080D" in page
    assert "<script" not in page
    written = json.loads((out / "compare.json").read_text())
    assert written["worse_frames"][0]["name"] == "00080D"


def other_frames(folder: Path) -> None:
    frames = dict(np.load(folder / "per_frame.npz"))
    frames["names"][0] = "99999D"
    np.savez(folder / "per_frame.npz", **frames)


def other_labels(folder: Path) -> None:
    frames = dict(np.load(folder / "per_frame.npz"))
    frames["confusion"][3, CAR, 0] += 5
    np.savez(folder / "per_frame.npz", **frames)


def other_classes(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["classes"][1]["name"] = "tram"
    (folder / "metrics.json").write_text(json.dumps(metrics))


def no_matrices(folder: Path) -> None:
    (folder / "per_frame.npz").unlink()


def no_scores(folder: Path) -> None:
    (folder / "metrics.json").write_text('{"schema_version": 1, "frames": 3}')


def no_json(folder: Path) -> None:
    (folder / "metrics.json").write_text("mIoU 0.5")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_frames, "1 frames only in A (00000D), 1 only in B (99999D)"),
        (other_labels, "other labels in 1 frames (00060N)"),
        (other_classes, "do not have the same classes"),
        (no_matrices, "per_frame.npz does not hold"),
        (no_scores, "cannot be compared"),
        (no_json, "cannot be compared"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    site: Path, tmp_path: Path, spoil, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    a = scored(site, tmp_path / "a", missed=1)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    spoil(tmp_path / "b")
    capsys.readouterr()
    assert command("compare", a, tmp_path / "b" / "metrics.json") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_pictures_need_masks_and_a_folder(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = scored(site, tmp_path / "a", missed=0), scored(site, tmp_path / "b", missed=2)
    assert command("compare", a, b, "--data", f"folder:{site}") == 2
    shutil.rmtree(tmp_path / "b" / "masks")
    out = tmp_path / "out"
    assert command("compare", a, b, "--data", f"folder:{site}", "--out", out) == 1
    assert "with --masks, or leave out --data" in capsys.readouterr().err
    assert not out.exists()
