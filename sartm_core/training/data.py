"""The frames of a run: read or generated, checked, and split into training and dev frames."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID, MFNET, ClassTable, class_table, merge_tables
from sartm_core.data.datasets import open_dataset
from sartm_core.data.sample import Dataset, Sample
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.progress import progress
from sartm_core.thermal import normalise
from sartm_core.training.config import Config, DevSourceConfig, SourceConfig
from sartm_core.training.frame import Frame
from sartm_core.training.samples import Source

SEED_STRIDE = 1_000_003  # scenes of different source seeds never coincide


def load_data(config: Config) -> tuple[list[Source], list[Sample]]:
    """The training frames of every source, and the dev frames as their data sets give them.

    Where the teachers' predictions are learned, a source may have no labels.

    Raises:
        SartmError: a source cannot be read or is used up by ``data.dev``, which must name a frame;
            a frame is trained on and in ``data.dev_sources``.
    """
    classes = class_table(config.data.classes)
    dev: dict[str, Sample] = {}
    trained: set[str] = set()
    sources: list[Source] = []
    total = sum(map(count_frames, config.data.sources))
    total += sum(map(count_frames, config.data.dev_sources))
    with progress("reading frames", total) as bar:
        for source in config.data.sources:
            kept: list[Frame] = []
            if source.dataset == "synthetic":
                ids, labelled = _label_ids(MFNET, classes, "synthetic")
                for scene in _generate(source):
                    kept.append(dataclasses.replace(scene, label=ids[scene.label]))
                    bar.advance()
            else:
                dataset = open_dataset(source.dataset, source.split)
                ids, labelled = _label_ids(dataset.classes, classes, dataset.name)
                for stem in dataset.stems:
                    sample = _checked(dataset, stem, ids, unlabelled=config.distill.logits > 0)
                    name = f"{dataset.name}/{stem}"
                    if sample.label is None:
                        labelled[:] = True  # it says nothing, not that a class is not there
                    if in_ranges(stem, config.data.dev):
                        if sample.label is not None:
                            dev[name] = dataclasses.replace(sample, stem=name)
                    elif not in_ranges(stem, config.data.dev, config.data.guard):
                        kept.append(_frame(sample))
                        trained.add(name)
                    bar.advance()
            if not kept:
                raise SartmError(f"no frames of '{source.dataset}' are left for training")
            sources.append(Source(kept, source.weight, labelled))
        if config.data.dev and not dev:
            raise SartmError(
                "data.dev names no frame of any source", got=", ".join(config.data.dev)
            )
        for listed in config.data.dev_sources:
            dataset = open_dataset(listed.dataset, listed.split)
            ids, _ = _label_ids(dataset.classes, classes, dataset.name)
            for stem in dataset.stems:
                name = f"{dataset.name}/{stem}"
                dev[name] = dataclasses.replace(_checked(dataset, stem, ids), stem=name)
                bar.advance()
    if both := sorted(trained & dev.keys()):
        raise SartmError(
            "frames of data.dev_sources are trained on",
            got=f"{len(both)}, such as {both[0]}",
            expected="lists that share no frame, such as fit and dev",
        )
    return sources, list(dev.values())


def load_dev_frames(config: Config) -> list[Sample]:
    """The dev frames of :func:`load_data` alone: what holds none is neither made nor read.

    Raises:
        SartmError: a data set with dev frames cannot be read.
    """
    data = config.data
    named = [source for source in data.sources if data.dev and source.dataset != "synthetic"]
    return load_data(dataclasses.replace(config, data=dataclasses.replace(data, sources=named)))[1]


def in_ranges(stem: str, ranges: Sequence[str], guard: int = 0) -> bool:
    """Whether a frame lies in one of the ranges FIRST-LAST, both ends included.

    Args:
        stem: name of the frame; its first run of digits is its number in the recording.
        ranges: ``FIRST-LAST`` each.
        guard: how far outside a range still counts.
    """
    number = _number(stem)
    for entry in ranges:
        first, last = entry.split("-", 1)
        low, high = _number(first) - guard, _number(last) + guard
        if first <= stem <= last or (guard > 0 and low <= number <= high):
            return True
    return False


def _number(stem: str) -> float:
    """A frame's number; NaN, which lies in no range, where a name has none."""
    digits = re.search(r"\d+", stem)
    return float(digits.group()) if digits else math.nan


def _checked(dataset: Dataset, stem: str, ids: Image, *, unlabelled: bool = False) -> Sample:
    """A frame with a label in the run's ids, if it has one.

    Raises:
        SartmError: no label, unless ``unlabelled`` allows that, or images of different size.
    """
    sample = dataset.read(stem)
    if sample.label is None and not unlabelled:
        raise SartmError(
            f"frame '{stem}' of '{dataset.name}' has no label",
            remedy="name a split whose frames are labelled, or learn what teachers say about it "
            "(distill.teachers and distill.logits)",
        )
    shapes = {"RGB": sample.rgb.shape[:2], "thermal": sample.thermal.shape}
    if sample.label is not None:
        shapes["label"] = sample.label.shape
    if len(set(shapes.values())) > 1:
        raise SartmError(
            f"frame '{stem}' of '{dataset.name}' has images of different size",
            got=", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            expected="thermal registered onto the RGB image's plane",
        )
    return sample if sample.label is None else dataclasses.replace(sample, label=ids[sample.label])


def _frame(sample: Sample) -> Frame:
    thermal = normalise(sample.thermal, valid=sample.thermal_valid)
    valid = np.ones_like(thermal) if sample.thermal_valid is None else sample.thermal_valid
    label = np.full_like(thermal, IGNORE_ID) if sample.label is None else sample.label
    return Frame(sample.stem, sample.rgb, thermal, valid, label, sample.night)


def _label_ids(
    table: ClassTable, classes: ClassTable, dataset: str
) -> tuple[Image, npt.NDArray[np.bool_]]:
    """uint8 [256]: the data set's id -> the run's id; bool [C]: which classes it labels.

    Raises:
        SartmError: the data set has a class that the run does not have.
    """
    merged = merge_tables([classes, table])
    if len(merged.table) != len(classes):
        raise SartmError(
            f"'{dataset}' has classes that the run does not have (data.classes)",
            got=", ".join(merged.table.names[len(classes) :]),
            expected=", ".join(classes.names),
            remedy="join the class tables, e.g. data.classes=mfnet+pst900",
        )
    return merged.lookups[1], merged.labelled[1]


def count_frames(source: SourceConfig | DevSourceConfig) -> int:
    """How many frames :func:`load_data` reads of a source."""
    if isinstance(source, SourceConfig) and source.dataset == "synthetic":
        return source.frames
    return len(open_dataset(source.dataset, source.split).stems)


def _generate(source: SourceConfig) -> Iterator[Frame]:
    from sartm_core.data.synthetic import generate_scene

    night = {"any": None, "day": False, "night": True}[source.period]
    for index in range(source.frames):
        scene = generate_scene(
            source.seed * SEED_STRIDE + index,
            width=source.width,
            height=source.height,
            night=night,
        )
        yield Frame(
            stem=f"{index:06d}{'N' if scene.night else 'D'}",
            rgb=scene.rgb,
            thermal=normalise(scene.thermal, valid=scene.thermal_valid),
            thermal_valid=scene.thermal_valid,
            label=scene.label,
            night=scene.night,
        )
