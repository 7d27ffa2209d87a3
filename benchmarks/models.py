"""Our students beside light networks that people pick today: accuracy, size, work, and speed.

    python -m benchmarks.models                                      # trains, times, writes
    python -m benchmarks.models --train-only --max-minutes 30 [--only unet-lite0]
    python -m benchmarks.models --time-only
    python -m benchmarks.models --table-only

The rows are those of benchmarks/models.yaml, a sweep (see `sartm sweep`): finished trainings are
skipped and stopped ones go on. Accuracy is that of the dev frames. Every network is timed at the
same input size on ONNX Runtime, in turns, from uint8 images to the uint8 mask; the weights do not
matter for that, so no training has to be finished. Writes benchmarks/results/models.json and the
table and plot of docs/models.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models_page import PAGE, write_page
from benchmarks.peers import DECODERS, fuse
from sartm_core.errors import SartmError
from sartm_core.export.graph import MaskGraph
from sartm_core.export.onnx_file import INPUTS, export_onnx
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console
from sartm_core.runtime.turns import TimedModel, time_in_turns
from sartm_core.timing import percentiles
from sartm_core.training.build import build_network
from sartm_core.training.config import Config
from sartm_core.training.sweep import SweepOutcome, run_sweep
from sartm_core.training.sweep_file import Row, Sweep, load_sweep
from sartm_core.training.sweep_table import build_table

ROOT = Path(__file__).resolve().parents[1]
SWEEP = ROOT / "benchmarks" / "models.yaml"
RESULT = ROOT / "benchmarks" / "results" / "models.json"
FILES = ROOT / "out" / "bench" / "models"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--train-only", action="store_true", help="time nothing")
    part.add_argument("--time-only", action="store_true", help="train nothing")
    part.add_argument("--table-only", action="store_true", help="neither, only write the page")
    parser.add_argument("--only", help="train rows ROW,ROW,...; default all")
    parser.add_argument("--max-minutes", type=float, default=0.0, help="of training; 0 = no limit")
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime")
    parser.add_argument("--rounds", type=int, default=30, help="how often each network is timed")
    parser.add_argument("--sweep", type=Path, default=SWEEP)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--files", type=Path, default=FILES, help="folder of the ONNX files")
    options = parser.parse_args(words)
    outcome = SweepOutcome()
    try:
        sweep = load_sweep(options.sweep)
        if not (options.time_only or options.table_only):
            only = options.only.split(",") if options.only else ()
            outcome = run_sweep(sweep, only=only, max_minutes=options.max_minutes)
        result = json.loads(options.out.read_text()) if options.out.is_file() else {}
        if not (options.train_only or options.table_only or outcome.interrupted):
            result["speed"] = measure(sweep, options.files, options.threads, options.rounds)
        result |= {"rows": describe(sweep), "accuracy": build_table(sweep)}
        write_json_atomic(options.out, result)
        print(write_page(options.page, result))
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(f"written to {options.out} and {options.page}")
    return 130 if outcome.interrupted else int(bool(outcome.failed))


def describe(sweep: Sweep) -> list[dict[str, Any]]:
    """Of every row: its name, whether it is ours, from which weights it starts, and the row that it
    is set beside."""
    return [
        {
            "row": row.name,
            "ours": row.config.model.architecture not in DECODERS,
            "imagenet": row.config.model.pretrained,
            "beside": row.previous,
        }
        for row in sweep.rows
    ]


def measure(sweep: Sweep, folder: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Size, work and time of the networks of all rows.

    Rows that differ in their weights alone share one network, which is timed once.

    Returns:
        ``machine``, ``load`` (average of the last minute before the timing), ``threads``,
        ``rounds``, ``input`` [width, height] and ``networks``: row -> ``parameters``,
        ``multiply_adds`` and ``ms``: precision -> ``fastest`` and percentiles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first: dict[str, Row] = {}
    for row in sweep.rows:
        first.setdefault(_network_key(row.config), row)
    sizes: dict[str, dict[str, Any]] = {}
    models: dict[tuple[str, str], TimedModel] = {}
    for key, row in first.items():
        console.print(f"exporting {row.name}")
        model = row.config.model
        size = (model.input_height, model.input_width)
        sizes[key], files = _export(row, folder)
        for precision, file in files.items():
            ours = model.architecture not in DECODERS
            models[key, precision] = TimedModel(file, threads, size, ours=ours)
    load = os.getloadavg()[0]
    times = dict(zip(models, time_in_turns(list(models.values()), rounds), strict=True))
    networks = {}
    for row in sweep.rows:
        key = _network_key(row.config)
        taken = {
            precision: {"fastest": round(min(ms), 3), **percentiles(ms)}
            for (of, precision), ms in times.items()
            if of == key
        }
        networks[row.name] = {**sizes[key], "ms": taken}
    model = sweep.rows[0].config.model
    return {
        "machine": describe_machine(),
        "load": round(load, 1),
        "threads": threads,
        "rounds": rounds,
        "input": [model.input_width, model.input_height],
        "networks": networks,
    }


def _network_key(config: Config) -> str:
    return json.dumps({**asdict(config.model), "pretrained": None}, sort_keys=True)


def _export(row: Row, folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Parameters and multiply-adds of a row's network as it runs, and precision -> ONNX file."""
    model = row.config.model
    torch.manual_seed(0)
    network = build_network(row.config, pretrained=True).eval()
    fuse(network)
    graph = MaskGraph(network).eval()
    example = (
        torch.zeros(1, model.input_height, model.input_width, 3, dtype=torch.uint8),
        torch.zeros(1, model.input_height, model.input_width, 1, dtype=torch.uint8),
        torch.ones(1, model.input_height, model.input_width, 1, dtype=torch.uint8),
        torch.ones(1, 2),
    )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        graph(*example)
    size = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
    }
    whole, path = folder / f"{row.name}.whole.onnx", folder / f"{row.name}.onnx"
    export_onnx(graph, model.input_height, model.input_width, whole)
    # The mask alone: a confidence at the full size, where a peer has its logits, would cost it more
    # than it costs us.
    onnx.utils.extract_model(whole, path, list(INPUTS), ["mask"])
    whole.unlink()
    return size, {"fp32": path}


if __name__ == "__main__":
    sys.exit(main())
