"""How much of its score a model keeps under the corruptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sartm_core.data.sample import Dataset, Sample
from sartm_core.evaluation.corruptions import CORRUPTIONS, FREEZE, STRENGTHS, corrupt
from sartm_core.evaluation.metrics import confusion
from sartm_core.evaluation.protocols import protocols_for, scores
from sartm_core.evaluation.recording import find_runs
from sartm_core.evaluation.report import Picture
from sartm_core.evaluation.tally import Tally
from sartm_core.frames import Image
from sartm_core.thermal import normalise

EXAMPLE_STRENGTH = 2

Segment = Callable[[Sample], Image]
"""A labelled frame to its mask, at the size of the label and with the data set's ids."""


def corruption_section(
    segment: Segment,
    dataset: Dataset,
    names: Sequence[str],
    clean: Tally,
    *,
    advance: Callable[[], None],
) -> dict[str, Any]:
    """The section ``corruptions`` of metrics.json.

    Args:
        segment: the model.
        dataset: labelled frames.
        names: of ``corruptions.CORRUPTIONS``.
        clean: the model on the frames as they are.
        advance: called after each corrupted frame.

    Returns:
        Name of a corruption -> {"1", "2", "3", "mean" -> {``miou``: of the headline protocol,
        ``retained``: its share of the clean mIoU}}, and "mean" -> the same, averaged over the
        corruptions. None where there is no score, or a clean one of 0.
    """
    sources = frozen_sources(clean)
    size = len(dataset.classes)
    counts = {
        (name, strength): np.zeros((size, size + 1), np.int64)
        for name in names
        for strength in STRENGTHS
    }
    for stem in dataset.stems:
        sample = dataset.read(stem)
        assert sample.label is not None
        for name, strength in counts:
            earlier = dataset.read(sources[stem, strength]) if name == FREEZE else None
            mask = segment(corrupt(sample, name, strength, earlier))
            counts[name, strength] += confusion(sample.label, mask, size)
            advance()
    protocol = protocols_for(dataset.classes)[0]
    whole: float | None = scores(clean.total(), protocol, dataset.classes)["miou"]
    rows: dict[str, Any] = {}
    for name in names:
        rows[name] = {
            str(strength): _retained(
                scores(counts[name, strength], protocol, dataset.classes)["miou"], whole
            )
            for strength in STRENGTHS
        }
        rows[name]["mean"] = _mean(list(rows[name].values()))
    columns = [*map(str, STRENGTHS), "mean"]
    return {**rows, "mean": {key: _mean([row[key] for row in rows.values()]) for key in columns}}


def corruption_examples(
    segment: Segment, dataset: Dataset, names: Sequence[str], clean: Tally
) -> list[Picture]:
    """One frame under each corruption, for the report, with the camera that changes most."""
    if not names:
        return []
    stem = clean.example()
    sample = dataset.read(stem)
    source = frozen_sources(clean)[stem, EXAMPLE_STRENGTH]
    pictures = []
    for name in names:
        earlier = dataset.read(source) if name == FREEZE else None
        changed = corrupt(sample, name, EXAMPLE_STRENGTH, earlier)
        rgb = "rgb" in CORRUPTIONS[name].cameras
        pictures.append(
            Picture(
                name=name,
                section="corruptions",
                rgb=changed.rgb if rgb else None,
                thermal=None if rgb else normalise(changed.thermal, valid=changed.thermal_valid),
                prediction=segment(changed),
                note=stem,
            )
        )
    return pictures


def frozen_sources(frames: Tally) -> dict[tuple[str, int], str]:
    """(frame, strength) -> the frame at which the thermal camera stopped.

    It lies ``CORRUPTIONS["thermal_freeze"].levels[strength - 1]`` frames back in the same run of
    the recording, or at its start: the first frame of a run keeps its own thermal image.
    """
    per_frame = frames.per_frame()
    sources = {}
    for run in find_runs(per_frame.names, per_frame.night):
        for place, index in enumerate(run):
            for strength, back in zip(STRENGTHS, CORRUPTIONS[FREEZE].levels, strict=True):
                source = run[max(0, place - int(back))]
                sources[per_frame.names[index], strength] = per_frame.names[source]
    return sources


def _retained(miou: float | None, whole: float | None) -> dict[str, float | None]:
    return {"miou": miou, "retained": miou / whole if whole and miou is not None else None}


def _mean(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for key in ("miou", "retained"):
        known = [value for row in rows if (value := row[key]) is not None]
        means[key] = float(np.mean(known)) if known else None
    return means
