"""How fast students of many designs run on ONNX Runtime.

    python -m benchmarks.architectures [--compare TUNI_T.onnx] [--only sartm] [--threads 1]

The rows are those of architectures.yaml, with random weights: neither size nor time depends on
them. All networks of the run take turns, so that what else the machine does falls on all of them
alike. With one thread, what counts is the processor time of that thread, which other programs
hardly change; with more it is the time on the wall, and the machine must be idle.

Writes results/architectures.json and the table in docs/architectures.md. With --only, what was
measured before stays for the other rows: ratios are to the reference of the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.architecture_variants import ACTIVATIONS, NETWORKS, with_activation
from sartm_core.export.graph import MaskGraph
from sartm_core.export.onnx_file import export_onnx
from sartm_core.export.quantize import quantize
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.models import RgbThermalNetwork, Student
from sartm_core.models.branches import merge_branches
from sartm_core.page import write_part
from sartm_core.progress import console, progress
from sartm_core.runtime.turns import TimedModel, time_in_turns
from sartm_core.training.build import build_network
from sartm_core.training.config import config_from_dict

ROOT = Path(__file__).resolve().parent.parent
ROWS = Path(__file__).with_suffix(".yaml")
RESULT = ROOT / "benchmarks/results/architectures.json"
PAGE = ROOT / "docs/architectures.md"
BEGIN = "<!-- architectures: written by `python -m benchmarks.architectures` -->"
END = "<!-- end of architectures -->"
HEIGHT, WIDTH = 480, 640
REFERENCE = "two streams to 1/16"
SOURCES = [{"dataset": "synthetic", "frames": 1}]
OWN_KEYS = ("base", "preset", "network", "activation")

Feed = dict[str, np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--compare", type=Path, help="another network, timed in the same run")
    parser.add_argument("--only", default="", help="rows whose question or name contains this")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = {
        (question, name): changes
        for question, rows in yaml.safe_load(ROWS.read_text()).items()
        for name, changes in rows.items()
    }
    chosen = [
        (question, name)
        for question, name in table
        if name == REFERENCE or options.only in question or options.only in name
    ]
    by_name = {name: changes for (_, name), changes in table.items()}
    with tempfile.TemporaryDirectory() as folder:
        rows, files = [], {}
        with progress("exporting", len(chosen)) as bar:
            for question, name in chosen:
                bar.describe(f"exporting {name}")
                row, made = prepare(by_name, name, Path(folder) / str(len(rows)))
                rows.append({"question": question, "name": name, **row})
                files |= {(name, precision): file for precision, file in made.items()}
                bar.advance()
        if options.compare:
            files["compare", "fp32"] = options.compare
        times = measure(files, options.threads, options.rounds)
    for row in rows:
        row["ms"] = {p: times[row["name"], p] for p in ("fp32", "int8")}
        row["ratio"] = {p: round(ms / times[REFERENCE, "fp32"], 4) for p, ms in row["ms"].items()}
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "threads": options.threads,
        "clock": "processor time of the thread" if options.threads == 1 else "wall",
        "input": [HEIGHT, WIDTH],
        "rows": merged(rows, list(table), options.out),
    }
    if options.compare:
        result["compare"] = {
            "name": options.compare.stem,
            "ms": times["compare", "fp32"],
            "ratio": round(times["compare", "fp32"] / times[REFERENCE, "fp32"], 4),
        }
    elif options.out.is_file() and "compare" in (before := json.loads(options.out.read_text())):
        result["compare"] = before["compare"]
    write_json_atomic(options.out, result)
    if options.out == RESULT:
        write_part(PAGE, BEGIN, END, markdown(result))
    console.print(f"written to {options.out}")
    print(markdown(result))
    return 0


def merged(rows: list[dict[str, Any]], order: list[Any], out: Path) -> list[dict[str, Any]]:
    """The rows of this run, and of the run before those that this one left out."""
    known = json.loads(out.read_text())["rows"] if out.is_file() else []
    found = {(row["question"], row["name"]): row for row in [*known, *rows]}
    return [found[key] for key in order if key in found]


def settings(by_name: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """All that a row changes, its base's and its preset's included."""
    changes = by_name[name]
    start: dict[str, Any] = {}
    if "base" in changes:
        start = settings(by_name, changes["base"])
    if "preset" in changes:
        text = (ROOT / f"config/train/{changes['preset']}.yaml").read_text()
        start = yaml.safe_load(text)["model"]
    return {**start, **{k: v for k, v in changes.items() if k not in ("base", "preset")}}


def build(changes: dict[str, Any]) -> RgbThermalNetwork:
    """The network of a row, as it is exported."""
    torch.manual_seed(0)
    model = {key: value for key, value in changes.items() if key not in OWN_KEYS}
    network = build_network(
        config_from_dict({"model": model, "data": {"sources": SOURCES}}), pretrained=False
    )
    if "network" in changes:
        assert isinstance(network, Student)
        network = NETWORKS[changes["network"]](network)
    if "activation" in changes:
        with_activation(network, ACTIVATIONS[changes["activation"]])
    return merge_branches(network)


def prepare(
    by_name: dict[str, dict[str, Any]], name: str, stem: Path
) -> tuple[dict[str, Any], dict[str, Path]]:
    """What a row says of its network before it is timed, and precision -> ONNX file."""
    changes = settings(by_name, name)
    network = build(changes).eval()
    inputs = [torch.from_numpy(value) for value in random_feed().values()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    fp32, int8 = stem.with_suffix(".onnx"), stem.with_suffix(".int8.onnx")
    export_onnx(MaskGraph(network), HEIGHT, WIDTH, fp32)
    quantize(fp32, int8, [random_feed()], symmetric=False)
    row = {
        "changes": changes,
        "parameters": sum(value.numel() for value in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
    }
    return row, {"fp32": fp32, "int8": int8}


def random_feed() -> Feed:
    """One frame of noise, both cameras there."""
    generator = np.random.default_rng(0)
    shapes = {"rgb": (1, HEIGHT, WIDTH, 3), "thermal": (1, HEIGHT, WIDTH, 1)}
    feed: Feed = {
        name: generator.integers(0, 256, shape, dtype=np.uint8) for name, shape in shapes.items()
    }
    feed["thermal_valid"] = np.ones((1, HEIGHT, WIDTH, 1), np.uint8)
    feed["present"] = np.ones((1, 2), np.float32)
    return feed


def measure(
    files: dict[tuple[str, str], Path], threads: int, rounds: int
) -> dict[tuple[str, str], float]:
    """Median milliseconds of every file, run in turns."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    models = [TimedModel(file, threads, (HEIGHT, WIDTH), ours=True) for file in files.values()]
    times = time_in_turns(models, rounds, clock)
    return {key: round(float(np.median(taken)), 3) for key, taken in zip(files, times, strict=True)}


