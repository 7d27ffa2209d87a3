"""`sartm bench`: how long the model, the whole line and the node take on this machine."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from sartm_core.cli.output import emit, progress
from sartm_core.errors import SartmError
from sartm_core.machine import describe_machine
from sartm_core.timing import describe, describe_ratio, percentiles

if TYPE_CHECKING:
    from sartm_core.segmenter import Segmenter

CAMERA_SIZE = (480, 640)
WARM_UP = 5


def bench(
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped name.")],
    runtime: Annotated[str, typer.Option(help="auto, onnxruntime, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, or one the bundle has.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default all cores but one.")
    ] = None,
    frames: Annotated[int, typer.Option(min=10, help="How many frames to time.")] = 100,
    node: Annotated[bool, typer.Option("--node", help="Also time the ROS 2 node.")] = False,
    compare: Annotated[
        Path | None, typer.Option(help="Another ONNX file, timed in turns with the bundle's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure speed and memory of a bundle at 640x480.

    Example: sartm bench sartm-s --node --json
    """
    from sartm_core.segmenter import load

    with load(bundle, runtime, precision=precision, threads=threads) as segmenter:
        model_ms, end_to_end_ms = _time_segmenter(segmenter, frames)
        result: dict[str, Any] = {
            "model": segmenter.bundle.name,
            "sha256": segmenter.bundle.sha256(segmenter.runtime.precision),
            "runtime": segmenter.runtime.name,
            "precision": segmenter.runtime.precision,
            "threads": threads,
            "frames": frames,
            "camera": list(CAMERA_SIZE[::-1]),
            "input": list(segmenter.bundle.input_size[::-1]),
            "model_ms": percentiles(model_ms),
            "end_to_end_ms": percentiles(end_to_end_ms),
            "peak_memory_mib": _peak_memory_mib(),
        }
        folder = segmenter.bundle.path
        if compare is not None:
            ours = segmenter.bundle.model_path(segmenter.runtime.precision)
            size = segmenter.bundle.input_size
            result["compare"] = _compare(ours, compare, size, threads, frames)
    if node:
        result["node"] = _bench_node(folder, runtime, precision, threads, frames)
    result["machine"] = describe_machine()
    emit(result, as_json, _lines(result))


def _time_segmenter(segmenter: Segmenter, frames: int) -> tuple[list[float], list[float]]:
    """Milliseconds of the bare network and of seg(rgb, thermal), taken in turns."""
    noise = np.random.default_rng(0)
    rgb = noise.integers(0, 256, (*CAMERA_SIZE, 3), np.uint8)
    thermal = noise.integers(0, 256, CAMERA_SIZE, np.uint8)
    size = segmenter.bundle.input_size
    inputs = (
        noise.integers(0, 256, (*size, 3), np.uint8),
        noise.integers(0, 256, size, np.uint8),
        np.ones(size, np.uint8),
        np.ones(2, np.float32),
    )
    model_ms: list[float] = []
    end_to_end_ms: list[float] = []
    with progress("timing the model", WARM_UP + frames) as bar:
        for _ in range(WARM_UP + frames):
            start = time.perf_counter()
            segmenter.runtime.infer(*inputs)
            inferred = time.perf_counter()
            segmenter(rgb, thermal)
            end_to_end_ms.append(1e3 * (time.perf_counter() - inferred))
            model_ms.append(1e3 * (inferred - start))
            bar.advance()
    return model_ms[WARM_UP:], end_to_end_ms[WARM_UP:]


def _compare(
    ours: Path, other: Path, size: tuple[int, int], threads: int | None, frames: int
) -> dict[str, Any]:
    """Median times of two ONNX files, run in turns; and their fastest runs, which on a busy machine
    tell more of the files than of its other programs."""
    from sartm_core.runtime import default_threads
    from sartm_core.runtime.turns import COUNTED, TimedModel, time_in_turns

    count = threads or default_threads()
    models = [
        TimedModel(ours, count, size, ours=True),
        TimedModel(other, count, size),
    ]
    times = time_in_turns(models, -(-frames // COUNTED))
    bundle_ms, other_ms = (float(np.median(taken)) for taken in times)
    bundle_fastest, other_fastest = (min(taken) for taken in times)
    return {
        "other": str(other),
        "other_inputs": {name: list(value.shape) for name, value in models[1].feed.items()},
        "threads": count,
        "bundle_ms": round(bundle_ms, 3),
        "other_ms": round(other_ms, 3),
        "ratio": round(bundle_ms / other_ms, 4),
        "fastest": {
            "bundle_ms": round(bundle_fastest, 3),
            "other_ms": round(other_fastest, 3),
            "ratio": round(bundle_fastest / other_fastest, 4),
        },
    }


def _bench_node(
    folder: Path, runtime: str, precision: str, threads: int | None, frames: int
) -> dict[str, Any]:
    """The result of `python -m sartm_ros.node_bench`; only its process imports ROS."""
    command = [sys.executable, "-m", "sartm_ros.node_bench", str(folder)]
    command += ["--runtime", runtime, "--precision", precision, "--frames", str(frames)]
    command += ["--threads", str(threads)] if threads else []
    packages = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, packages))}
    with progress("timing the node"):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        *_, last = ["", *done.stderr.splitlines()]
        raise SartmError(
            "the node could not be timed",
            got=last.removeprefix("error: ") or f"exit code {done.returncode}",
            remedy="`sartm doctor` says whether ROS works here",
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _peak_memory_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['model']}  {result['runtime']} {result['precision']}  "
        f"input {result['input'][0]}x{result['input'][1]}  on {result['machine']['cpu']}",
        f"model        {describe(result['model_ms'])}",
        f"end to end   {describe(result['end_to_end_ms'])}",
        f"peak memory  {result['peak_memory_mib']:.0f} MiB",
    ]
    if "node" in result:
        node = result["node"]
        lines += [
            f"node, own time without the model        p50 {node['internal_ms']['p50']:.1f} ms",
            "publish to mask - model - echo node     "
            f"p50 {node['publish_to_mask_minus_model_minus_echo_ms']['p50']:.1f} ms",
        ]
    if "compare" in result:
        pair = result["compare"]
        inputs = ", ".join(
            f"{name} {'x'.join(map(str, shape))}" for name, shape in pair["other_inputs"].items()
        )
        lines.append(
            f"compare      {pair['other']} with {inputs}; in turns, {pair['threads']} threads"
        )
        lines += [
            f"{name:13}{each['bundle_ms']:.1f} ms against {each['other_ms']:.1f} ms: "
            f"ratio {describe_ratio(each['bundle_ms'], each['other_ms'])}"
            for name, each in (("  medians", pair), ("  fastest", pair["fastest"]))
        ]
    return lines
