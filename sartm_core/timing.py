"""Durations, summed up the same way everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PERCENTILES = (50, 95, 99)


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 of durations in milliseconds; empty if there are none."""
    if not milliseconds:
        return {}
    values = np.percentile(milliseconds, PERCENTILES)
    return {f"p{p}": round(float(v), 3) for p, v in zip(PERCENTILES, values, strict=True)}


def describe(summary: Mapping[str, Any]) -> str:
    """A summary of :func:`percentiles` for a person to read."""
    values = [f"p{p} {summary[f'p{p}']:.1f}" for p in PERCENTILES if f"p{p}" in summary]
    return "  ".join(values) + " ms" if values else "n/a"


def describe_ratio(ours: float, theirs: float) -> str:
    """What part of their time ours is, such as ``0.150, or 1/6.67``; above it the factor."""
    ratio = ours / theirs
    return f"{ratio:.3f}, or 1/{1 / ratio:.2f}" if ratio < 1 else f"{ratio:.3g}"
