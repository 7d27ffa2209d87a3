"""Do the masks of other precisions agree with those of fp32, and what does each cost?

    python -m benchmarks.precisions --data folder:PATH --data folder:OTHER --split train

Writes a bundle's fp16, int8 and int8cpu files into a temporary folder, with INT8 ranges from 32 of
the frames, and compares masks on 24 others, on ONNX Runtime.
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

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.data.datasets import open_dataset
from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.export.precisions import add_precisions, calibration_feeds
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console, progress
from sartm_core.runtime.onnxruntime import OnnxRuntime
from sartm_core.runtime.verify import mean_iou
from sartm_core.segmenter import Segmenter

RESULT = Path(__file__).parent / "results" / "precisions.json"
PRECISIONS = ("fp16", "int8", "int8cpu")
FRAMES = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="sartm-s")
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--split")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    sources = [(name, options.split) for name in options.data]
    try:
        with tempfile.TemporaryDirectory() as folder:
            fp32 = load_bundle(options.model)
            feeds = calibration_feeds(sources, fp32.input_size)
            bundle = add_precisions(fp32, PRECISIONS, Path(folder), feeds)
            result = measure(bundle, others(sources), options.threads)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    result |= {
        "model": options.model,
        "data": [Path(name.partition(":")[2]).name for name in options.data],
        "split": options.split,
        "machine": describe_machine(),
    }
    write_json_atomic(options.out, result)
    print(json.dumps(result["rows"]))
    console.print(f"written to {options.out}")
    return 0


def others(sources: list[tuple[str, str | None]]) -> list[Sample]:
    """Frames between those that the ranges are measured on."""
    samples = []
    for name, split in sources:
        dataset = open_dataset(name, split)
        step = max(2, len(sources) * len(dataset.stems) // FRAMES)
        samples += [dataset.read(stem) for stem in dataset.stems[1::step]]
    return samples


def measure(bundle: Bundle, samples: list[Sample], threads: int) -> dict[str, Any]:
    """Agreement with fp32, and milliseconds, of each file."""
    reference, base = masks(bundle, "fp32", samples, threads)
    rows = [{"precision": "fp32", "ms": base}]
    for precision in PRECISIONS:
        found, ms = masks(bundle, precision, samples, threads)
        counts = np.sum(
            [
                confusion(expected, mask, len(bundle.classes))
                for expected, mask in zip(reference, found, strict=True)
            ],
            axis=0,
        )
        rows.append(
            {
                "precision": precision,
                "agreement": round(mean_iou(counts), 4),
                "pixels": round(float(np.trace(counts) / counts.sum()), 4),
                "ms": ms,
            }
        )
    return {"frames": len(samples), "threads": threads, "rows": rows}


def masks(
    bundle: Bundle, precision: str, samples: list[Sample], threads: int
) -> tuple[list[np.ndarray], float]:
    """All masks, and the median milliseconds of the network."""
    runtime = OnnxRuntime(bundle, precision=precision, threads=threads)
    found, spent = [], []
    with Segmenter(bundle, runtime) as segment, progress(precision, len(samples)) as bar:
        segment.warm_up()
        for sample in samples:
            start = time.perf_counter()
            found.append(segment(sample.rgb, sample.thermal, sample.thermal_valid).mask)
            spent.append(1e3 * (time.perf_counter() - start))
            bar.advance()
    return found, round(float(np.median(spent)), 1)


if __name__ == "__main__":
    sys.exit(main())
