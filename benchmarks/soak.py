"""Whether a segmenter that runs for days keeps its memory: many frames, and many loads.

    python -m benchmarks.soak [BUNDLE] [--calls 10000] [--loads 200]

First one segmenter is called on noise at 640x480, then a bundle is loaded, called once and closed
again and again. Resident memory, open files and threads are read meanwhile. What Python and ONNX
Runtime set up once is no leak: the first tenth of the calls and of the loads does not count.

Writes results/soak.json; exit code 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console, progress
from sartm_core.segmenter import Segmenter, load

RESULT = Path(__file__).parent / "results" / "soak.json"
CAMERA_SIZE = (480, 640)
SAMPLES = 100
"""How often memory is read during the calls."""
LIMIT_MB_PER_1000_CALLS = 1.0
LIMIT_MB_PER_100_LOADS = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", nargs="?", default="sartm-demo", help="folder or shipped name")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--loads", type=int, default=200)
    parser.add_argument("--threads", type=int, help="CPU threads; default all cores but one")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    try:
        result = soak(options.bundle, options.calls, options.loads, options.threads)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_json_atomic(options.out, result)
    for name, check in result["checks"].items():
        print(f"{'ok' if check['ok'] else '--'} {name}: {check['measured']:g} ({check['limit']})")
    console.print(f"written to {options.out}")
    return 0 if result["passed"] else 1


def soak(model: str, calls: int, loads: int, threads: int | None = None) -> dict[str, Any]:
    """Call and load a model; what that took is judged by :func:`judge`."""
    with load(model, "onnxruntime", threads=threads) as segment:
        bundle = segment.bundle
        runtime = {"name": segment.runtime.name, "precision": segment.runtime.precision}
        called = _call(segment, calls)
    loaded = _load(model, loads, threads)
    checks = judge(called, loaded)
    return {
        "model": bundle.name,
        "sha256": bundle.sha256(),
        "runtime": runtime,
        "camera": list(CAMERA_SIZE[::-1]),
        "calls": called,
        "loads": loaded,
        "checks": checks,
        "passed": all(check["ok"] for check in checks.values()),
        "machine": describe_machine(),
    }


def _call(segment: Segmenter, calls: int) -> dict[str, list[float]]:
    every = max(1, calls // SAMPLES)
    rgb, thermal = _noise()
    taken: dict[str, list[float]] = {"at": [], "rss_mb": []}
    with progress("calling", calls) as bar:
        for call in range(1, calls + 1):
            segment(rgb, thermal)
            if call % every == 0:
                taken["at"].append(call)
                taken["rss_mb"].append(resident_mb())
            bar.advance()
    return taken


def _load(model: str, loads: int, threads: int | None) -> dict[str, list[float]]:
    rgb, thermal = _noise()
    taken: dict[str, list[float]] = {"at": [], "rss_mb": [], "files": [], "threads": []}
    with progress("loading and closing", loads) as bar:
        for turn in range(1, loads + 1):
            with load(model, "onnxruntime", threads=threads) as segment:
                segment(rgb, thermal)
            del segment
            gc.collect()
            taken["at"].append(turn)
            taken["rss_mb"].append(resident_mb())
            taken["files"].append(_entries("fd"))
            taken["threads"].append(_entries("task"))
            bar.advance()
    return taken


def judge(
    called: dict[str, list[float]], loaded: dict[str, list[float]]
) -> dict[str, dict[str, Any]]:
    """Each bound: what was measured, the limit in words, whether it holds.

    Args:
        called: ``rss_mb`` after ``at`` calls.
        loaded: ``rss_mb``, open ``files`` and ``threads`` after ``at`` loads.
    """
    per_call = slope(called["at"], called["rss_mb"])
    per_load = slope(loaded["at"], loaded["rss_mb"])
    checks: dict[str, dict[str, Any]] = {
        "MB per 1,000 calls": {
            "measured": round(1000 * per_call, 3),
            "limit": f"below {LIMIT_MB_PER_1000_CALLS:g}",
            "ok": 1000 * per_call < LIMIT_MB_PER_1000_CALLS,
        },
        "MB per 100 loads": {
            "measured": round(100 * per_load, 3),
            "limit": f"below {LIMIT_MB_PER_100_LOADS:g}",
            "ok": 100 * per_load < LIMIT_MB_PER_100_LOADS,
        },
    }
    for name, what in (("files", "more open files"), ("threads", "more threads")):
        counts = _settled(loaded[name])
        half = len(counts) // 2
        more = int(max(counts[half:]) - max(counts[:half]))
        checks[what] = {"measured": more, "limit": "none", "ok": more <= 0}
    return checks


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Growth of ``values`` per unit of ``at`` once the first tenth is over: the median of the
    slopes between all pairs (Theil-Sen), which a single jump of the allocator does not bend."""
    x, y = np.asarray(_settled(at), float), np.asarray(_settled(values), float)
    first, second = np.triu_indices(len(x), k=1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def _settled(values: Sequence[float]) -> Sequence[float]:
    kept = values[len(values) // 10 :]
    if len(kept) < 2:
        raise SartmError(
            "too few measurements for a slope", got=len(values), expected="2 calls and 2 loads"
        )
    return kept


def resident_mb() -> float:
    """Resident memory of this process, 1 MB = 1,000,000 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _entries(folder: str) -> int:
    return len(os.listdir(f"/proc/self/{folder}"))


def _noise() -> tuple[Any, Any]:
    noise = np.random.default_rng(0)
    return (
        noise.integers(0, 256, (*CAMERA_SIZE, 3), np.uint8),
        noise.integers(0, 256, CAMERA_SIZE, np.uint8),
    )


if __name__ == "__main__":
    sys.exit(main())
