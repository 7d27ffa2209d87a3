"""How well `sartm calibrate --refine` finds known warps of real pairs, and what it does to pairs
that no homography can register.

    python -m benchmarks.refinement [--warps 20]

The train lists' pairs are registered up to a few pixels. That error cannot be told from the warp,
so what refinement makes of the pairs as they are is found first and two errors are given: against
the pairs as they came, and against the pairs as refined.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sartm_core.calibration.fit import stretched, transform
from sartm_core.calibration.local_shift import Cells, local_shifts
from sartm_core.calibration.refine import GRID, EdgeFrames, refine
from sartm_core.data.alignment import MIN_FRAMES, edge_strength
from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.data.images import list_images, read_rgb, read_thermal
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.frames import Image
from sartm_core.machine import describe_machine, git_revision
from sartm_core.registration import Homography, Matrix, Points
from sartm_core.thermal import normalise

RESULT = Path(__file__).parent / "results" / "refinement.json"
SETS = ("mfnet_subset", "msrs_subset")
FRAMES = 40
SIZE = (640, 480)
SHIFT, SCALE, DEGREES, PERSPECTIVE = 16.0, 0.05, 2.0, 4.0
"""Largest shift (pixels), change of scale, rotation, and move of each corner (pixels) of a warp."""

Pair = tuple[Image, Image]


def random_warp(rng: np.random.Generator) -> Matrix:
    """3x3: RGB pixels to those of a thermal camera that is off."""
    width, height = SIZE
    middle = np.array([width - 1, height - 1]) / 2
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    angle = np.radians(rng.uniform(-DEGREES, DEGREES))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - middle) @ turn.T * (1 + rng.uniform(-SCALE, SCALE)) + middle
    moved += rng.uniform(-SHIFT, SHIFT, 2) + rng.uniform(-PERSPECTIVE, PERSPECTIVE, (4, 2))
    return cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))


def grid() -> Points:
    """[192,2] places in the RGB image, 20 pixels from its border and further in."""
    x, y = np.meshgrid(np.linspace(20, 619, 16), np.linspace(20, 459, 12))
    return np.column_stack([x.ravel(), y.ravel()])


def errors(found: Matrix, truth: Matrix) -> dict[str, float]:
    """By how many pixels ``found`` (thermal to RGB) misses the inverse of ``truth``."""
    lengths = np.linalg.norm(transform(found @ truth, grid()) - grid(), axis=1)
    return {"median": round(float(np.median(lengths)), 2), "max": round(float(lengths.max()), 2)}


def refined(pairs: Sequence[Pair]) -> tuple[Matrix, dict[str, Any]]:
    """Thermal to RGB, and the local shifts that the command reports, before and after."""
    frames = EdgeFrames.of(iter(pairs))
    fit = refine(frames, stretched(frames.rgb_size, frames.thermal_size))
    assert isinstance(fit.registration.model, Homography)
    shifts = fit.facts["local_shift_px"]
    local = {name: round(shifts[name].get("median", np.nan), 2) for name in ("before", "after")}
    return fit.registration.model.matrix, local


def warp_rows(root: Path, count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row per warp, and what refinement makes of the pairs as they came."""
    sets = {name: open_dataset(f"folder:{root / name}", "train") for name in SETS}
    rng = np.random.default_rng(0)
    rows, own = [], {}
    for number in range(count):
        name = SETS[number % len(SETS)]
        stems = sets[name].stems
        chosen = np.linspace(0, len(stems) - 1, FRAMES).round().astype(int)
        samples = [sets[name].read(stems[i]) for i in chosen]
        pairs = [(s.rgb, normalise(s.thermal)) for s in samples]
        if name not in own:
            matrix, local = refined(pairs)
            own[name] = {
                "matrix": matrix.tolist(),
                "moved": errors(matrix, np.eye(3)),
                "local": local,
            }
        as_refined = np.linalg.inv(np.array(own[name]["matrix"]))
        truth = random_warp(rng)
        warped = [
            (rgb, np.asarray(cv2.warpPerspective(thermal, truth, SIZE), np.uint8))
            for rgb, thermal in pairs
        ]
        started = time.monotonic()
        matrix, local = refined(warped)
        rows.append(
            {
                "set": name,
                "before": errors(np.eye(3), truth),
                "after": errors(matrix, truth),
                # The warp came after the pairs' own error: RGB -> thermal as it came -> warped.
                "after_own_error_taken_out": errors(matrix, truth @ as_refined),
                "local": local,
                "seconds": round(time.monotonic() - started, 1),
            }
        )
        row = rows[-1]
        print(
            f"{number:2} {name:12} before {row['before']['median']:5.1f} "
            f"after {row['after']['median']:5.1f} (max {row['after']['max']:5.1f}); own error "
            f"taken out {row['after_own_error_taken_out']['median']:5.1f}; local shifts "
            f"{local['before']:5.1f} -> {local['after']:5.1f}; {row['seconds']:.0f} s",
            flush=True,
        )
    return rows, own


