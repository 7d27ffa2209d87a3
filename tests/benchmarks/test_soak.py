"""The soak benchmark: a short run passes, and what leaks is found."""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

import pytest

from benchmarks import soak
from sartm_core.errors import SartmError

STEADY = {"at": [*range(1, 21)], "rss_mb": [150.0] * 20, "files": [9] * 20, "threads": [3] * 20}


def broken(called: dict[str, list[float]], loaded: dict[str, list[float]]) -> list[str]:
    return [name for name, check in soak.judge(called, loaded).items() if not check["ok"]]


def test_a_short_run_writes_the_result_and_passes(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "LIMIT_MB_PER_1000_CALLS", 1e6)  # few calls tell nothing of memory
    monkeypatch.setattr(soak, "LIMIT_MB_PER_100_LOADS", 1e6)
    out = tmp_path / "soak.json"
    words = [str(tiny_bundle), "--calls", "20", "--loads", "4", "--threads", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["soak", *words])
    assert soak.main() == 0
    result = json.loads(out.read_text())
    assert (result["model"], result["passed"]) == ("tiny", True)
    assert result["calls"]["at"] == [*range(1, 21)]
    assert len(result["loads"]["threads"]) == 4
    assert result["machine"]["cores"] >= 1


def test_memory_that_is_really_kept_has_a_slope() -> None:
    kept, at, values = [], [], []
    for turn in range(20):
        pages = mmap.mmap(-1, 2_000_000)  # malloc may hand out what others freed
        pages.write(b"\1" * len(pages))
        kept.append(pages)
        at.append(turn)
        values.append(soak.resident_mb())
    assert soak.slope(at, values) == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize(
    ("part", "values", "found"),
    [
        # 2 kB a call, 50 kB a load
        ("calls", [150 + 0.002 * i for i in range(20)], "MB per 1,000 calls"),
        ("loads", [150 + 0.05 * i for i in range(20)], "MB per 100 loads"),
        # one file, or one thread, that stays open with each load
        ("files", [9 + i for i in range(20)], "more open files"),
        ("threads", [3 + i for i in range(20)], "more threads"),
    ],
)
def test_a_planted_leak_is_found(part: str, values: list[float], found: str) -> None:
    called, loaded = dict(STEADY), dict(STEADY)
    if part == "calls":
        called["rss_mb"] = values
    else:
        loaded["rss_mb" if part == "loads" else part] = values
    assert broken(called, loaded) == [found]


def test_setting_up_and_a_single_jump_are_no_leak() -> None:
    grown = {**STEADY, "rss_mb": [100.0, 140.0] + [150.0] * 15 + [153.0] * 3}
    assert broken(grown, grown) == []


def test_a_leak_fails_the_command(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = iter(range(1000))
    monkeypatch.setattr(soak, "resident_mb", lambda: 100.0 + next(leak))
    words = [str(tiny_bundle), "--calls", "10", "--loads", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["soak", *words, "--out", str(tmp_path / "soak.json")])
    assert soak.main() == 1


def test_too_short_a_run_is_refused() -> None:
    with pytest.raises(SartmError, match="too few measurements"):
        soak.slope([1], [150.0])
