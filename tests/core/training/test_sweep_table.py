"""The table of a sweep says what is known, and how sure it is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartm_core.classes import MFNET
from sartm_core.errors import SartmError
from sartm_core.evaluation.bootstrap import difference
from sartm_core.evaluation.protocols import scores
from sartm_core.training.checkpoint import LAST
from sartm_core.training.sweep import run_sweep
from sartm_core.training.sweep_file import Sweep
from sartm_core.training.sweep_result import SweepResult
from sartm_core.training.sweep_table import build_table, markdown, write_page
from tests.sweeps import finish, row, tiny_sweep


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return tiny_sweep(tmp_path)


def cells(table: dict[str, Any], title: str, name: str) -> list[str]:
    """The cells of a row in a part of the Markdown."""
    body = next(body for section, body in _parts(markdown(table)) if section.startswith(title))
    return next(line for line in body if line[0] == name)


def _parts(text: str) -> list[tuple[str, list[list[str]]]]:
    blocks = text.split("\n\n")
    return [
        (title, [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines()])
        for title, body in pairwise(blocks)
        if body.startswith("|")
    ]


def miou(result: SweepResult, name: str) -> float:
    return float(scores(result.frames[name].confusion.sum(axis=0), "mfnet8", MFNET)["miou"])


def test_nothing_is_known_at_first(sweep: Sweep) -> None:
    table = build_table(sweep)
    assert cells(table, "mIoU", "both") == ["both", "-", "-", "-", "-", "-", ""]
    assert cells(table, "mIoU", "wide")[-1] == "model.width=24"
    assert "No run is finished" in markdown(table)


def test_scores_are_mean_and_spread_over_seeds(sweep: Sweep) -> None:
    one = finish(row(sweep, "both", 0), [0.8, 0.6, 0.5])
    two = finish(row(sweep, "both", 1), [0.9, 0.6, 0.5])
    finish(row(sweep, "rgb"), [0.6])
    table = build_table(sweep)
    score = table["rows"][1]["scores"]["rgb+thermal"]
    values = [miou(one, "rgb+thermal"), miou(two, "rgb+thermal")]
    assert score["miou"] == pytest.approx(np.mean(values))
    assert score["spread"] == pytest.approx(np.std(values, ddof=1))
    mean = table["rows"][1]["scores"]["mean"]["miou"]
    names = ("rgb+thermal", "rgb", "thermal")
    assert mean == pytest.approx(np.mean([miou(run, name) for run in (one, two) for name in names]))
    assert cells(table, "mIoU", "both")[1] == f"{score['miou']:.3f} ± {score['spread']:.3f}"
    assert cells(table, "mIoU", "both")[5] == "seeds 0, 1"
    rgb = cells(table, "mIoU", "rgb")
    assert (rgb[1], rgb[3], rgb[4]) == ("-", "-", "-")
    assert float(rgb[2]) > 0.4
    assert cells(table, "IoU of each class", "both")[1:3] != ["-", "-"]
    assert cells(table, "IoU of each class", "both")[3] == "-"  # no bike in any label


def test_differences_are_paired_and_have_intervals(sweep: Sweep) -> None:
    rgb = finish(row(sweep, "rgb"), [0.6])
    both = finish(row(sweep, "both"), [0.8, 0.6, 0.5])
    wide = finish(row(sweep, "wide"), [0.8, 0.7, 0.5])
    table = build_table(sweep)

    found = {(part["to"], part["of"]): part for part in table["rows"][0]["differences"]}
    assert list(found) == [("both", "full")]  # a row of one camera has no mean of inputs
    expected = difference(both.frames["rgb+thermal"], rgb.frames["rgb"], "mfnet8").miou
    assert found["both", "full"]["value"] == pytest.approx(expected.value)
    assert (found["both", "full"]["low"], found["both", "full"]["high"]) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert expected.high is not None
    assert expected.high < 0
    assert cells(table, "Differences", "rgb")[1].endswith("] *")

    found = {(part["to"], part["of"]): part for part in table["rows"][2]["differences"]}
    assert set(found) == {("both", "full"), ("both", "mean")}
    assert found["both", "full"]["value"] == 0.0
    gain = (miou(wide, "rgb") - miou(both, "rgb")) / 3
    assert found["both", "mean"]["value"] == pytest.approx(gain)
    assert 0 < found["both", "mean"]["low"] <= gain <= found["both", "mean"]["high"]

    assert table["frames"] == 40
    assert table["blocks"] == 10
    assert table["smallest_detectable"] > 0
    assert "Smallest detectable difference to both" in markdown(table)
    assert cells(table, "Differences", "both")[1:3] == ["-", "-"]  # the reference itself


def test_differences_are_over_the_seeds_that_both_rows_have(sweep: Sweep) -> None:
    ours = [finish(row(sweep, "wide", seed), [0.7 + seed / 10, 0.6, 0.5]) for seed in (0, 1)]
    theirs = [finish(row(sweep, "both", seed), [0.6, 0.6, 0.5]) for seed in (1, 2)]
    part = build_table(sweep)["rows"][2]["differences"][0]
    assert part["seeds"] == [1]
    expected = miou(ours[1], "rgb+thermal") - miou(theirs[0], "rgb+thermal")
    assert part["value"] == pytest.approx(expected)

    theirs.append(finish(row(sweep, "both", 0), [0.5, 0.6, 0.5]))
    part = build_table(sweep)["rows"][2]["differences"][0]
    assert part["seeds"] == [0, 1]
    gains = [
        miou(ours[0], "rgb+thermal") - miou(theirs[2], "rgb+thermal"),
        miou(ours[1], "rgb+thermal") - miou(theirs[0], "rgb+thermal"),
    ]
    assert part["value"] == pytest.approx(np.mean(gains))


def test_unfinished_and_stale_runs_are_named(tmp_path: Path, sweep: Sweep) -> None:
    finish(row(sweep, "both"), [0.8, 0.6, 0.5])
    finish(row(sweep, "wide"), [0.9, 0.6, 0.5])
    changed = tiny_sweep(tmp_path, rows="\n  - {name: both}\n  - {name: wide}\n")
    run_sweep(changed, only=["both"], seeds=[1], max_minutes=1e-9)
    table = build_table(changed)
    assert (changed.folder / f"both-seed1-{row(changed, 'both').row.hash[:8]}" / LAST).is_file()
    assert cells(table, "mIoU", "both")[5] == "seed 0; seed 1 unfinished (step 1/3)"
    wide = cells(table, "mIoU", "wide")
    assert wide[5] == "stale: model.width"
    assert wide[1].endswith(" (stale)")
    assert table["rows"][1]["differences"] == []

    run_sweep(changed, only=["wide"], max_minutes=1e-9)
    assert (
        cells(build_table(changed), "mIoU", "wide")[5]
        == "stale: model.width; unfinished (step 1/3)"
    )


def test_few_blocks_give_no_interval(sweep: Sweep) -> None:
    finish(row(sweep, "both"), [0.8, 0.6, 0.5], frames=12)
    finish(row(sweep, "wide"), [0.9, 0.6, 0.5], frames=12)
    table = build_table(sweep)
    assert cells(table, "Differences", "wide")[1].endswith("(too few blocks)")
    assert table["smallest_detectable"] is None


def test_results_of_other_dev_frames_are_refused(sweep: Sweep) -> None:
    finish(row(sweep, "both"), [0.8, 0.6, 0.5])
    finish(row(sweep, "wide"), [0.9, 0.6, 0.5], frames=36)
    with pytest.raises(SartmError, match="not of the same frames"):
        build_table(sweep)
    finish(row(sweep, "both", 1), [0.8, 0.6, 0.5])
    finish(row(sweep, "wide", 1), [0.8, 0.6, 0.5])
    with pytest.raises(SartmError, match="row 'wide' were not scored on the same dev frames"):
        build_table(sweep)


def test_page_changes_between_its_markers_alone(tmp_path: Path) -> None:
    before, after = "# Ablation\n\nwords\n\n", "\n\nmore words\n"
    begin = "<!-- sweep tiny_sweep: written by `sartm sweep` -->"
    end = "<!-- end of sweep tiny_sweep -->"
    page = tmp_path / "page.md"
    page.write_text(f"{before}{begin}\nold\n{end}{after}")
    sweep = tiny_sweep(tmp_path, more="page: page.md")
    finish(row(sweep, "both"), [0.8, 0.6, 0.5])
    for _ in range(2):
        write_page(sweep, build_table(sweep))
    text = page.read_text()
    assert text == f"{before}{begin}\n\n{markdown(build_table(sweep))}\n\n{end}{after}"
