"""Sections of the report beyond the confusion matrix: corruptions, objects, confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sartm_core.evaluation.corruptions import CORRUPTIONS, STRENGTHS
from sartm_core.evaluation.object_size import SIZES
from sartm_core.evaluation.verdict import percent

Metrics = Mapping[str, Any]


def details(metrics: Metrics) -> dict[str, Any]:
    """What the template needs; a section without data is None."""
    return {
        "boundary": _boundary(metrics),
        "corruptions": _corruptions(metrics),
        "object_size": _object_size(metrics),
        "calibration": _calibration(metrics),
        "worst_frames": metrics.get("worst_frames"),
    }


def spoken(name: str) -> str:
    """The name of a corruption for people."""
    return name.replace("_", " ")


def _boundary(metrics: Metrics) -> str | None:
    section = metrics.get("boundary")
    return (
        f"pixels within {100 * section['distance']:g} % of the image's diagonal"
        if section
        else None
    )


def _corruptions(metrics: Metrics) -> dict[str, Any] | None:
    section = metrics.get("corruptions")
    if not section:
        return None
    rows = []
    for name, row in section.items():
        kind = CORRUPTIONS.get(name)
        cells = []
        for index, strength in enumerate(STRENGTHS):
            level = f"{kind.levels[index]:g} {kind.level}" if kind else ""
            cells.append({**row[str(strength)], "title": level})
        cameras = " + ".join(kind.cameras).replace("rgb", "RGB") if kind else ""
        rows.append({"name": spoken(name), "cameras": cameras, "cells": cells, "mean": row["mean"]})
    return {"strengths": STRENGTHS, "rows": rows}


def _object_size(metrics: Metrics) -> dict[str, Any] | None:
    section = metrics.get("object_size")
    if not section or not any(size["all"]["objects"] for size in section["sizes"].values()):
        return None
    limits = [round(limit**0.5) for limit in section["limits"]]
    ranges = [f"below {limits[0]}²", *(f"to {limit}²" for limit in limits[1:]), "above"]
    sizes = [section["sizes"][size] for size in SIZES]
    names = dict.fromkeys(name for size in sizes for name in size["classes"])
    # In the order of the classes, not of the sizes in which they turn up.
    order = [info["name"] for info in metrics["classes"] if info["name"] in names]
    rows = [{"name": "all", "cells": [size["all"] for size in sizes]}]
    rows += [
        {"name": name, "cells": [size["classes"].get(name) for size in sizes]} for name in order
    ]
    height, width = section["reference"]
    return {
        "columns": list(zip(SIZES, ranges, strict=True)),
        "rows": rows,
        "reference": f"{width}x{height}",
    }


def _calibration(metrics: Metrics) -> dict[str, Any] | None:
    """Points of the reliability diagram, x and y from 0 to 1."""
    section = metrics.get("calibration")
    if not section or section.get("ece") is None:
        return None
    gap = section["gap"]
    manner = "too sure" if gap > 0 else "not sure enough"
    return {
        "ece": f"{section['ece']:.3f}",
        "gap": f"{abs(gap):.3f}",
        "manner": manner,
        "pixels": section["pixels"],
        "points": [
            {
                "x": row["confidence"],
                "y": row["accuracy"],
                "title": f"confidence {row['confidence']:.2f}: {percent(row['accuracy'])} right",
            }
            for row in section["bins"]
        ],
    }
