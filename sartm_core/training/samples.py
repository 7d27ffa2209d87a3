"""Training samples as a pure function of (seed, step, place in the batch)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace

import numpy as np
import torch

from sartm_core.classes import IGNORE_ID, class_table
from sartm_core.data.augment import (
    RGB_HIDDEN,
    THERMAL_HIDDEN,
    AugmentConfig,
    Donor,
    Region,
    TrainingSample,
    augment,
    find_regions,
)
from sartm_core.training.config import DataConfig
from sartm_core.training.frame import Frame

MIN_CLASS_PIXELS = 50
CANDIDATES = 4  # objects drawn for each that may be pasted: most fit neither crop nor place
MID_GREY = 127


class Source:
    """Frames of one data set, indexed by class.

    Args:
        frames: at least one.
        weight: share of the training samples, relative to other sources.
        labelled: bool [C], the classes that the data set labels; None = all.
        threshold: float32 [C], how sure a teacher must be of a class where there is no label; None
            = teachers were not asked.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        weight: float,
        labelled: np.ndarray | None = None,
        threshold: np.ndarray | None = None,
    ) -> None:
        self.frames = frames
        self.weight = weight
        self.labelled = labelled
        self.threshold = threshold
        self.frames_of: dict[int, list[int]] = {}
        for index, frame in enumerate(frames):
            counts = np.bincount(frame.label.ravel(), minlength=256)
            for class_id in np.flatnonzero(counts[1:IGNORE_ID] >= MIN_CLASS_PIXELS) + 1:
                self.frames_of.setdefault(int(class_id), []).append(index)
        self._objects: dict[tuple[int, ...], _Objects] = {}

    def draw(self, data: DataConfig, rng: np.random.Generator) -> tuple[Frame, _Point | None]:
        """A frame, and a pixel of a foreground class in the centred part of the draws."""
        if not self.frames_of or rng.random() >= data.centered:
            return self.frames[int(rng.integers(len(self.frames)))], None
        class_id = _draw_class(self.frames_of, data.rarity, rng)
        frame = self.frames[rng.choice(self.frames_of[class_id])]
        pixel = int(rng.choice(np.flatnonzero(frame.label == class_id)))
        y, x = divmod(pixel, frame.label.shape[1])
        return frame, (float(x), float(y))

    def draw_donors(
        self,
        target: Frame,
        count: int,
        classes: Sequence[int],
        rarity: float,
        rng: np.random.Generator,
    ) -> list[Donor]:
        """Objects of other frames of the target's light (day, night), their classes drawn as those
        of centred crops.

        Args:
            target: frame that they are pasted into.
            count: how many are drawn; those of the target itself are left out.
            classes: ids that are pasted; empty = all but 0.
            rarity: see ``DataConfig``.
            rng: the only source of randomness.
        """
        objects = self._find_objects(tuple(classes))[target.night]
        donors: list[Donor] = []
        for _ in range(count if objects else 0):
            frames = objects[_draw_class(objects, rarity, rng)]
            index = list(frames)[int(rng.integers(len(frames)))]
            region = frames[index][int(rng.integers(len(frames[index])))]
            frame = self.frames[index]
            if frame is not target:
                donors.append(Donor(frame.rgb, frame.thermal, frame.label, region, frame.teacher))
        return donors

    def _find_objects(self, classes: tuple[int, ...]) -> _Objects:
        """Searched for at the first use: a run without copy-paste does not pay for it."""
        if classes not in self._objects:
            found: _Objects = {False: {}, True: {}}
            for index, frame in enumerate(self.frames):
                for region in find_regions(frame.label, frame.thermal_valid, classes):
                    for class_id in region.classes:
                        frames = found[frame.night].setdefault(class_id, {})
                        frames.setdefault(index, []).append(region)
            self._objects[classes] = found
        return self._objects[classes]


_Point = tuple[float, float]
_Objects = dict[bool, dict[int, dict[int, list[Region]]]]  # night -> class -> frame -> regions


def _draw_class(frames_of: Mapping[int, Sized], rarity: float, rng: np.random.Generator) -> int:
    """A class in proportion to (number of frames that show it) ** -rarity."""
    classes = sorted(frames_of)
    share = np.array([len(frames_of[c]) for c in classes], float) ** -rarity
    return int(classes[rng.choice(len(classes), p=share / share.sum())])


@dataclass(frozen=True)
class DrawnSample(TrainingSample):
    """A training sample and what holds for all of its source.

    Attributes:
        labelled: bool [C].
        threshold: float32 [C]; None = teachers were not asked.
    """

    labelled: np.ndarray
    threshold: np.ndarray | None