def against(good: Image, thermal: Image, matrix: Matrix) -> float:
    """Median local shift of one registered thermal image against its aligned original, pixels."""
    moved = np.asarray(cv2.warpPerspective(thermal, matrix, SIZE), np.uint8)
    cells = Cells.spread(SIZE, (SIZE[0] // GRID, SIZE[1] // GRID), GRID, GRID)
    shifts = local_shifts([edge_strength(good)], [edge_strength(moved)], cells, reach=60)
    return round(float(np.median(np.hypot(*shifts.shifts.T))), 2)


def misaligned(root: Path) -> dict[str, Any]:
    """The pairs that are bent, not moved: too few for the command, so each is taken twice."""
    folder = root / "misaligned"
    files = {kind: list_images(folder / kind) for kind in ("vi", "ir", "ir_warp")}
    results: dict[str, Any] = {"pairs": len(files["vi"])}
    repeats = -(-MIN_FRAMES // len(files["vi"]))
    for kind in ("ir", "ir_warp"):
        pairs = [
            (read_rgb(files["vi"][stem]), normalise(read_thermal(files[kind][stem])))
            for stem in files["vi"]
        ] * repeats
        try:
            matrix, local = refined(pairs)
            results[kind] = {"moved": errors(matrix, np.eye(3)), "local": local}
            if kind == "ir_warp":
                aligned = [normalise(read_thermal(files["ir"][stem])) for stem in files["vi"]]
                results["per_pair_against_ir"] = [
                    {
                        "before": against(good, thermal, np.eye(3)),
                        "after": against(good, thermal, matrix),
                    }
                    for good, (_, thermal) in zip(aligned, pairs, strict=False)
                ]
        except SartmError as error:
            results[kind] = {"refused": str(error)}
        print("misaligned", kind, results[kind], flush=True)
    print("misaligned, per pair:", results.get("per_pair_against_ir"), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--warps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    root = sample_data_root()
    if root is None:
        raise SartmError("no real frames found", remedy="export SARTM_DATA=FOLDER")
    bent = misaligned(root)
    rows, own = warp_rows(root, options.warps)
    ratios = [row["after"]["median"] / row["before"]["median"] for row in rows]
    keys = ("before", "after", "after_own_error_taken_out")
    summary = {key: float(np.median([row[key]["median"] for row in rows])) for key in keys}
    for key in ("before", "after"):
        summary[f"local_{key}"] = float(np.median([row["local"][key] for row in rows]))
    summary["median_ratio"] = round(float(np.median(ratios)), 3)
    summary["worst_ratio"] = round(float(max(ratios)), 3)
    print(summary)
    write_json_atomic(
        options.out,
        {
            "what": "pixels of 640x480; errors on a grid of 16x12 places; local: what the command "
            "reports",
            "frames": FRAMES,
            "warp": {"shift": SHIFT, "scale": SCALE, "degrees": DEGREES, "corners": PERSPECTIVE},
            "as_they_came": {name: {k: v for k, v in entry.items() if k != "matrix"}
                             for name, entry in own.items()},
            "warps": rows,
            "summary": summary,
            "misaligned": bent,
            "git_rev": git_revision(),
            "machine": describe_machine(),
        },
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except SartmError as error:
        sys.exit(f"error: {error}")
