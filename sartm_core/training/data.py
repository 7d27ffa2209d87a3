"""The frames of a run: read or generated, checked, and split into training and dev frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sartm_core.classes import ClassTable, class_table
from sartm_core.data.datasets import open_dataset
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.progress import progress
from sartm_core.thermal import normalise
from sartm_core.training.config import Config, SourceConfig

SEED_STRIDE = 1_000_003  # scenes of different source seeds never coincide


@dataclass(frozen=True)
class Frame:
    """A labelled pair in memory.

    Attributes:
        stem: name of the frame.
        rgb: uint8 [H,W,3].
        thermal: uint8 [H,W], normalised by ``sartm_core.thermal``.
        thermal_valid: uint8 [H,W], 0 where the thermal camera does not look.
        label: uint8 [H,W], 255 = left out.
        night: whether it was taken at night.
    """

    stem: str
    rgb: Image
    thermal: Image
    thermal_valid: Image
    label: Image
    night: bool


def load_data(config: Config) -> tuple[list[list[Frame]], list[Frame]]:
    """The frames of every source without the dev frames, and the dev frames.

    Raises:
        SartmError: a source cannot be read or is used up by ``data.dev``, which must name a frame.
    """
    classes = class_table(config.data.classes)
    dev: dict[str, Frame] = {}
    mixture: list[list[Frame]] = []
    total = sum(count_frames(source) for source in config.data.sources)
    with progress("reading frames", total) as bar:
        for source in config.data.sources:
            kept: list[Frame] = []
            for frame in load_frames(source, classes):
                if source.dataset != "synthetic" and is_dev(frame.stem, config.data.dev):
                    dev[f"{source.dataset}/{frame.stem}"] = frame
                else:
                    kept.append(frame)
                bar.advance()
            if not kept:
                raise SartmError(f"no frames of '{source.dataset}' are left for training")
            mixture.append(kept)
    if config.data.dev and not dev:
        raise SartmError("data.dev names no frame of any source", got=", ".join(config.data.dev))
    return mixture, list(dev.values())


def is_dev(stem: str, ranges: Sequence[str]) -> bool:
    """Whether a frame name lies in one of the ranges FIRST-LAST, both ends included."""
    return any(first <= stem <= last for first, last in (entry.split("-", 1) for entry in ranges))


def load_frames(source: SourceConfig, classes: ClassTable) -> Iterator[Frame]:
    """Read or generate the frames of a source, in order.

    Raises:
        SartmError: a frame without a label, or other class names than those of ``classes``.
    """
    if source.dataset == "synthetic":
        yield from _generate(source)
        return
    dataset = open_dataset(source.dataset, source.split)
    if dataset.classes.names != classes.names:
        raise SartmError(
            f"'{source.dataset}' has other classes than the run (data.classes)",
            got=", ".join(dataset.classes.names),
            expected=", ".join(classes.names),
        )
    for stem in dataset.stems:
        sample = dataset.read(stem)
        if sample.label is None:
            raise SartmError(
                f"frame '{stem}' of '{source.dataset}' has no label",
                remedy="name a split whose frames are labelled",
            )
        thermal = normalise(sample.thermal, valid=sample.thermal_valid)
        if thermal.shape != sample.label.shape:
            raise SartmError(
                f"frame '{stem}' of '{source.dataset}' has images of different size",
                got=f"thermal {thermal.shape}, label {sample.label.shape}",
                expected="thermal registered onto the RGB image's plane",
            )
        valid = np.ones_like(thermal) if sample.thermal_valid is None else sample.thermal_valid
        yield Frame(stem, sample.rgb, thermal, valid, sample.label, sample.night)


def count_frames(source: SourceConfig) -> int:
    """How many frames :func:`load_frames` gives."""
    if source.dataset == "synthetic":
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