def draw_sample(
    sources: Sequence[Source],
    data: DataConfig,
    augmentation: AugmentConfig,
    place: tuple[int, int, int],
) -> DrawnSample:
    """The training sample at ``place`` = (seed, step, place in the batch)."""
    rng = np.random.default_rng(place)
    weights = np.array([source.weight for source in sources])
    source = sources[rng.choice(len(sources), p=weights / weights.sum())]
    frame, center = source.draw(data, rng)
    donors: list[Donor] = []
    if augmentation.copy_paste > 0:
        count = CANDIDATES * augmentation.paste_count
        donors = source.draw_donors(frame, count, augmentation.paste_classes, data.rarity, rng)
    sample = augment(
        frame.rgb,
        frame.thermal,
        frame.thermal_valid,
        frame.label,
        augmentation,
        rng,
        center=center,
        modalities=data.modalities,
        donors=donors,
        teacher=frame.teacher,
    )
    labelled = source.labelled
    if labelled is None:
        labelled = np.ones(len(class_table(data.classes)), bool)
    return DrawnSample(**vars(sample), labelled=labelled, threshold=source.threshold)


@dataclass(frozen=True)
class TeacherTarget:
    """What teachers say about a batch; zeros throughout a cell = nothing.

    Attributes:
        probability: float32 [B,C,H/4,W/4].
        feature: float32 [B,D,H/16,W/16] around its mean over the run's frames; None = the first
            teacher has none.
        threshold: float32 [B,C], how sure they must be of a class where there is no label.
    """

    probability: torch.Tensor
    feature: torch.Tensor | None
    threshold: torch.Tensor

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> TeacherTarget:
        """The same with every tensor changed."""
        feature = None if self.feature is None else change(self.feature)
        return TeacherTarget(change(self.probability), feature, change(self.threshold))


@dataclass(frozen=True)
class Batch:
    """Tensors for the network and the loss.

    Attributes:
        rgb: uint8 [B,H,W,3].
        thermal, thermal_valid: uint8 [B,H,W,1].
        present: float32 [B,2].
        label: int64 [B,H,W].
        hidden: uint8 [B,H,W], 0 nothing, 1 RGB hidden, 2 thermal hidden; see :func:`apply_hidden`.
        labelled: bool [B,C], the classes that each sample's data set labels.
        teacher: what teachers say about the whole pair; None = they were not asked.
    """

    rgb: torch.Tensor
    thermal: torch.Tensor
    thermal_valid: torch.Tensor
    present: torch.Tensor
    label: torch.Tensor
    hidden: torch.Tensor
    labelled: torch.Tensor
    teacher: TeacherTarget | None = None

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """The same with every tensor changed."""
        tensors = {name: change(value) for name, value in vars(self).items() if name != "teacher"}
        return Batch(**tensors, teacher=self.teacher and self.teacher.map(change))

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return self.map(lambda tensor: tensor.to(device))

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The network's arguments, in order."""
        return self.rgb, self.thermal, self.thermal_valid, self.present


def collate(samples: Iterable[DrawnSample]) -> Batch:
    """Stack samples of one size."""
    rows = list(samples)
    return Batch(
        rgb=torch.from_numpy(np.stack([row.rgb for row in rows])),
        thermal=torch.from_numpy(np.stack([row.thermal for row in rows])[..., None]),
        thermal_valid=torch.from_numpy(np.stack([row.thermal_valid for row in rows])[..., None]),
        present=torch.from_numpy(np.stack([row.present for row in rows])),
        label=torch.from_numpy(np.stack([row.label for row in rows]).astype(np.int64)),
        hidden=torch.from_numpy(np.stack([row.hidden for row in rows])),
        labelled=torch.from_numpy(np.stack([row.labelled for row in rows])),
        teacher=_collate_teacher(rows),
    )


def _collate_teacher(rows: Sequence[DrawnSample]) -> TeacherTarget | None:
    targets = [row.teacher for row in rows if row.teacher is not None]
    thresholds = [row.threshold for row in rows if row.threshold is not None]
    if not targets:
        return None
    features = [target.feature for target in targets if target.feature is not None]
    return TeacherTarget(
        probability=torch.from_numpy(np.stack([target.probability for target in targets])),
        feature=torch.from_numpy(np.stack(features)) if features else None,
        threshold=torch.from_numpy(np.stack(thresholds)),
    )


def apply_hidden(batch: Batch) -> Batch:
    """The batch with its hidden blocks masked: RGB is mid grey there, thermal not valid."""
    without_rgb = (batch.hidden == RGB_HIDDEN)[..., None]
    without_thermal = (batch.hidden == THERMAL_HIDDEN)[..., None]
    return replace(
        batch,
        rgb=batch.rgb.masked_fill(without_rgb, MID_GREY),
        thermal=batch.thermal.masked_fill(without_thermal, 0),
        thermal_valid=batch.thermal_valid.masked_fill(without_thermal, 0),
    )
