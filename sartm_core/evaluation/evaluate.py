"""Run a model over a data set and score it: what `sartm evaluate` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID, ClassTable
from sartm_core.data.images import write_png
from sartm_core.data.sample import Dataset, Sample
from sartm_core.errors import SartmError
from sartm_core.evaluation.bootstrap import interval_section
from sartm_core.evaluation.corruptions import STRENGTHS
from sartm_core.evaluation.detail import Detail
from sartm_core.evaluation.protocols import protocols_for
from sartm_core.evaluation.report import Picture
from sartm_core.evaluation.robustness import corruption_examples, corruption_section
from sartm_core.evaluation.tally import Tally
from sartm_core.frames import Image, Segmentation, ThermalImage
from sartm_core.thermal import normalise
from sartm_core.timing import percentiles

SCHEMA_VERSION = 1
MODALITIES = ("rgb+thermal", "rgb", "thermal")
PER_FRAME = "per_frame.npz"
MASKS = "masks"
WORST_FRAMES = 10


class Predictor(Protocol):
    """A frame in, a segmentation out, as :class:`sartm_core.segmenter.Segmenter` does it."""

    def __call__(
        self, rgb: Image | None, thermal: ThermalImage | None, thermal_valid: Image | None = None, /
    ) -> Segmentation:
        """Either camera may be None."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        modalities: cameras the model sees, of ``MODALITIES``; scores, pictures and masks that are
            not told apart come from the first.
        shuffle_thermal: also pair each RGB image with the thermal image of another frame of the
            same time of day. A model that uses the match between the cameras gets worse.
        corruptions: names of ``corruptions.CORRUPTIONS`` under which the first modality is scored
            too, at every strength.
        seed: of the shuffle.
        write_masks: whether the masks are kept as PNG.
        pictures: how many frames the report shows.
    """

    modalities: tuple[str, ...] = MODALITIES[:1]
    shuffle_thermal: bool = False
    corruptions: tuple[str, ...] = ()
    seed: int = 0
    write_masks: bool = False
    pictures: int = 6

    def __post_init__(self) -> None:
        strangers = [name for name in self.modalities if name not in MODALITIES]
        if strangers or not self.modalities:
            raise SartmError(
                "unknown modality",
                got=", ".join(strangers) or "none",
                expected="some of " + ", ".join(MODALITIES),
            )
        if self.shuffle_thermal and self.modalities[0] != MODALITIES[0]:
            raise SartmError(
                "shuffling thermal is compared with the run on both cameras",
                got=f"modalities {', '.join(self.modalities)}",
                expected=f"{MODALITIES[0]} first",
            )

    def steps(self, frames: int) -> int:
        """How often ``advance`` is called for a data set of so many frames."""
        return frames * (1 + self.shuffle_thermal + len(self.corruptions) * len(STRENGTHS))


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    out: Path,
    plan: Plan,
    *,
    model: str,
    classes: ClassTable,
    advance: Callable[[], None],
) -> tuple[dict[str, Any], list[Picture]]:
    """Score a predictor on a labelled data set, at the size of its labels.

    Args:
        predictor: the model.
        dataset: labelled frames.
        out: folder for per_frame.npz and masks/.
        plan: what to measure.
        model: how metrics.json calls the model.
        classes: what the predictor's ids mean; matched to the data set's by name.
        advance: called after each step, see ``Plan.steps``.

    Returns:
        metrics.json without ``provenance``, and the pictures for the report.

    Raises:
        SartmError: a frame without label, or classes that the data set does not have.
    """
    ids = id_map(classes, dataset.classes)
    tallies = {name: Tally(dataset.classes) for name in plan.modalities}
    first = plan.modalities[0]
    detail = Detail(dataset.classes)
    timings: list[dict[str, float]] = []
    for stem in dataset.stems:
        sample = dataset.read(stem)
        label = require_label(sample, dataset)
        for modality, tally in tallies.items():
            result = _segment(predictor, sample, modality)
            mask = ids[result.mask]
            fitted = fit_to_label(mask, label)
            tally.add(stem, label, fitted, night=sample.night)
            if modality == first:
                detail.add(label, fitted, fit_to_label(result.confidence, label))
                timings.append(result.timings)
                if plan.write_masks:
                    write_png(out / MASKS / f"{stem}.png", mask)
        advance()
    main = tallies[first]
    metrics = {**describe_run(dataset, model, main, detail), "modality": first}
    if len(tallies) > 1:
        metrics["modalities"] = _modalities(tallies)
    if plan.shuffle_thermal:
        shuffled = _shuffled(predictor, dataset, main, ids, plan, advance)
        metrics["shuffle_thermal"] = {"seed": plan.seed, **shuffled.summary()}

    def segment(sample: Sample) -> Image:
        mask = ids[_segment(predictor, sample, first).mask]
        return fit_to_label(mask, require_label(sample, dataset))

    if plan.corruptions:
        metrics["corruptions"] = corruption_section(
            segment, dataset, plan.corruptions, main, advance=advance
        )
    main.per_frame().write(out / PER_FRAME)
    metrics["per_frame"] = PER_FRAME
    if plan.write_masks:
        metrics["masks"] = MASKS
    if all(timings):
        metrics["timing_ms"] = timing_section(timings)
    pictures = []
    for stem, note in main.showcase(plan.pictures):
        sample = dataset.read(stem)
        pictures.append(picture(sample, dataset, segment(sample), note))
    pictures += corruption_examples(segment, dataset, plan.corruptions, main)
    return metrics, pictures


def describe_run(dataset: Dataset, model: str, tally: Tally, detail: Detail) -> dict[str, Any]:
    """The sections of metrics.json that every evaluation on a data set has."""
    headline = protocols_for(dataset.classes)[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset.name,
        "split": dataset.split,
        "model": model,
        "classes": [
            {"id": info.id, "name": info.name, "color": list(info.color)}
            for info in dataset.classes.classes
        ],
        **tally.summary(),
        "interval": interval_section(tally.per_frame(), headline),
        "confusion": tally.total().tolist(),
        **detail.sections(),
        "worst_frames": tally.worst(WORST_FRAMES),
    }


def timing_section(timings: Sequence[dict[str, float]]) -> dict[str, Any]:
    """``timing_ms``: p50, p95, p99 of whole frames and of each stage, and the samples."""
    totals = [sum(stages.values()) for stages in timings]
    return {
        **percentiles(totals),
        "stages": {
            stage: percentiles([stages[stage] for stages in timings]) for stage in timings[0]
        },
        "samples": [round(total, 3) for total in totals],
    }


def id_map(model: ClassTable, dataset: ClassTable) -> npt.NDArray[np.uint8]:
    """uint8 [256]: the model's class id -> the data set's id of the same name.

    A model may know fewer classes than the data set; 255 stays 255.

    Raises:
        SartmError: the model knows a class that the data set does not have.
    """
    strangers = [name for name in model.names if name not in dataset.names]
    if strangers:
        raise SartmError(
            f"the model's classes do not fit the data set's ('{dataset.name}')",
            got=", ".join(strangers),
            expected="some of " + ", ".join(dataset.names),
            remedy="evaluate on data labelled with the model's classes",
        )
    table = np.full(256, IGNORE_ID, np.uint8)
    for info in model.classes:
        table[info.id] = dataset.by_name(info.name).id
    return table


def require_label(sample: Sample, dataset: Dataset) -> Image:
    """The label of a frame that is to be scored."""
    if sample.label is None:
        raise SartmError(
            f"{dataset.name} cannot be scored",
            got=f"no label for frame {sample.stem}",
            expected="a label for each frame",
            remedy="add label/, or use `sartm predict` to look at the masks",
        )
    return sample.label


def fit_to_label(mask: Image, label: Image) -> Image:
    """The mask at the label's size (nearest); the label itself is never resized."""
    if mask.shape == label.shape:
        return mask
    size = (label.shape[1], label.shape[0])
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def shuffled_partners(names: Iterable[str], seed: int) -> dict[str, str]:
    """Frame -> another frame, such that none keeps itself (one random cycle, Sattolo 1986)."""
    order = sorted(names)
    partners = order.copy()
    rng = np.random.default_rng(seed)
    for last in range(len(partners) - 1, 0, -1):
        other = int(rng.integers(last))
        partners[last], partners[other] = partners[other], partners[last]
    return dict(zip(order, partners, strict=True))


