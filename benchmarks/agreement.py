"""Do the masks of all runtimes and precisions agree with those of ONNX Runtime's fp32?

    python -m benchmarks.agreement BUNDLE --data folder:PATH --data folder:OTHER --split val

Every runtime that works on this machine segments every frame in each of the bundle's precisions.
Labels play no part: what is compared are masks. `sartm export BUNDLE --precision ... --out OTHER`
gives a bundle more precisions, `--weights` what the torch runtime needs.

Writes results/agreement.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runtimes import REFERENCE, precisions
from sartm_core.bundle import Bundle, load_bundle
from sartm_core.data.datasets import open_dataset
from sartm_core.data.sample import Dataset
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.files import write_json_atomic
from sartm_core.frames import Image
from sartm_core.machine import describe_machine
from sartm_core.progress import console, progress
from sartm_core.runtime import RUNTIMES, Runtime, create_runtime, default_threads
from sartm_core.runtime.verify import class_iou, mean_iou
from sartm_core.segmenter import Segmenter

RESULT = Path(__file__).parent / "results" / "agreement.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", nargs="?", default="sartm-s", help="folder or shipped name")
    parser.add_argument("--data", action="append", required=True, metavar="KIND:PATH")
    parser.add_argument("--split", help="a NAME.txt list of those frames; default all")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    try:
        bundle = load_bundle(options.bundle)
        sets = [open_dataset(name, options.split) for name in options.data]
        result = measure(bundle, sets, options.threads)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_json_atomic(options.out, result | {"split": options.split})
    for row in result["rows"]:
        name = f"{row['dataset']}: {row['runtime']} {row['precision']}"
        console.print(f"{name}: mean IoU {row['agreement']:.4f}, equal pixels {row['pixels']:.4f}")
    console.print(f"written to {options.out}")
    return 0


def measure(bundle: Bundle, sets: list[Dataset], threads: int) -> dict[str, Any]:
    """Agreement of each runtime and precision on each data set, and why others do not run."""
    runtimes: list[Runtime] = []
    missing: dict[str, str] = {}
    for name in RUNTIMES:
        for precision in precisions(bundle):
            try:
                runtimes.append(create_runtime(name, bundle, precision=precision, threads=threads))
            except SartmError as error:
                missing[f"{name} {precision}"] = str(error)
    segmenters = {(each.name, each.precision): Segmenter(bundle, each) for each in runtimes}
    rows = []
    with progress("comparing", len(runtimes) * sum(len(each.stems) for each in sets)) as bar:
        for dataset in sets:
            masks: dict[tuple[str, str], list[Image]] = {key: [] for key in segmenters}
            for stem in dataset.stems:
                frame = dataset.read(stem)
                for key, segment in segmenters.items():
                    masks[key].append(segment(frame.rgb, frame.thermal, frame.thermal_valid).mask)
                    bar.advance()
            reference = masks.pop(REFERENCE)
            rows += [
                {"dataset": dataset.name, "frames": len(found), "runtime": name}
                | {"precision": precision}
                | compare(bundle, reference, found)
                for (name, precision), found in masks.items()
            ]
    for runtime in runtimes:
        runtime.close()
    return {
        "model": bundle.name,
        "sha256": bundle.sha256(),
        "rows": rows,
        "missing": missing,
        "machine": describe_machine(),
    }


def compare(bundle: Bundle, reference: list[Image], found: list[Image]) -> dict[str, Any]:
    """Mean IoU over the classes in either list of masks, that of each class, equal pixels."""
    size = len(bundle.classes)
    pairs = zip(reference, found, strict=True)
    counts = np.sum([confusion(*pair, size) for pair in pairs], axis=0)
    names = [info.name for info in bundle.classes.classes]
    return {
        "agreement": round(mean_iou(counts), 5),
        "pixels": round(float(np.trace(counts) / counts.sum()), 5),
        "classes": {
            name: round(float(value), 4)
            for name, value in zip(names, class_iou(counts), strict=True)
            if not np.isnan(value)
        },
    }


if __name__ == "__main__":
    sys.exit(main())
