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

from sartm_core.cli.camera_size import parse_camera_size
from sartm_core.cli.output import RUNTIME_HELP, emit, progress
from sartm_core.errors import SartmError
from sartm_core.machine import describe_machine
from sartm_core.timing import describe, describe_ratio, percentiles

if TYPE_CHECKING:
    from sartm_core.segmenter import Segmenter

WARM_UP = 5


def bench(
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped name.")],
    runtime: Annotated[str, typer.Option(help=RUNTIME_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, or one the bundle has.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default all cores but one.")
    ] = None,
    frames: Annotated[int, typer.Option(min=10, help="How many frames to time.")] = 100,
    node: Annotated[bool, typer.Option("--node", help="Also time the ROS 2 node.")] = False,
    camera: Annotated[str, typer.Option(help="Size of both cameras' images.")] = "640x480",
    compare: Annotated[
        Path | None, typer.Option(help="Another ONNX file, timed in turns with the bundle's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure speed and memory of a bundle.

    Example: sartm bench sartm-s --node --json
    """
    from sartm_core.segmenter import load

    width, height = parse_camera_size(camera)
    with load(bundle, runtime, precision=precision, threads=threads) as segmenter:
        model_ms, end_to_end_ms, stages_ms = _time_segmenter(segmenter, (height, width), frames)
        result: dict[str, Any] = {
            "model": segmenter.bundle.name,
            "sha256": segmenter.bundle.sha256(segmenter.runtime.precision),
            "runtime": segmenter.runtime.name,
            "device": segmenter.runtime.device,
            "precision": segmenter.runtime.precision,
            "threads": threads,
            "frames": frames,
            "camera": [width, height],
            "input": list(segmenter.bundle.input_size[::-1]),
            "model_ms": percentiles(model_ms),
            "end_to_end_ms": percentiles(end_to_end_ms),
            "stages_ms": {stage: percentiles(taken) for stage, taken in stages_ms.items()},
            "frames_per_s": round(1e3 * frames / sum(end_to_end_ms), 2),
            "peak_memory_mib": _peak_memory_mib(),
        }
        folder = segmenter.bundle.path
        if compare is not None:
            ours = segmenter.bundle.model_path(segmenter.runtime.precision)
            size = segmenter.bundle.input_size
            result["compare"] = _compare(ours, compare, size, threads, frames)
    if node:
        result["node"] = _bench_node(folder, runtime, precision, threads, (width, height), frames)
    result["machine"] = describe_machine()
    emit(result, as_json, _lines(result))


def _time_segmenter(
    segmenter: Segmenter, camera: tuple[int, int], frames: int
) -> tuple[list[float], list[float], dict[str, list[float]]]:
    """Milliseconds of the bare network and of seg(rgb, thermal), taken in turns; and those of its
    stages. ``camera`` is (height, width)."""
    noise = np.random.default_rng(0)
    rgb = noise.integers(0, 256, (*camera, 3), np.uint8)
    thermal = noise.integers(0, 256, camera, np.uint8)
    size = segmenter.bundle.input_size
    inputs = (
        noise.integers(0, 256, (*segmenter.bundle.rgb_size, 3), np.uint8),
        noise.integers(0, 256, size, np.uint8),
        np.ones(size, np.uint8),
        np.ones(2, np.float32),
    )
    model_ms: list[float] = []
    end_to_end_ms: list[float] = []
    stages_ms: dict[str, list[float]] = {stage: [] for stage in ("pre", "infer", "post")}
    with progress("timing the model", WARM_UP + frames) as bar:
        for turn in range(WARM_UP + frames):
            start = time.perf_counter()
            segmenter.runtime.infer(*inputs)
            inferred = time.perf_counter()
            result = segmenter(rgb, thermal)
            done = time.perf_counter()
            if turn >= WARM_UP:
                model_ms.append(1e3 * (inferred - start))
                end_to_end_ms.append(1e3 * (done - inferred))
                for stage, taken in stages_ms.items():
                    taken.append(result.timings[stage])
            bar.advance()
    return model_ms, end_to_end_ms, stages_ms


def _compare(
    ours: Path, other: Path, size: tuple[int, int], threads: int | None, frames: int
) -> dict[str, Any]:
    """Median times of two ONNX files on ONNX Runtime's CPU, run in turns, and how sure their ratio
    is; and their fastest runs, which on a busy machine tell more of the files than of its other
    programs."""
    from sartm_core.evaluation.bootstrap import LEVEL
    from sartm_core.runtime import default_threads
    from sartm_core.runtime.turns import COUNTED, TimedModel, ratio_interval, time_in_turns

    count = threads or default_threads()
    models = [
        TimedModel(ours, count, size, ours=True),
        TimedModel(other, count, size),
    ]
    rounds = -(-frames // COUNTED)
    times = time_in_turns(models, rounds)
    interval = ratio_interval(*times)
    bundle_ms, other_ms = (float(np.median(taken)) for taken in times)
    bundle_fastest, other_fastest = (min(taken) for taken in times)
    return {
        "other": str(other),
        "other_inputs": {name: list(value.shape) for name, value in models[1].feed.items()},
        "threads": count,
        "bundle_ms": round(bundle_ms, 3),
        "other_ms": round(other_ms, 3),
        "ratio": round(bundle_ms / other_ms, 4),
        "interval": None
        if interval is None
        else {
            "low": round(interval[0], 4),
            "high": round(interval[1], 4),
            "level": LEVEL,
            "rounds": rounds,
        },
        "fastest": {
            "bundle_ms": round(bundle_fastest, 3),
            "other_ms": round(other_fastest, 3),
            "ratio": round(bundle_fastest / other_fastest, 4),
        },
    }


def _bench_node(
    folder: Path,
    runtime: str,
    precision: str,
    threads: int | None,
    camera: tuple[int, int],
    frames: int,
) -> dict[str, Any]:
    """The result of `python -m sartm_ros.node_bench`; only its process imports ROS."""
    command = [sys.executable, "-m", "sartm_ros.node_bench", str(folder)]
    command += ["--runtime", runtime, "--precision", precision, "--frames", str(frames)]
    command += ["--threads", str(threads)] if threads else []
    command += ["--camera", *map(str, camera)]
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
        f"input {result['input'][0]}x{result['input'][1]}  on {result['device']}",
        f"model        {describe(result['model_ms'])}",
        f"end to end   {describe(result['end_to_end_ms'])}",
        "stages       "
        + ", ".join(f"{stage} {ms['p50']:.1f}" for stage, ms in result["stages_ms"].items())
        + " ms (p50)",
        f"throughput   {result['frames_per_s']:.1f} frames/s, one after the other",
        f"peak memory  {result['peak_memory_mib']:.0f} MiB",
        f"machine      {_machine(result['machine'])}",
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
            f"ratio {describe_ratio(each['bundle_ms'], each['other_ms'])}{_sure(each)}"
            for name, each in (("  medians", pair), ("  fastest", pair["fastest"]))
        ]
    return lines


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {versions}"


def _sure(pair: dict[str, Any]) -> str:
    """The interval of a ratio, where there is one."""
    if not (interval := pair.get("interval")):
        return ""
    return f"; {interval['level']:.0%} interval {interval['low']:.3f} to {interval['high']:.3f}"
