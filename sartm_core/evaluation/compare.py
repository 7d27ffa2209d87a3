"""Is model B better than model A? Two evaluations of the same frames, compared in pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.data.images import read_ids
from sartm_core.errors import SartmError
from sartm_core.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    Estimate,
    PerFrame,
    check_same_frames,
    difference,
)
from sartm_core.evaluation.evaluate import SCHEMA_VERSION
from sartm_core.evaluation.metrics import Confusion, agreement
from sartm_core.evaluation.protocols import class_iou, mean_iou
from sartm_core.evaluation.verdict import headline_protocol, percent
from sartm_core.frames import Image

WORSE_FRAMES = 10
_SEED = 0
_ROUGH_BLOCKS = 20


@dataclass(frozen=True)
class Evaluation:
    """One metrics.json with the per-frame matrices that it names.

    Attributes:
        path: of metrics.json.
        metrics: its content.
        frames: what its ``per_frame`` file holds.
    """

    path: Path
    metrics: dict[str, Any]
    frames: PerFrame

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """Read a metrics.json, or the one in a folder.

        Raises:
            SartmError: no such file, not a metrics.json, or one without scores per frame.
        """
        path = path / "metrics.json" if path.is_dir() else path
        try:
            metrics = json.loads(path.read_text(encoding="utf-8"))
            known = isinstance(metrics, dict) and isinstance(metrics["protocols"], dict)
        except (OSError, ValueError, KeyError) as error:
            raise _unreadable(path, f"{type(error).__name__}: {error}") from error
        if not known or not metrics["protocols"] or "per_frame" not in metrics:
            raise _unreadable(path, "no scores per frame")
        return cls(path, metrics, PerFrame.read(path.parent / metrics["per_frame"]))

    @property
    def name(self) -> str:
        """What was evaluated."""
        return str(self.metrics.get("model") or self.path.parent.name)

    @property
    def place(self) -> str:
        """On which data."""
        parts = (self.metrics.get("dataset"), self.metrics.get("split"))
        return " / ".join(str(part) for part in parts if part)

    def mask(self, frame: str) -> Image | None:
        """The mask of a frame, with the data set's ids, if it was kept."""
        folder = self.metrics.get("masks")
        path = self.path.parent / str(folder) / f"{frame}.png"
        return read_ids(path) if folder and path.is_file() else None


def compare(a: Evaluation, b: Evaluation) -> dict[str, Any]:
    """Compare two evaluations of the same frames.

    Returns:
        ``verdict``: sentences; ``protocols``: name -> ``a``, ``b``, ``difference`` (B - A) with
        ``low`` and ``high`` of its interval and ``smallest_detectable``; ``classes`` and
        ``subsets``: the same under the headline ``protocol``; ``worse_frames``: those whose
        agreement with the labels fell most; ``frames``, ``blocks``, ``level``, ``resamples``,
        ``seed``.

    Raises:
        SartmError: other classes, frames or labels.
    """
    classes = _class_names(a)
    if classes != _class_names(b):
        raise SartmError(
            "the two evaluations do not have the same classes",
            got=f"A: {', '.join(classes)}; B: {', '.join(_class_names(b))}",
            expected="the same class table",
            remedy="evaluate both models on the same --data",
        )
    try:
        check_same_frames(a.frames, b.frames)
    except SartmError as error:
        raise SartmError(f"A is of {a.place}, B of {b.place}: {error}") from error
    headline = headline_protocol(a.metrics)
    assert headline is not None
    shared = [name for name in a.metrics["protocols"] if name in b.metrics["protocols"]]
    results = {name: difference(a.frames, b.frames, name, seed=_SEED) for name in shared}
    scores_a, scores_b = (run.metrics["protocols"] for run in (a, b))
    protocols = {
        name: _row(scores_a[name]["miou"], scores_b[name]["miou"], result.miou)
        for name, result in results.items()
    }
    per_class = {
        name: _row(scores_a[headline]["iou"][name], scores_b[headline]["iou"][name], estimate)
        for name, estimate in zip(scores_a[headline]["iou"], results[headline].iou, strict=True)
    }
    found = {
        "schema_version": SCHEMA_VERSION,
        "a": {"model": a.name, "metrics": str(a.path)},
        "b": {"model": b.name, "metrics": str(b.path)},
        "dataset": a.metrics.get("dataset"),
        "split": a.metrics.get("split"),
        "frames": len(a.frames.names),
        "blocks": results[headline].blocks,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": _SEED,
        "protocol": headline,
        "protocols": protocols,
        "classes": per_class,
        "subsets": _subsets(a, b, headline),
        "worse_frames": _worse_frames(a, b, classes),
    }
    same = np.array_equal(a.frames.confusion, b.frames.confusion)
    return {"verdict": list(_verdict(found, same)), **found}


