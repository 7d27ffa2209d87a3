"""What sartm adds to the bare network, and how long a start takes.

    python -m benchmarks.overhead [BUNDLE] [--threads 1] [--rounds 20] [--starts 5]

The ONNX session alone, `seg(rgb, thermal)` on 640x480 and on 1920x1080 images take turns, NumPy to
NumPy. Starts are new processes: the import of sartm_core, and from the process's start to the first
mask on ONNX Runtime. The machine must be idle.

Writes results/overhead.json; exit code 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console, progress
from sartm_core.runtime import default_threads
from sartm_core.runtime.turns import TimedModel, time_in_turns
from sartm_core.segmenter import Segmenter, load

RESULT = Path(__file__).parent / "results" / "overhead.json"
SIZES = {"640x480": (480, 640), "1920x1080": (1080, 1920)}
LIMIT_IMPORT_S, LIMIT_FIRST_MASK_S = 0.3, 1.5
IMPORT = """
import sys, time
start = time.perf_counter()
import sartm_core
took = time.perf_counter() - start
assert "torch" not in sys.modules
print(took)
"""
FIRST_MASK = """
import sys
import numpy as np
import sartm_core
with sartm_core.load(sys.argv[1], "onnxruntime") as segment:
    segment(np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.uint8))
"""


class TimedSegmenter:
    """A segmenter that is asked for the same frame of noise again and again."""

    def __init__(self, segment: Segmenter, size: tuple[int, int]) -> None:
        noise = np.random.default_rng(0)
        self._segment = segment
        self._rgb = noise.integers(0, 256, (*size, 3), np.uint8)
        self._thermal = noise.integers(0, 256, size, np.uint8)

    def run(self) -> None:
        self._segment(self._rgb, self._thermal)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", nargs="?", default="sartm-s", help="folder or shipped name")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    result = measure(options.bundle, options.threads, options.rounds, options.starts)
    write_json_atomic(options.out, result)
    for name, check in result["checks"].items():
        print(
            f"{'ok' if check['ok'] else '--'} {name}: {check['measured']:g} {check['unit']} "
            f"(limit {check['limit']:g})"
        )
    console.print(f"written to {options.out}")
    return 0 if result["passed"] else 1


def measure(model: str, threads: int, rounds: int, starts: int) -> dict[str, Any]:
    """Medians of all parts, and whether each bound holds."""
    with load(model, "onnxruntime", threads=threads) as segment:
        bundle = segment.bundle
        bare = TimedModel(bundle.model_path("fp32"), threads, bundle.input_size, ours=True)
        times = time_in_turns(
            [bare, *(TimedSegmenter(segment, size) for size in SIZES.values())], rounds
        )
    with progress("starting", 2 * starts) as bar:
        imports, first_masks = [], []
        for _ in range(starts):
            imports.append(float(_run(IMPORT)))
            bar.advance()
            begin = time.perf_counter()
            _run(FIRST_MASK, model)
            first_masks.append(time.perf_counter() - begin)
            bar.advance()
    bare_ms, *whole_ms = (statistics.median(taken) for taken in times)
    checks = judge(
        bare_ms,
        dict(zip(SIZES, whole_ms, strict=True)),
        statistics.median(imports),
        statistics.median(first_masks),
    )
    return {
        "model": bundle.name,
        "sha256": bundle.sha256(),
        "input": list(bundle.input_size[::-1]),
        "threads": threads,
        "rounds": rounds,
        "starts": starts,
        "session_ms": round(bare_ms, 3),
        "end_to_end_ms": {
            name: round(taken, 3) for name, taken in zip(SIZES, whole_ms, strict=True)
        },
        "checks": checks,
        "passed": all(check["ok"] for check in checks.values()),
        "machine": describe_machine(),
    }


def judge(
    session_ms: float, end_to_end_ms: dict[str, float], import_s: float, first_mask_s: float
) -> dict[str, dict[str, Any]]:
    """Each bound: what was measured, its unit, the limit, whether it holds.

    Args:
        session_ms: the bare session.
        end_to_end_ms: ``seg(rgb, thermal)`` by the size of the camera.
        import_s, first_mask_s: of new processes.
    """
    figures = {
        "added at 640x480": (
            end_to_end_ms["640x480"] - session_ms,
            "ms",
            max(2.0, 0.08 * session_ms),
        ),
        "added at 1920x1080": (end_to_end_ms["1920x1080"] - session_ms, "ms", 0.25 * session_ms),
        "import of sartm_core": (import_s, "s", LIMIT_IMPORT_S),
        "start to first mask": (first_mask_s, "s", LIMIT_FIRST_MASK_S),
    }
    return {
        name: {
            "measured": round(measured, 3),
            "unit": unit,
            "limit": round(limit, 3),
            "ok": measured <= limit,
        }
        for name, (measured, unit, limit) in figures.items()
    }


def _run(code: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
