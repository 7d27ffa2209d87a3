"""What the numbers of metrics.json mean, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Metrics = Mapping[str, Any]

_NOTABLE = 0.02
"""Differences in IoU below this are not put into words."""
_FALSE_POSITIVE_SHARE = 1e-4
"""Pixels taken for an absent class are put into words from this share of all pixels on."""


def headline_protocol(metrics: Metrics) -> str | None:
    """The protocol that is quoted first: the first one in ``protocols``."""
    return next(iter(metrics.get("protocols", {})), None)


def verdict(metrics: Metrics) -> list[str]:
    """Sentences, the most important first."""
    return [*_overall(metrics), *_conditions(metrics), *_operation(metrics)]


def _overall(metrics: Metrics) -> Iterator[str]:
    headline = headline_protocol(metrics)
    if headline is None:
        yield "There is no ground truth here, so nothing was scored."
        return
    score = metrics["protocols"][headline]
    if score["miou"] is None:
        yield "The ground truth shows no class that counts, so there is no score."
        return
    ranked = sorted(
        ((iou, name) for name, iou in score["iou"].items() if iou is not None), reverse=True
    )
    yield (
        f"Mean IoU {score['miou']:.3f} under {headline}, over the {score['present']} of "
        f"{len(score['iou'])} classes that the ground truth shows{_sureness(metrics)}."
    )
    if len(ranked) > 1:
        best, worst = ranked[0], ranked[-1]
        yield (
            f"Best class: {best[1]} (IoU {best[0]:.3f}); weakest: {worst[1]} (IoU {worst[0]:.3f})."
        )
    pixels = sum(map(sum, metrics.get("confusion", [])))
    for name, count in score["false_positive_pixels"].items():
        if count > _FALSE_POSITIVE_SHARE * pixels:
            yield (f"The ground truth never shows {name}, yet {count:,} pixels were taken for it.")


def _conditions(metrics: Metrics) -> Iterator[str]:
    headline = headline_protocol(metrics)
    if headline is None:
        return

    def miou(part: Metrics) -> float | None:
        value: float | None = part["protocols"][headline]["miou"]
        return value

    subsets = metrics.get("subsets", {})
    if {"day", "night"} <= subsets.keys():
        day, night = miou(subsets["day"]), miou(subsets["night"])
        if day is not None and night is not None:
            yield _compare("By night", night, "by day", day)
    whole = miou(metrics)
    modalities = metrics.get("modalities", {})
    for name, words in (("rgb", "Without thermal"), ("thermal", "Without RGB")):
        alone = miou(modalities[name]) if name in modalities else None
        if alone is not None and whole is not None:
            yield _compare(words, alone, "with both cameras", whole)
    shuffled = metrics.get("shuffle_thermal")
    value = miou(shuffled) if shuffled else None
    if value is not None and whole is not None:
        verb = "uses" if whole - value > _NOTABLE else "hardly uses"
        yield (
            f"Given another frame's thermal image it drops from {whole:.3f} to {value:.3f}: the "
            f"model {verb} what the thermal camera sees at the same moment."
        )
    yield from _corrupted(metrics)


def _sureness(metrics: Metrics) -> str:
    sure = metrics.get("interval", {})
    if sure.get("low") is None:
        return ""
    return (
        f"; {percent(sure['level'])} interval {sure['low']:.3f} to {sure['high']:.3f}, from "
        f"{sure['blocks']} blocks of the recording"
    )


def _corrupted(metrics: Metrics) -> Iterator[str]:
    section = metrics.get("corruptions", {})
    kept = {
        name: row["mean"]["retained"]
        for name, row in section.items()
        if name != "mean" and row["mean"]["retained"] is not None
    }
    if kept:
        worst = min(kept, key=lambda name: kept[name])
        mean = section["mean"]["mean"]["retained"]
        yield (
            f"Under simulated corruptions it keeps {percent(mean)} of its score on average, and "
            f"least under {worst.replace('_', ' ')} ({percent(kept[worst])})."
        )


def _compare(condition: str, value: float, reference: str, other: float) -> str:
    if abs(value - other) < _NOTABLE:
        return f"{condition} the score is about the same as {reference} ({value:.3f})."
    direction = "lower" if value < other else "higher"
    return (
        f"{condition} the score is {value:.3f}, {abs(value - other):.3f} {direction} than "
        f"{reference} ({other:.3f})."
    )


def _operation(metrics: Metrics) -> Iterator[str]:
    timing = metrics.get("timing_ms")
    if timing:
        p50, p95 = milliseconds(timing["p50"]), milliseconds(timing["p95"])
        yield f"From image to mask it takes {p50} at the median, {p95} at p95."
    account = metrics.get("accounting", {}).get("rgb")
    if account:
        dropped = sum(account.get("dropped", {}).values())
        lost = account.get("lost_in_transport") or 0
        yield (
            f"Of {account['received']} received RGB frames {account['published']} got a mask and "
            f"{dropped} were dropped; {lost} were lost in transport."
        )


def percent(share: float) -> str:
    """A share for people."""
    return f"{100 * share:.0f} %"


def milliseconds(value: float) -> str:
    """A duration for people, with a decimal only where it matters."""
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
