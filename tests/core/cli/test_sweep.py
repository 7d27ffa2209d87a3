"""`sartm sweep`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sartm_core.cli import main
from sartm_core.training import sweep as recipe
from sartm_core.training.sweep import SweepOutcome
from tests.sweeps import finish, row, tiny_sweep, write_sweep


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks of a sweep that trains nothing."""
    words: dict[str, Any] = {}

    def note(_: Any, **arguments: Any) -> SweepOutcome:
        words.update(arguments)
        return SweepOutcome()

    monkeypatch.setattr(recipe, "run_sweep", note)
    return words


def test_rows_are_trained_and_the_table_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- sweep tiny_sweep: written by `sartm sweep` --><!-- end of sweep tiny_sweep -->"
    )
    file = write_sweep(tmp_path, more="page: page.md")
    assert main(["sweep", str(file), "--only", "both", "--seeds", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["finished"] == ["both seed 1"]
    assert printed["rows"][1]["scores"]["rgb+thermal"]["seeds"] == 1
    assert (tmp_path / "results/both-seed1.json").is_file()
    assert "| both |" in page.read_text()


def test_words_reach_the_sweep(tmp_path: Path, asked: dict[str, Any]) -> None:
    file = str(write_sweep(tmp_path))
    assert main(["sweep", file]) == 0
    assert asked == {"only": (), "seeds": [], "max_minutes": 0.0}
    words = ["--only", "rgb,both", "--seeds", "0,2", "--max-minutes", "25"]
    assert main(["sweep", file, *words]) == 0
    assert asked == {"only": ["rgb", "both"], "seeds": [0, 2], "max_minutes": 25.0}


def test_table_for_a_reader_trains_nothing(
    tmp_path: Path, asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tiny_sweep(tmp_path)
    finish(row(sweep, "both"), [0.8, 0.6, 0.5])
    finish(row(sweep, "wide"), [0.9, 0.6, 0.5])
    assert main(["sweep", str(tmp_path / "tiny_sweep.yaml"), "--table"]) == 0
    assert asked == {}
    lines = capsys.readouterr().out.splitlines()
    assert any("wide" in line and "[+0." in line and "] *" in line for line in lines)
    assert any("Smallest detectable difference" in line for line in lines)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (SweepOutcome(), 0),  # stopped by --max-minutes, or nothing to do
        (SweepOutcome(failed={"wide seed 0": "diverged"}), 1),
        (SweepOutcome(interrupted=True), 130),
    ],
)
def test_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: SweepOutcome,
    code: int,
) -> None:
    monkeypatch.setattr(recipe, "run_sweep", lambda *_, **__: outcome)
    assert main(["sweep", str(write_sweep(tmp_path)), "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert (printed["failed"], printed["interrupted"]) == (outcome.failed, outcome.interrupted)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--only", "rgbb"], 1, "no such row; got 'rgbb'; expected one of both, rgb, wide"),
        (["--seeds", "one"], 2, "numbers such as 0,1,2"),
        (["--seeds", "-1"], 2, "numbers such as 0,1,2"),
        (["--max-minutes", "-1"], 2, "max-minutes"),
    ],
)
def test_wrong_words(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert main(["sweep", str(write_sweep(tmp_path)), *words]) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
