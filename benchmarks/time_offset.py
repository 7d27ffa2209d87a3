"""How well the clock offset between two cameras is found from motion, and what watching costs.

    python -m benchmarks.time_offset [--runs 40]

Real RGB-thermal frames (the train list of mfnet_subset) are looked at by two shaking cameras, whose
thermal stamps are behind by an offset drawn from the run's seed, between -0.45 and 0.45 s. Fails if
an interval that should hold the offset in 95 of 100 runs does so in fewer than 90, or if an offset
is claimed where the two cameras do not move together.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.data.sample import Dataset
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.freeze import FreezeDetector
from sartm_core.machine import describe_machine
from sartm_core.time_offset import TimeOffsetEstimator
from tests.shaky_camera import ShakyCamera, feed

RESULT = Path(__file__).parent / "results" / "time_offset.json"
SECONDS = 15.0
WORLD = (320, 240)
# Name, standard deviation of the path in pixels of 96, rates, frames by day or night.
CASES = (
    ("by day", 6.0, (30.0, 9.0), "D"),
    ("by night", 6.0, (30.0, 9.0), "N"),
    ("hardly any shaking", 0.3, (30.0, 9.0), "D"),
    ("both at 10 Hz", 6.0, (10.0, 10.0), "D"),
    ("thermal faster", 6.0, (10.0, 30.0), "D"),
)
DROP = 0.03


def camera(dataset: Dataset, kind: str, seed: int, shake: float) -> ShakyCamera:
    stems = [stem for stem in dataset.stems if stem.endswith(kind)]
    sample = dataset.read(stems[seed % len(stems)])
    grey = sample.rgb[..., 1]
    pictures = [cv2.resize(p, WORLD, interpolation=cv2.INTER_AREA) for p in (grey, sample.thermal)]
    rgb, thermal = (np.asarray(picture, np.float32) for picture in pictures)
    return ShakyCamera(seed, shake=shake, world=(rgb, thermal))


def accuracy(
    dataset: Dataset, shake: float, rates: tuple[float, float], kind: str, runs: int
) -> dict[str, Any]:
    errors, inside, halves = [], 0, []
    for seed in range(runs):
        offset = float(np.random.default_rng(seed).uniform(-0.45, 0.45))
        estimator = TimeOffsetEstimator()
        shaking = camera(dataset, kind, seed, shake)
        feed(
            estimator, shaking, shaking, offset_s=offset, rates=rates, seconds=SECONDS, drop=DROP
        )  # fmt: skip
        found = estimator.estimate()
        if found is not None:
            errors.append(1e3 * (found.offset_s - offset))
            inside += found.low_s <= offset <= found.high_s
            halves.append(500 * (found.high_s - found.low_s))
    return {
        "runs": runs,
        "answered": len(errors),
        "in_interval": inside,
        "rms_ms": round(float(np.sqrt(np.mean(np.square(errors)))), 2) if errors else None,
        "largest_ms": round(float(np.abs(errors).max()), 2) if errors else None,
        "half_interval_ms": round(float(np.mean(halves)), 1) if halves else None,
    }


def false_claims(dataset: Dataset, runs: int) -> int:
    """Offsets claimed for cameras on two robots."""
    claims = 0
    for seed in range(runs):
        estimator = TimeOffsetEstimator()
        rgb, thermal = (camera(dataset, "D", number, 6.0) for number in (seed, seed + 1000))
        feed(estimator, rgb, thermal, seconds=SECONDS)
        claims += estimator.estimate() is not None
    return claims


def cost_ms(call: Callable[[], object], repeats: int = 50) -> float:
    """CPU time of a call, the median."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - start))
    return round(float(np.median(times)), 3)


def costs() -> dict[str, float]:
    rng = np.random.default_rng(0)
    result = {}
    for name, shape, kind in (
        ("640x480 uint16", (480, 640), np.uint16),
        ("1920x1080 rgb8", (1080, 1920, 3), np.uint8),
    ):
        one, other = (rng.integers(0, 250, shape).astype(kind) for _ in range(2))
        for what, images in (("new", (one, other)), ("repeated", (one, one.copy()))):
            detector, count = FreezeDetector(), iter(range(10**9))
            result[f"freeze, {name}, {what}"] = cost_ms(
                lambda d=detector, c=count, i=images: d.add(i[(n := next(c)) % 2], n)
            )
        estimator, count = TimeOffsetEstimator(), iter(range(10**9))
        result[f"time offset, {name}"] = cost_ms(
            lambda e=estimator, c=count, i=(one, other): e.add_rgb(
                i[(n := next(c)) % 2], 33_000_000 * n
            )
        )
    estimator, shaking = TimeOffsetEstimator(), ShakyCamera(0)
    feed(estimator, shaking, shaking, seconds=55)
    result["time offset, estimate of 55 s"] = cost_ms(estimator.estimate)
    return result


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    runs = parser.parse_args(words).runs
    root = sample_data_root()
    if root is None:
        raise SartmError("no real frames found", remedy="export SARTM_DATA=FOLDER")
    dataset = open_dataset(f"folder:{root / 'mfnet_subset'}", "train")
    rows = {}
    for name, shake, rates, kind in CASES:
        rows[name] = accuracy(dataset, shake, rates, kind, runs)
        print(f"{name:20}", ", ".join(f"{key} {value}" for key, value in rows[name].items()))
    claims = false_claims(dataset, runs)
    print(f"{'two robots':20} runs {runs}, answered {claims}")
    spent = costs()
    for name, value in spent.items():
        print(f"{name:32} {value:.3f} ms")
    write_json_atomic(
        RESULT,
        {
            "accuracy": rows,
            "two_robots": {"runs": runs, "answered": claims},
            "cpu_ms": spent,
            "machine": describe_machine(),
        },
    )
    answered = sum(row["answered"] for row in rows.values())
    inside = sum(row["in_interval"] for row in rows.values())
    return int(claims > 0 or inside < 0.9 * answered)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SartmError as error:
        sys.exit(f"error: {error}")
