"""metrics.json to the tables, bars and sentences of the report; the template only lays them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sartm_core.evaluation.protocols import PROTOCOLS
from sartm_core.evaluation.report_details import details
from sartm_core.evaluation.verdict import headline_protocol, milliseconds, percent, verdict
from sartm_core.viz import display_color

Metrics = Mapping[str, Any]

_SHUFFLED = "RGB + another frame's thermal"
_LATENCY = "image to mask"
_MEAN = "Mean over the cameras"
_CONDITIONS = {"rgb+thermal": "RGB + thermal", "rgb": "RGB only", "thermal": "Thermal only"}
_WORDS = {"in_flight": "in flight", "lost_in_transport": "lost in transport"}


def sections(metrics: Metrics) -> dict[str, Any]:
    """What the template needs; a section without data is empty or None."""
    return {
        "title": _title(metrics),
        "subtitle": _subtitle(metrics),
        "verdict": verdict(metrics),
        "tiles": list(_tiles(metrics)),
        "classes": _classes(metrics),
        "protocols": _protocols(metrics),
        "conditions": _conditions(metrics),
        "confusion": _confusion(metrics),
        "timing": _timing(metrics),
        "accounts": list(_accounts(metrics)),
        "provenance": list(_flat(metrics.get("provenance", {}))),
        "headline": headline_protocol(metrics),
        **details(metrics),
    }


def _title(metrics: Metrics) -> str:
    return str(metrics.get("model") or "masks")


def _subtitle(metrics: Metrics) -> str:
    parts = [str(metrics.get("dataset", "")), str(metrics.get("split") or "")]
    frames = metrics.get("frames")
    place = " / ".join(part for part in parts if part)
    words = [place, f"{frames} frames" if frames is not None else ""]
    words.append(_CONDITIONS.get(metrics.get("modality", ""), ""))
    return ", ".join(word for word in words if word)


def _tiles(metrics: Metrics) -> Iterator[dict[str, str]]:
    headline = headline_protocol(metrics)
    if headline:
        score = metrics["protocols"][headline]
        note = f"{headline}, {score['present']} of {len(score['iou'])} classes present"
        sure = metrics.get("interval", {})
        if sure.get("low") is not None:
            note = f"{sure['low']:.2f} to {sure['high']:.2f} at {percent(sure['level'])}; {note}"
        yield {"label": "mean IoU", "value": number(score["miou"]), "note": note}
        for subset in ("day", "night"):
            part = metrics.get("subsets", {}).get(subset)
            if part and len(metrics["subsets"]) > 1:
                value = number(part["protocols"][headline]["miou"])
                note = f"{headline}, {part['frames']} frames"
                yield {"label": f"mean IoU, {subset}", "value": value, "note": note}
    timing = metrics.get("timing_ms")
    if timing:
        note = f"median; p95 {milliseconds(timing['p95'])}"
        yield {"label": _LATENCY, "value": milliseconds(timing["p50"]), "note": note}
    account = metrics.get("accounting", {}).get("rgb")
    if account:
        share = account["published"] / account["received"] if account["received"] else 0.0
        note = f"{account['published']} of {account['received']} received RGB frames"
        yield {"label": "frames with a mask", "value": f"{100 * share:.0f} %", "note": note}


def _classes(metrics: Metrics) -> list[dict[str, Any]]:
    """One row for each class: IoU, recall, precision, boundary IoU, support."""
    if "confusion" not in metrics:
        return []
    counts = np.array(metrics["confusion"], np.int64)
    truth, taken_for = counts.sum(axis=1), counts[:, :-1].sum(axis=0)
    hits, total = counts.diagonal(), max(1, int(counts.sum()))
    boundary = metrics.get("boundary", {}).get("iou", {})
    rows = []
    for info in metrics["classes"]:
        k = info["id"]
        union = truth[k] + taken_for[k] - hits[k]
        rows.append(
            {
                "name": info["name"],
                "color": _css(display_color(k)) if k else "transparent",
                "iou": float(hits[k] / union) if truth[k] else None,
                "recall": float(hits[k] / truth[k]) if truth[k] else None,
                "precision": float(hits[k] / taken_for[k]) if taken_for[k] else None,
                "boundary": boundary.get(info["name"]),
                "pixels": int(truth[k]),
                "share": truth[k] / total,
                "false_positive_pixels": int(taken_for[k] - hits[k]),
            }
        )
    return rows


def _protocols(metrics: Metrics) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "miou": number(score["miou"]),
            "acc": number(score["acc"]),
            "present": f"{score['present']} of {len(score['iou'])}",
            "rule": PROTOCOLS[name].rule if name in PROTOCOLS else "",
        }
        for name, score in metrics.get("protocols", {}).items()
    ]


def _conditions(metrics: Metrics) -> dict[str, Any] | None:
    """mIoU and per-class IoU by day and night, with fewer cameras, with shuffled thermal."""
    headline = headline_protocol(metrics)
    if not headline:
        return None
    modalities = metrics.get("modalities", {})
    groups = {_CONDITIONS.get(name, name): part for name, part in modalities.items()}
    mean = groups.pop("mean", None)
    groups = groups or {"All frames": metrics}
    if "shuffle_thermal" in metrics:
        groups[_SHUFFLED] = metrics["shuffle_thermal"]
    rows = [row for label, part in groups.items() for row in _with_subsets(label, part, headline)]
    if len(rows) == 1:
        return None
    names = list(metrics["protocols"][headline]["iou"])
    if mean:
        miou, blank = mean["protocols"][headline]["miou"], dict.fromkeys(names)
        row = {"label": _MEAN, "sub": False, "frames": "", "miou": miou, "iou": blank}
        rows.append(row)
    return {"classes": names, "rows": rows}


def _with_subsets(label: str, part: Metrics, protocol: str) -> Iterator[dict[str, Any]]:
    subsets = part["subsets"] if len(part.get("subsets", {})) > 1 else {}
    for name, group in ((label, part), *subsets.items()):
        score = group["protocols"][protocol]
        yield {
            "label": name,
            "sub": group is not part,
            "frames": group["frames"],
            "miou": score["miou"],
            "iou": score["iou"],
        }


def _confusion(metrics: Metrics) -> dict[str, Any] | None:
    if "confusion" not in metrics:
        return None
    counts = np.array(metrics["confusion"], np.int64)
    names = [info["name"] for info in metrics["classes"]]
    columns = [*names, "no decision"]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], names
    rows = []
    for name, row in zip(names, counts, strict=True):
        support = int(row.sum())
        cells = [
            {
                "share": value / support if support else None,
                "pixels": int(value),
                "hit": column == name,
                "column": column,
            }
            for column, value in zip(columns, row, strict=True)
        ]
        rows.append({"name": name, "cells": cells, "support": support})
    return {"columns": columns, "rows": rows}


def _timing(metrics: Metrics) -> dict[str, Any] | None:
    timing = metrics.get("timing_ms")
    if not timing:
        return None
    stages = {name: row for name, row in timing.get("stages", {}).items() if name != "latency"}
    rows = [(_LATENCY, timing), *((name.replace("_", " "), row) for name, row in stages.items())]
    return {
        "rows": [(name, *(f"{row[p]:.1f}" for p in ("p50", "p95", "p99"))) for name, row in rows],
        "histogram": _histogram(timing["samples"], timing) if timing.get("samples") else None,
    }


def _histogram(samples: list[float], timing: Metrics) -> dict[str, Any]:
    """Bars and marks in units of the plot: x and y from 0 to 1."""
    low, high = 0.0, float(np.percentile(samples, 99.5)) * 1.08 + 0.1
    bins = min(40, max(8, len(samples) // 3))
    counts, edges = np.histogram(np.clip(samples, low, high), bins=bins, range=(low, high))
    peak = int(counts.max())
    step = _tick_step(high)
    return {
        "bars": [
            {
                "x": i / bins,
                "height": int(count) / peak,
                "title": f"{edges[i]:.1f} to {edges[i + 1]:.1f} ms: {count} frames",
            }
            for i, count in enumerate(counts)
            if count
        ],
        "width": 1 / bins,
        "marks": [{"x": min(1.0, timing[p] / high), "name": p} for p in ("p50", "p95")],
        "ticks": [
            {"x": value / high, "label": f"{value:g}"}
            for value in np.arange(0, high, step).tolist()
        ],
        "peak": peak,
        "frames": len(samples),
    }


def _tick_step(high: float) -> float:
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        if high / step <= 8:
            return float(step)
    return high / 8


def _accounts(metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One table for each stream of ``accounting``; ``drops`` alone where there is no more."""
    streams = metrics.get("accounting") or (
        {"rgb": {"dropped": metrics["drops"]}} if metrics.get("drops") else {}
    )
    single = [(name, value) for name, value in streams.items() if not isinstance(value, Mapping)]
    if single:
        yield {"name": "run", "rows": single}
    for name, account in streams.items():
        if isinstance(account, Mapping):
            rows = [
                (label, "not reported" if value is None else value)
                for label, value in _flat(account)
            ]
            yield {"name": name, "rows": rows}


def _flat(values: Metrics, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values as ("a: b", value) rows; empty ones are left out."""
    for name, value in values.items():
        label = _WORDS.get(name, name.replace("_", " "))
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{label}: ")
        else:
            yield prefix + label, value


def number(value: float | None) -> str:
    """A score for people; an en dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def _css(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
