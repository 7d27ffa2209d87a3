"""How fast one bundle is on every runtime that works on this machine.

    python -m benchmarks.runtimes [BUNDLE] [--threads 1] [--rounds 20]

Runtimes and precisions take turns, so that what else the machine does falls on all of them alike;
each is compared with ONNX Runtime's fp32 on the CPU, round by round. Time is that on the wall:
OpenVINO computes in threads of its own. The machine must be idle.

Writes results/runtimes.json and the table in docs/runtimes.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.page import write_part
from sartm_core.progress import console, progress
from sartm_core.runtime import RUNTIMES, Runtime, create_runtime, default_threads
from sartm_core.runtime.turns import ratio_interval, time_in_turns
from sartm_core.runtime.verify import verify
from sartm_core.timing import percentiles

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks/results/runtimes.json"
PAGE = ROOT / "docs/runtimes.md"
BEGIN = "<!-- runtimes: written by `python -m benchmarks.runtimes` -->"
END = "<!-- end of runtimes -->"
REFERENCE = ("onnxruntime", "fp32")
PRECISIONS = ("fp32", "fp16", "int8")


class TimedRuntime:
    """A runtime that is asked for the same frame of noise again and again."""

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        noise = np.random.default_rng(0)
        size = bundle.input_size
        self.runtime = runtime
        self._frame = (
            noise.integers(0, 256, (*bundle.rgb_size, 3), np.uint8),
            noise.integers(0, 256, size, np.uint8),
            np.ones(size, np.uint8),
            np.ones(2, np.float32),
        )

    def run(self) -> None:
        self.runtime.infer(*self._frame)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", nargs="?", default="sartm-s", help="folder or shipped name")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    result = measure(load_bundle(options.bundle), options.threads, options.rounds)
    write_json_atomic(options.out, result)
    if options.out == RESULT:
        write_part(PAGE, BEGIN, END, markdown(result))
    console.print(f"written to {options.out}")
    print(markdown(result))
    return 0


def measure(bundle: Bundle, threads: int, rounds: int) -> dict[str, Any]:
    """All that works on this machine, timed; and why the rest does not."""
    load = os.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    timed: list[TimedRuntime] = []
    missing: dict[str, str] = {}
    with progress("starting", len(RUNTIMES)) as bar:
        for name in RUNTIMES:
            bar.describe(f"starting {name}")
            for precision in precisions(bundle):
                begin = time.perf_counter()
                try:
                    runtime = create_runtime(name, bundle, precision=precision, threads=threads)
                except SartmError as error:
                    missing[f"{name} {precision}"] = str(error)
                    continue
                timed.append(TimedRuntime(bundle, runtime))
                timed[-1].run()
                rows.append(
                    {
                        "runtime": name,
                        "device": runtime.device,
                        "precision": runtime.precision,
                        "start_s": round(time.perf_counter() - begin, 2),
                        "agreement": round(verify(bundle, runtime).agreement, 4),
                    }
                )
            bar.advance()
    times = time_in_turns(timed, rounds)
    keys = [(row["runtime"], row["precision"]) for row in rows]
    reference = times[keys.index(REFERENCE)]
    for row, taken in zip(rows, times, strict=True):
        row["ms"] = percentiles(taken)
        row["ratio"] = round(float(np.median(taken) / np.median(reference)), 4)
        interval = ratio_interval(taken, reference)
        row["interval"] = None if interval is None else [round(bound, 4) for bound in interval]
    return {
        "machine": describe_machine(),
        "load": round(load, 1),
        "model": bundle.name,
        "sha256": bundle.sha256(),
        "input": list(bundle.input_size),
        "threads": threads,
        "rounds": rounds,
        "rows": rows,
        "missing": missing,
    }


def precisions(bundle: Bundle) -> list[str]:
    """What to ask runtimes for; each takes its own INT8 file."""
    has = {name.removesuffix("cpu") for name in bundle.precisions}
    return [name for name in PRECISIONS if name in has]


def markdown(result: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    height, width = result["input"]
    lines = [
        f"| {result['model']}, {width}x{height} | precision | p50 ms | p95 ms "
        "| part of onnxruntime's fp32 | 95 % interval | mean IoU | start, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        interval = row["interval"]
        sure = "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        lines.append(
            f"| `{row['runtime']}` on {row['device']} | {row['precision']} "
            f"| {row['ms']['p50']:.1f} | {row['ms']['p95']:.1f} | {row['ratio']:.3f} | {sure} "
            f"| {row['agreement']:.4f} | {row['start_s']:.2f} |"
        )
    machine = result["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    lines += [
        "",
        f"{machine['cpu']}, {result['threads']} thread{'s' if result['threads'] > 1 else ''}, "
        f"{result['rounds']} rounds, load {result['load']:g} when it began; {versions}.",
    ]
    if absent := sorted({key.split()[0] for key in result["missing"]} - _shown(result)):
        lines += ["", f"Not measured here: {', '.join(f'`{name}`' for name in absent)}."]
    return "\n".join(lines)


def _shown(result: dict[str, Any]) -> set[str]:
    return {row["runtime"] for row in result["rows"]}


if __name__ == "__main__":
    sys.exit(main())