def _segment(predictor: Predictor, sample: Sample, modality: str) -> Segmentation:
    rgb = None if modality == "thermal" else sample.rgb
    if modality == "rgb":
        return predictor(rgb, None)
    return predictor(rgb, sample.thermal, sample.thermal_valid)


def _modalities(tallies: dict[str, Tally]) -> dict[str, Any]:
    sections: dict[str, Any] = {name: tally.summary() for name, tally in tallies.items()}
    each = [section["protocols"] for section in sections.values()]
    means: dict[str, Any] = {}
    for protocol in each[0]:
        values = [scores[protocol]["miou"] for scores in each]
        known = [value for value in values if value is not None]
        means[protocol] = {"miou": float(np.mean(known)) if known else None}
    return {**sections, "mean": {"protocols": means}}


def _shuffled(
    predictor: Predictor,
    dataset: Dataset,
    tally: Tally,
    ids: Image,
    plan: Plan,
    advance: Callable[[], None],
) -> Tally:
    """Score the first modality's frames with the thermal image of another frame of the group."""
    partners: dict[str, str] = {}
    for night in (False, True):
        group = tally.names(night=night)
        if len(group) > 1:
            partners |= shuffled_partners(group, plan.seed)
    if not partners:
        raise SartmError(
            "thermal images cannot be shuffled",
            got=f"{len(tally)} frames",
            expected="at least two of the same time of day",
            remedy="evaluate on more frames",
        )
    shuffled = Tally(dataset.classes)
    for stem, partner in partners.items():
        sample, other = dataset.read(stem), dataset.read(partner)
        label = require_label(sample, dataset)
        mask = ids[predictor(sample.rgb, other.thermal, other.thermal_valid).mask]
        shuffled.add(stem, label, fit_to_label(mask, label), night=sample.night)
        advance()
    return shuffled


def picture(sample: Sample, dataset: Dataset, mask: Image, note: str) -> Picture:
    """A frame for the report; MASK has the data set's ids, at any size."""
    label = require_label(sample, dataset)
    return Picture(
        name=sample.stem,
        note=note,
        rgb=sample.rgb,
        thermal=normalise(sample.thermal, valid=sample.thermal_valid),
        prediction=fit_to_label(mask, label),
        truth=label,
    )
