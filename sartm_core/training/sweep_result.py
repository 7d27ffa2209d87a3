"""The result of one run of a sweep: small enough to be kept in the repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.data.augment import MODALITIES
from sartm_core.errors import SartmError
from sartm_core.evaluation.bootstrap import PerFrame
from sartm_core.evaluation.metrics import Confusion
from sartm_core.evaluation.protocols import protocols_for
from sartm_core.evaluation.tally import Tally
from sartm_core.files import write_json_atomic

SCHEMA_VERSION = 1
INPUTS = MODALITIES
MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a finished run leaves behind.

    Attributes:
        row, seed: the run.
        hash: of its configuration, see ``sweep_file.config_hash``.
        overrides: of the row.
        config: the resolved configuration, without the folders of the machine.
        steps: optimiser steps of the run.
        scored_step: the step whose averaged weights are scored.
        seconds_per_step: median; ``seconds`` is that times the steps.
        machine: see ``sartm_core.machine``, with the ``device`` of the training.
        git_revision: of the code.
        torch: its version.
        protocol: the rule of ``scores``.
        scores: input (``rgb+thermal``, ``rgb``, ``thermal``: those that the row was trained with)
            -> ``miou`` and ``iou`` per class on the dev frames, and ``mean`` -> the mean ``miou``
            of the three, where there are three.
        frames: input -> the confusion matrices of the dev frames, for intervals.
    """

    row: str
    seed: int
    hash: str
    overrides: list[str]
    config: dict[str, Any]
    steps: int
    scored_step: int
    seconds: float
    seconds_per_step: float
    machine: dict[str, Any]
    git_revision: str
    torch: str
    protocol: str
    scores: dict[str, Any]
    frames: dict[str, PerFrame]


def dev_scores(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """``protocol``, ``scores`` and ``frames`` of a result.

    Args:
        tallies: input -> the dev frames, the same ones for every input.
    """
    protocol = protocols_for(next(iter(tallies.values())).classes)[0]
    scores: dict[str, Any] = {}
    for name, tally in tallies.items():
        figures = tally.summary()["protocols"][protocol]
        scores[name] = {"miou": figures["miou"] or 0.0, "iou": figures["iou"]}
    if set(scores) == set(INPUTS):
        scores[MEAN] = {"miou": sum(scores[name]["miou"] for name in INPUTS) / len(INPUTS)}
    frames = {name: tally.per_frame() for name, tally in tallies.items()}
    return {"protocol": protocol, "scores": scores, "frames": frames}


def write_result(path: Path, result: SweepResult) -> None:
    """Write a result as JSON, atomically; the matrix of a frame is one short line."""
    first = next(iter(result.frames.values()))
    values = {"schema_version": SCHEMA_VERSION, **vars(result)}
    values["classes"] = first.confusion.shape[1]
    values["frames"] = [
        {
            "name": name,
            "night": bool(first.night[index]),
            **{key: _pack(frames.confusion[index]) for key, frames in result.frames.items()},
        }
        for index, name in enumerate(first.names)
    ]
    write_json_atomic(path, values)


def read_result(path: Path) -> SweepResult:
    """Read what :func:`write_result` wrote.

    Raises:
        SartmError: the file is no result of a sweep.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {version}")
        values["frames"] = _read_frames(values["frames"], values.pop("classes"))
        return SweepResult(**values)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SartmError(
            f"{path} is no result of a sweep",
            got=f"{type(error).__name__}: {error}",
            expected=f"schema_version {SCHEMA_VERSION}",
            remedy="restore the file, or remove it and train the run again",
        ) from error


def _read_frames(rows: list[dict[str, Any]], classes: int) -> dict[str, PerFrame]:
    names = tuple(row["name"] for row in rows)
    night = np.array([row["night"] for row in rows])
    return {
        key: PerFrame(names, np.stack([_unpack(row[key], classes) for row in rows]), night)
        for key in INPUTS
        if key in rows[0]
    }


def _pack(matrix: Confusion) -> str:
    """``cell:pixels`` of the cells that are not 0; cell = truth * (C + 1) + prediction."""
    flat = matrix.ravel()
    return " ".join(f"{cell}:{flat[cell]}" for cell in np.flatnonzero(flat))


def _unpack(line: str, classes: int) -> Confusion:
    flat = np.zeros(classes * (classes + 1), np.int64)
    for entry in line.split():
        cell, pixels = entry.split(":")
        flat[int(cell)] = int(pixels)
    return flat.reshape(classes, classes + 1)
