"""What counts as too much on top of the bare network."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.overhead import judge, measure


@pytest.mark.parametrize(
    ("session", "vga", "hd", "import_s", "first_mask_s", "broken"),
    [
        (100.0, 108.0, 125.0, 0.3, 1.5, []),  # 8 % and 25 %
        (10.0, 12.0, 12.5, 0.1, 1.0, []),  # 2 ms where 8 % are less
        (100.0, 108.1, 125.0, 0.1, 1.0, ["added at 640x480"]),
        (10.0, 12.0, 12.6, 0.1, 1.0, ["added at 1920x1080"]),
        (100.0, 101.0, 101.0, 0.31, 1.0, ["import of sartm_core"]),
        (100.0, 101.0, 101.0, 0.1, 1.51, ["start to first mask"]),
    ],
)
def test_each_bound(session, vga, hd, import_s, first_mask_s, broken) -> None:
    checks = judge(session, {"640x480": vga, "1920x1080": hd}, import_s, first_mask_s)
    assert [name for name, check in checks.items() if not check["ok"]] == broken


def test_one_run_has_all_of_it(tiny_bundle: Path) -> None:
    result = measure(str(tiny_bundle), threads=1, rounds=1, starts=1)
    assert result["session_ms"] > 0
    assert set(result["end_to_end_ms"]) == {"640x480", "1920x1080"}
    for name in ("import of sartm_core", "start to first mask"):
        assert result["checks"][name]["measured"] > 0
