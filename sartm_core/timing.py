"""Durations, summed up the same way everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (50, 95, 99)


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 of durations in milliseconds; empty if there are none."""
    if not milliseconds:
        return {}
    values = np.percentile(milliseconds, PERCENTILES)
    return {f"p{p}": round(float(v), 3) for p, v in zip(PERCENTILES, values, strict=True)}


def describe(summary: dict[str, float]) -> str:
    """A summary of :func:`percentiles` for a person to read."""
    if not summary:
        return "n/a"
    return "  ".join(f"{name} {value:.1f}" for name, value in summary.items()) + " ms"
