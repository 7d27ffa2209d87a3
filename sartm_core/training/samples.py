"""Training samples as a pure function of (seed, step, place in the batch)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sartm_core.classes import IGNORE_ID, ClassTable
from sartm_core.data.augment import AugmentConfig, TrainingSample, augment
from sartm_core.data.datasets import open_dataset
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.thermal import normalise
from sartm_core.training.config import DataConfig, SourceConfig

MIN_CLASS_PIXELS = 50
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


class Source:
    """Frames of one data set, indexed by class.

    Args:
        frames: at least one.
        weight: share of the training samples, relative to other sources.
    """

    def __init__(self, frames: Sequence[Frame], weight: float) -> None:
        self.frames = frames
        self.weight = weight
        self.frames_of: dict[int, list[int]] = {}
        for index, frame in enumerate(frames):
            counts = np.bincount(frame.label.ravel(), minlength=256)
            for class_id in np.flatnonzero(counts[1:IGNORE_ID] >= MIN_CLASS_PIXELS) + 1:
                self.frames_of.setdefault(int(class_id), []).append(index)

    def draw(self, data: DataConfig, rng: np.random.Generator) -> tuple[Frame, _Point | None]:
        """A frame, and a pixel of a foreground class in the centred part of the draws."""
        if not self.frames_of or rng.random() >= data.centered:
            return self.frames[int(rng.integers(len(self.frames)))], None
        classes = sorted(self.frames_of)
        share = np.array([len(self.frames_of[c]) for c in classes], float) ** -data.rarity
        class_id = classes[rng.choice(len(classes), p=share / share.sum())]
        frame = self.frames[rng.choice(self.frames_of[class_id])]
        pixel = int(rng.choice(np.flatnonzero(frame.label == class_id)))
        y, x = divmod(pixel, frame.label.shape[1])
        return frame, (float(x), float(y))


_Point = tuple[float, float]


def draw_sample(
    sources: Sequence[Source],
    data: DataConfig,
    augmentation: AugmentConfig,
    place: tuple[int, int, int],
) -> TrainingSample:
    """The training sample at ``place`` = (seed, step, place in the batch)."""
    rng = np.random.default_rng(place)
    weights = np.array([source.weight for source in sources])
    source = sources[rng.choice(len(sources), p=weights / weights.sum())]
    frame, center = source.draw(data, rng)
    return augment(
        frame.rgb,
        frame.thermal,
        frame.thermal_valid,
        frame.label,
        augmentation,
        rng,
        center=center,
        modalities=data.modalities,
    )


@dataclass(frozen=True)
class Batch:
    """Tensors for the network and the loss.

    Attributes:
        rgb: uint8 [B,H,W,3].
        thermal, thermal_valid: uint8 [B,H,W,1].
        present: float32 [B,2].
        label: int64 [B,H,W].
    """

    rgb: torch.Tensor
    thermal: torch.Tensor
    thermal_valid: torch.Tensor
    present: torch.Tensor
    label: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The network's arguments, in order."""
        return self.rgb, self.thermal, self.thermal_valid, self.present


def collate(samples: Iterable[TrainingSample]) -> Batch:
    """Stack samples of one size."""
    rows = list(samples)
    return Batch(
        rgb=torch.from_numpy(np.stack([row.rgb for row in rows])),
        thermal=torch.from_numpy(np.stack([row.thermal for row in rows])[..., None]),
        thermal_valid=torch.from_numpy(np.stack([row.thermal_valid for row in rows])[..., None]),
        present=torch.from_numpy(np.stack([row.present for row in rows])),
        label=torch.from_numpy(np.stack([row.label for row in rows]).astype(np.int64)),
    )


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
        thermal = normalise(sample.thermal)
        if thermal.shape != sample.label.shape:
            raise SartmError(
                f"frame '{stem}' of '{source.dataset}' has images of different size",
                got=f"thermal {thermal.shape}, label {sample.label.shape}",
                expected="thermal registered onto the RGB image's plane",
            )
        yield Frame(stem, sample.rgb, thermal, np.ones_like(thermal), sample.label, sample.night)


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
