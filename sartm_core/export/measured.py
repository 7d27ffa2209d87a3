"""What the model card says of scores: the short form of a ``metrics.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.errors import SartmError

Scores = dict[str, Any]


def read_scores(path: Path) -> dict[str, Scores]:
    """What a ``metrics.json`` of ``sartm evaluate`` says, by data set and list.

    Returns:
        One entry, whose scores are ``protocol``, ``score`` (mean IoU), ``iou`` (class -> IoU or
        None) and, as far as they were measured, ``frames``, ``interval`` [low, high],
        ``protocols`` (name -> mean IoU), ``frames_with`` (class -> number of frames), ``columns``
        (cameras or time of day -> {``score``, ``iou``}), ``corruptions`` (name -> part of the score
        that is kept at each strength) and ``ece``.

    Raises:
        SartmError: not such a file.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        title = f"{metrics['dataset']} {metrics['split'] or 'all'}"
        return {title: _shortened(metrics, path.parent)}
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        StopIteration,
    ) as error:
        raise SartmError(
            f"{path} is no metrics.json", got=f"{type(error).__name__}: {error}"
        ) from error


def _shortened(metrics: Mapping[str, Any], folder: Path) -> Scores:
    protocol, scores = next(iter(metrics["protocols"].items()))
    short: Scores = {
        "protocol": protocol,
        "score": scores["miou"],
        "iou": scores["iou"],
        "frames": metrics["frames"],
        "protocols": {name: entry["miou"] for name, entry in metrics["protocols"].items()},
    }
    parts = {**metrics.get("modalities", {}), **metrics.get("subsets", {})}
    short["columns"] = {
        name: {
            "score": part["protocols"][protocol]["miou"],
            "iou": part["protocols"][protocol]["iou"],
        }
        for name, part in parts.items()
        if name not in (metrics.get("modality"), "mean")
    }
    interval = metrics.get("interval", {})
    if interval.get("protocol") == protocol and interval["low"] is not None:
        short["interval"] = [interval["low"], interval["high"]]
    if "corruptions" in metrics:
        short["corruptions"] = {
            name: {strength: entry["retained"] for strength, entry in strengths.items()}
            for name, strengths in metrics["corruptions"].items()
        }
    if "calibration" in metrics:
        short["ece"] = metrics["calibration"]["ece"]
    if "per_frame" in metrics:
        with np.load(folder / metrics["per_frame"], allow_pickle=False) as arrays:
            shown = (arrays["confusion"].sum(axis=2) > 0).sum(axis=0)  # [C]
        names = [entry["name"] for entry in metrics["classes"]]
        short["frames_with"] = dict(zip(names, shown.tolist(), strict=True))
    return short
