"""Training samples as a pure function of (seed, step, place in the batch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sartm_core.classes import IGNORE_ID
from sartm_core.data.augment import AugmentConfig, TrainingSample, augment
from sartm_core.training.config import DataConfig
from sartm_core.training.data import Frame

MIN_CLASS_PIXELS = 50


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