def _unreadable(path: Path, reason: str) -> SartmError:
    return SartmError(
        f"{path} cannot be compared",
        got=reason.splitlines()[0],
        expected="a metrics.json with its per_frame.npz beside it",
        remedy="write one with `sartm evaluate` or `sartm score --out DIR`",
    )


def _class_names(run: Evaluation) -> list[str]:
    return [str(info["name"]) for info in run.metrics.get("classes", [])]


def _row(a: float | None, b: float | None, estimate: Estimate) -> dict[str, float | None]:
    return {
        "a": a,
        "b": b,
        "difference": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "smallest_detectable": estimate.smallest_detectable,
    }


def _subsets(a: Evaluation, b: Evaluation, protocol: str) -> dict[str, Any]:
    """Day and night, where there are both."""
    night = a.frames.night
    rows: dict[str, Any] = {}
    if night.all() or not night.any():
        return rows
    for name, where in (("day", ~night), ("night", night)):
        parts = [run.frames.select(where) for run in (a, b)]
        scores = [
            float(mean_iou(class_iou(part.confusion.sum(axis=0), protocol))) for part in parts
        ]
        known = [None if math.isnan(score) else score for score in scores]
        estimate = difference(parts[0], parts[1], protocol, seed=_SEED).miou
        rows[name] = {"frames": len(parts[0].names), **_row(known[0], known[1], estimate)}
    return rows


def _worse_frames(a: Evaluation, b: Evaluation, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The frames that lost most agreement with the labels, the worst one first."""
    rows: list[dict[str, Any]] = []
    for name, one, two in zip(a.frames.names, a.frames.confusion, b.frames.confusion, strict=True):
        before, after = agreement(one), agreement(two)
        if after < before:
            note = _what_changed(one, two, classes)
            rows.append({"name": name, "a": before, "b": after, "note": note})
    return sorted(rows, key=lambda row: row["b"] - row["a"])[:WORSE_FRAMES]


def _what_changed(one: Confusion, two: Confusion, classes: Sequence[str]) -> str:
    """The two largest losses from matrix A to matrix B, in words."""
    losses = []
    truth = one.sum(axis=1)
    false = [matrix[:, :-1].sum(axis=0) - matrix.diagonal() for matrix in (one, two)]
    for k, name in enumerate(classes[1:], start=1):
        hits = int(one[k, k]), int(two[k, k])
        shares = [percent(value / max(1, truth[k])) for value in hits]
        losses.append((hits[0] - hits[1], f"{name}: {shares[0]} found, now {shares[1]}"))
        more = int(false[1][k] - false[0][k])
        losses.append((more, f"{more:,} px more taken for {name}"))
    losses.sort(key=lambda loss: -loss[0])
    return "; ".join(words for pixels, words in losses[:2] if pixels > 0)


def _verdict(found: dict[str, Any], same: bool) -> Iterator[str]:
    row = found["protocols"][found["protocol"]]
    if same:
        yield "A and B make the same errors in the same frames: no figure differs."
        return
    if row["difference"] is None:
        yield "The ground truth shows no class that counts, so there is no score to compare."
        return
    scores = f"{row['b']:.3f} against {row['a']:.3f} ({found['protocol']})"
    if row["low"] is None:
        yield (
            f"B scores {scores}, {row['difference']:+.3f}; {found['blocks']} independent blocks of "
            "frames are too few to say whether that is chance."
        )
        return
    interval = f"{percent(found['level'])} interval {row['low']:+.3f} to {row['high']:+.3f}"
    if row["low"] > 0 or row["high"] < 0:
        word = "better" if row["low"] > 0 else "worse"
        yield f"B is {word}: mean IoU {scores}, {row['difference']:+.3f}, {interval}."
    else:
        yield (
            f"No difference is shown: mean IoU {scores}, {row['difference']:+.3f}, {interval}. "
            f"These frames would show a true difference of {row['smallest_detectable']:.3f} in 4 "
            "of 5 cases."
        )
    yield from _class_verdict(found)
    if found["blocks"] < _ROUGH_BLOCKS:
        yield (
            f"The frames are only {found['blocks']} independent blocks: take the intervals as "
            "rough, they tend to be too short."
        )
    yield "The spread over training seeds is not in these intervals."


def _class_verdict(found: dict[str, Any]) -> Iterator[str]:
    rows = [(name, row) for name, row in found["classes"].items() if row["low"] is not None]
    better = [f"{name} ({row['difference']:+.3f})" for name, row in rows if row["low"] > 0]
    worse = [f"{name} ({row['difference']:+.3f})" for name, row in rows if row["high"] < 0]
    parts = [
        f"{word}: {', '.join(names)}"
        for word, names in (("better", better), ("worse", worse))
        if names
    ]
    if parts:
        yield (
            f"Classes that differ: {'; '.join(parts)}. Of {len(rows)} classes compared, one in "
            "20 differs by chance alone."
        )
