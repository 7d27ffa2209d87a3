"""The scenario of the pairing benchmark, its bounds, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import pairing
from benchmarks.pairing_plot import draw
from benchmarks.table import tables
from sartm_core.synchronizer import SyncParameters


def result(**sartm: Any) -> dict[str, Any]:
    ours = {"pairs": 100, "offset_ms": 8.0, "loop_lost": 0, "late_pairs": 100, **sartm}
    way = {"optimum": {"pairs": 100, "offset_ms": 8.0}, "sartm": ours}
    points = [
        {"mode": mode, "max_wait_ms": wait, "share": 0.5, "pairs": 50, "offset_ms": 9.0}
        | {"added_ms": wait / 2, "added_p95_ms": wait}
        for mode in pairing.MODES
        for wait in (0, 20)
    ]
    return {"reuse": way, "match": way, "curve": points}


@pytest.mark.parametrize(
    ("sartm", "broken"),
    [
        ({"pairs": 98, "offset_ms": 8.4, "loop_lost": 1}, None),  # 98 %, 1.05 times, one pair
        ({"pairs": 97}, "share of the optimum's pairs"),
        ({"offset_ms": 8.41}, "mean offset / the optimum's"),
        ({"loop_lost": 2}, "pairs lost by a bag loop"),
    ],
)
def test_each_bound(sartm: dict[str, Any], broken: str | None) -> None:
    checks = pairing.judge(result(**sartm))
    failed = {name for name, check in checks.items() if not check["ok"]}
    assert failed == ({f"{mode}: {broken}" for mode in pairing.MODES} if broken else set())


def test_the_cameras_are_those_of_the_docs() -> None:
    messages = pairing.cameras(seed=1)
    assert messages == pairing.cameras(seed=1) != pairing.cameras(seed=2)
    for name, rate in (("rgb", 30), ("thermal", 9)):
        stamps = sorted(stamp for _, stream, stamp in messages if stream == name)
        assert len(stamps) == 20 * rate
    assert all(10e6 <= arrival - stamp <= 20e6 for arrival, _, stamp in messages)
    thermal = [s for _, name, s in pairing.cameras(seed=1, late_ms=100) if name == "thermal"]
    assert sorted(thermal) == stamps, "only later, not other images"


def test_the_optimum_is_no_worse_than_any_synchroniser() -> None:
    messages = pairing.cameras(seed=3)
    for mode in pairing.MODES:
        best = pairing.optimum(messages, SyncParameters(mode=mode))
        ours = pairing._ours(mode)(messages, pairing.WAIT_MS)
        assert len(best) >= len(ours) >= 0.98 * len(best)
        assert sum(best) / len(best) <= 1.001 * sum(ours) / len(ours)


def test_a_run_writes_figures_and_table_and_keeps_what_it_cannot_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairing, "measure_message_filters", lambda seeds: None)
    monkeypatch.setattr(pairing, "WAITS_MS", (0, 60))
    out = tmp_path / "pairing.json"
    assert pairing.main(["--seeds", "1", "--out", str(out)]) == 0
    assert "ok match: pairs lost by a bag loop" in capsys.readouterr().out
    first = json.loads(out.read_text())
    assert first["message_filters"] is None
    assert "message_filters" not in tables(tmp_path)
    known = {name: {**first["match"]["sartm"], "pairs": 77} for name in ("bare", "policy")}
    out.write_text(json.dumps({**first, "message_filters": known}))
    assert pairing.main(["--seeds", "1", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["message_filters"] == known
    assert "| message_filters as it comes, queue 10 | 77 |" in tables(tmp_path)
    out.write_text(json.dumps({**first, "message_filters": known, "scenario": {}}))
    pairing.main(["--seeds", "1", "--out", str(out)])
    assert json.loads(out.read_text())["message_filters"] is None, "of another scenario"


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: requirements/bench.txt")
    draw(result(), tmp_path / "a.png")
    draw(result(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_committed_figures_hold_the_bounds() -> None:
    committed = json.loads(pairing.RESULT.read_text())
    assert committed["passed"]
    assert pairing.judge(committed) == committed["checks"]
    assert set(committed["message_filters"]) == {"bare", "policy"}