def markdown(result: dict[str, Any]) -> str:
    """The table: times as parts of the reference's fp32 time."""
    lines = ["| design | fp32 | int8 | parameters | multiply-adds |", "|---|---|---|---|---|"]
    question = ""
    for row in result["rows"]:
        if row["question"] != question:
            question = row["question"]
            lines.append(f"| **{question}** | | | | |")
        ratio = row["ratio"]
        lines.append(
            f"| {row['name']} | {ratio['fp32']:.3f} | {ratio['int8']:.3f} "
            f"| {row['parameters'] / 1e6:.2f} M | {row['multiply_adds'] / 1e9:.2f} G |"
        )
    machine = result["machine"]
    where = f"{machine['cpu']}, {result['threads']} thread, {result['clock']}"
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    lines += ["", f"{where}; {versions}."]
    if other := result.get("compare"):
        best = {row["name"]: row["ratio"] for row in result["rows"]}
        parts = ", ".join(
            f"{name} fp32 1/{other['ratio'] / best[name]['fp32']:.1f} "
            f"and int8 1/{other['ratio'] / best[name]['int8']:.1f}"
            for name in (REFERENCE, "sartm-s", "sartm-n")
            if name in best
        )
        lines += [
            "",
            f"`{other['name']}` (fp32) takes {other['ratio']:.2f} of the reference; "
            f"parts of its time: {parts}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
