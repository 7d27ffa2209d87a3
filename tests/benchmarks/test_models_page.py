"""Results of the model comparison become a table and a plot; what was not measured is left out."""

import pytest

from benchmarks.models_page import BEGIN, END, PAGE, front, read_lines, tables, write_page
from sartm_core.errors import SartmError

MACHINE = {"cpu": "CPU", "cores": 2, "versions": {"onnxruntime": "1"}}
# row, ours, ImageNet, beside, fp32 ms, mIoU with every camera
ROWS = [
    ("sartm-s", True, True, None, 40.0, 0.40),
    ("unet", False, True, "sartm-s", 120.0, 0.42),
    ("fpn", False, True, "sartm-s", 160.0, 0.30),
    ("scratch", True, False, "sartm-s", 40.0, 0.25),
    ("mit", False, False, "scratch", 90.0, 0.20),
]


def result(scored=True, timed=True):
    accuracy = {"protocol": "mfnet8" if scored else None, "frames": 80, "blocks": 9, "rows": []}
    networks = {}
    for row, _, _, beside, ms, miou in ROWS:
        scores = {name: {"miou": miou - lost} for name, lost in (("rgb+thermal", 0), ("rgb", 0.1))}
        parts = [
            {"to": to, "of": of, "value": -0.02, "low": -0.05, "high": 0.01}
            for to in dict.fromkeys((beside, "sartm-s"))
            for of in ("full", "mean")
            if to
        ]
        accuracy["rows"].append(
            {
                "row": row,
                "scores": scores if scored else {},
                "differences": parts if scored else [],
                "stale": row == "fpn",
            }
        )
        taken = {"fp32": {"fastest": ms}} | (
            {"int8": {"fastest": ms / 2}} if row == "sartm-s" else {}
        )
        networks[row] = {"parameters": 6_300_000, "multiply_adds": 5_500_000_000, "ms": taken}
    keys = ("row", "ours", "imagenet", "beside")
    values = {
        "rows": [dict(zip(keys, row, strict=False)) for row in ROWS],
        "accuracy": accuracy,
    }
    if timed:
        speed = {"machine": MACHINE, "load": 0.1, "threads": 2, "rounds": 30, "input": [640, 480]}
        values["speed"] = {**speed, "networks": networks}
    return values


def cells(text, name):
    line = next(line for line in text.splitlines() if line.strip("| *").startswith(name))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_peer_is_set_beside_ours_of_the_same_start():
    text = tables(result())
    imagenet, scratch = text.split("### From random weights")
    assert "sartm-s" in imagenet
    assert cells(imagenet, "unet") == [
        *("unet", "6.30 M", "5.50 G", "120.0 ms", "–", "3.00 x", "0.420", "0.320", "–"),
        "-0.020 [-0.050, +0.010]",
    ]
    assert cells(scratch, "mit")[5] == "2.25 x"  # 90 ms against the 40 ms of the row beside it
    # ours from random weights follows ours from ImageNet weights: no comparison of equals
    assert cells(scratch, "scratch")[5:] == ["–", "0.250", "0.150", "–", "–"]
    assert cells(imagenet, "sartm-s")[4] == "20.0 ms"
    assert cells(imagenet, "fpn")[6] == "0.300 (stale)"
    assert text.endswith("Accuracy: mIoU, protocol mfnet8, 80 dev frames, 9 blocks.")


def test_times_need_no_training_and_accuracy_no_times():
    text = tables(result(scored=False))
    assert cells(text, "unet")[3:] == ["120.0 ms", "–", "3.00 x", "–", "–", "–", "–"]
    assert text.endswith("no training is finished.")
    text = tables(result(timed=False))
    assert cells(text, "unet")[1:7] == ["–", "–", "–", "–", "–", "0.420"]
    assert "CPU" not in text


def test_the_front_has_no_row_that_another_one_beats():
    lines = read_lines(result())
    assert [line.name for line in front(lines)] == ["sartm-s", "unet"]


def test_the_page_gets_table_and_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: requirements/bench.txt")
    page = tmp_path / "models.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    assert write_page(page, result()) in page.read_text()
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")
    assert "old" not in text
    for theme in ("light", "dark"):
        assert f"images/models-{theme}.svg" in text
        drawing = (tmp_path / "images" / f"models-{theme}.svg").read_text()
        for row in ROWS:
            assert f"<!-- {row[0]} -->" in drawing
    first = (tmp_path / "images" / "models-dark.svg").read_bytes()
    write_page(page, result())
    assert (tmp_path / "images" / "models-dark.svg").read_bytes() == first


def test_without_accuracy_there_is_no_plot(tmp_path):
    page = tmp_path / "models.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    write_page(page, result(scored=False))
    assert "svg" not in page.read_text()
    assert not (tmp_path / "images").exists()


def test_a_page_without_the_place_is_left_alone(tmp_path):
    page = tmp_path / "models.md"
    page.write_text("text")
    with pytest.raises(SartmError, match="no place"):
        write_page(page, result())
    assert page.read_text() == "text"


def test_the_page_has_the_place():
    page = PAGE.read_text()
    assert page.index(BEGIN) < page.index(END)
