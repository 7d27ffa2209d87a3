"""Distillation of teachers into a student: what they say about each cell, a feature, relations.

The teachers' side is read from a cache (``training.teacher_outputs``), has the sample's geometry
and is always of the whole pair; the student's is the view that each sample was drawn for. So either
camera alone learns what both would have shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.classes import IGNORE_ID
from sartm_core.data.teacher_planes import LEAST
from sartm_core.errors import SartmError
from sartm_core.losses.distributed import sum_over_processes
from sartm_core.losses.gap import trusted_cells
from sartm_core.losses.labels import class_area, nearest_label
from sartm_core.losses.precision import at_least_float32, unit
from sartm_core.losses.prototypes import PrototypeBank, class_prototypes
from sartm_core.losses.relation import relation_loss, similarity


@dataclass(frozen=True)
class DistillConfig:
    """Distillation of teachers into this run's network; a weight of 0 = the term is not computed.

    Attributes:
        teachers: checkpoints or weights files with the run's classes; the mean of their
            probabilities is learned from, and the feature of the first one.
        flip: whether they look at the mirror image as well.
        scales: factors on the size of the image at which they look at it.
        cache: folder where what they say is kept, one file a frame.
        logits: weight of the divergence of the prediction from theirs.
        feature: weight of the distance of the multi-scale feature, through a learned projection,
            from the first teacher's.
        relation: weight of the relations between classes, after those in the first teacher.
        temperature: of the softened predictions.
        foreground_weight: of a cell of another class than 0 in the divergence, relative to class 0.
        unlabelled_share: where there is no label, the part of the cells of each predicted class,
            the most confident ones, that count; reckoned over each source.
        least_confidence: where there is no label, no cell counts below this probability.
        tau: temperature of the similarities between class prototypes.
        min_pixels: pixels of the label image that a class needs in a batch to have a prototype.
        ema: part of the old value that the moving averages of prototypes keep at each step.
    """

    teachers: list[str] = field(default_factory=list)
    flip: bool = True
    scales: list[float] = field(default_factory=lambda: [1.0])
    cache: str = "out/teacher_outputs"
    logits: float = 0.0
    feature: float = 0.0
    relation: float = 0.0
    temperature: float = 2.0
    foreground_weight: float = 5.0
    unlabelled_share: float = 0.6
    least_confidence: float = 0.5
    tau: float = 0.07
    min_pixels: int = 100
    ema: float = 0.99


def counted_cells(
    probability: torch.Tensor,
    label: torch.Tensor,
    threshold: torch.Tensor,
    labelled: torch.Tensor | None = None,
) -> torch.Tensor:
    """One-hot class of the cells that are learned from: those in which the teacher is right, and
    those without a label in which it is sure.

    Args:
        probability: the teacher's, [B,C,h,w]; zeros throughout a cell = it says nothing.
        label: int64 [B,H,W], 0..C-1 or 255; a cell has the label under its centre.
        threshold: [B,C], how sure it must be of each class where there is no label.
        labelled: bool [B,C] or None, which classes the sample's data set labels: a class that it
            does not label is right on background.

    Returns:
        bool [B,C,h,w]: of the label's class, or of the teacher's where there is no label.
    """
    confidence, predicted = probability.max(dim=1)
    needed = threshold.gather(1, predicted.flatten(1)).view_as(confidence)
    unknown = nearest_label(label, (predicted.shape[1], predicted.shape[2])) == IGNORE_ID
    sure = (unknown & (confidence >= needed)).unsqueeze(1)
    classes = torch.arange(probability.shape[1], device=label.device).view(1, -1, 1, 1)
    guessed = (predicted.unsqueeze(1) == classes) & sure
    said = (confidence > 0).unsqueeze(1)
    return (trusted_cells(probability, label, labelled) | guessed) & said


def distillation_loss(
    logits: torch.Tensor,
    probability: torch.Tensor,
    cells: torch.Tensor,
    temperature: float,
    foreground_weight: float,
) -> torch.Tensor:
    """T^2 KL(p^(1/T) || softmax(z / T)), p^(1/T) of sum 1 (Hinton et al., 2015): the mean over the
    cells, each weighted by the teacher's confidence and by its class.

    A class weight, and not the same mass for every class as in the gap between cameras: a crop
    often shows two cells of a cone, which would then pull as hard as all its background.

    Args:
        logits: z, the student's, float [B,C,h,w].
        probability: p, the teacher's, [B,C,h,w]; no gradient flows into it.
        cells: bool [B,C,h,w], from :func:`counted_cells`.
        temperature: T, above 0.
        foreground_weight: of a cell of another class than 0.

    Returns:
        Scalar; 0 if no cell counts.
    """
    student = (at_least_float32(logits) / temperature).log_softmax(dim=1)
    probability = at_least_float32(probability.detach())
    teacher = (probability.clamp_min(LEAST).log() / temperature).log_softmax(dim=1)
    divergence = (teacher.exp() * (teacher - student)).sum(dim=1)
    of_class = probability.new_full((cells.shape[1], 1, 1), foreground_weight)
    of_class[0] = 1.0
    weight = probability.amax(dim=1) * (cells * of_class).sum(dim=1)
    total = sum_over_processes((divergence * weight).sum())
    return temperature**2 * total / sum_over_processes(weight.sum()).clamp_min(1e-6)


def feature_loss(projected: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over the cells of 1 - cos(P f, g - c), c the mean of the teacher's feature over the
    run's frames: around it, as cosines of features that are nowhere negative are all close to 1.

    Args:
        projected: P f, the student's, float [B,D,h,w].
        target: g - c, the teacher's, [B,D,h,w]; zeros throughout a cell = there is none.

    Returns:
        Scalar, 0..2; 0 if no cell has a target.
    """
    target = at_least_float32(target.detach()).movedim(1, -1)
    cosine = (unit(at_least_float32(projected).movedim(1, -1)) * unit(target)).sum(dim=-1)
    there = target.abs().amax(dim=-1) > 0
    total = sum_over_processes(((1.0 - cosine) * there).sum())
    return total / sum_over_processes(there.sum()).clamp_min(1)


class TeacherDistillation(nn.Module):
    """The terms of one batch, with what they need: a projection that is trained, and moving
    averages of prototypes. None of it is part of the network.

    Terms are computed in float32 at least, over the joint batch of all processes.

    Args:
        config: weights and constants.
        classes: C, background included.
        channels: of the student's feature.
        teacher_channels: of the first teacher's feature.
    """

    def __init__(
        self, config: DistillConfig, *, classes: int, channels: int, teacher_channels: int
    ) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        self.projection: nn.Conv2d | None = None
        if config.feature > 0:
            self.projection = nn.Conv2d(channels, teacher_channels, 1)
        sizes = {"teacher": teacher_channels, "student": channels} if config.relation > 0 else {}
        self.banks = nn.ModuleDict(
            {name: PrototypeBank(classes, size, config.ema) for name, size in sizes.items()}
        )
        self._pending: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def forward(
        self,
        logits: torch.Tensor,
        feature: torch.Tensor | None,
        probability: torch.Tensor,
        teacher_feature: torch.Tensor | None,
        threshold: torch.Tensor,
        label: torch.Tensor,
        labelled: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """The terms whose weight is above 0.

        Args:
            logits: the student's, float [B,C,h,w].
            feature: the student's multi-scale feature, float [B,D,h,w].
            probability, teacher_feature: the teachers', [B,C,.,.] and [B,D',.,.]; zeros throughout
                a cell = nothing. Each is brought to the other side's grid where they differ: the
                probabilities to that of the logits, the student's feature to the teacher's.
            threshold: [B,C], see :func:`counted_cells`.
            label: int64 [B,H,W], 0..C-1 or 255.
            labelled: bool [B,C] or None, which classes the sample's data set labels.

        Returns:
            Weight's name -> unweighted scalar.

        Raises:
            SartmError: a term needs a feature that the student or the teacher does not have.
        """
        config = self.config
        parts: dict[str, torch.Tensor] = {}
        with torch.autocast(label.device.type, enabled=False):
            if config.logits > 0:
                probability = _at_size(probability, (logits.shape[2], logits.shape[3]))
                cells = counted_cells(probability, label, threshold, labelled)
                parts["logits"] = distillation_loss(
                    logits, probability, cells, config.temperature, config.foreground_weight
                )
            if config.feature > 0 or config.relation > 0:
                ours, theirs = _both(feature, teacher_feature)
            if self.projection is not None:
                pooled = F.adaptive_avg_pool2d(ours, (theirs.shape[2], theirs.shape[3]))
                parts["feature"] = feature_loss(self.projection(pooled), theirs)
            if config.relation > 0:
                parts["relation"] = self._relation(ours, theirs, label)
        return parts

    def update(self) -> None:
        """Move the averages by the prototypes of the last :meth:`forward`; call it after the loss.

        A second call without another forward changes nothing.
        """
        for name, (prototypes, present) in self._pending.items():
            self._bank(name).update(prototypes, present)
        self._pending = {}

    def _relation(
        self, feature: torch.Tensor, teacher: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        """``relation_loss`` with the teacher's prototypes in the place of words."""
        config = self.config
        said = teacher.abs().amax(dim=1, keepdim=True) > 0
        coarse = class_area(label, self.classes, (teacher.shape[2], teacher.shape[3])) * said
        fine = class_area(label, self.classes, (feature.shape[2], feature.shape[3]))
        pixels = label[0].numel() / said[0].numel() * coarse.sum((0, 2, 3))
        present = sum_over_processes(pixels) >= max(1, config.min_pixels)
        theirs, ours = class_prototypes(teacher, coarse), class_prototypes(feature, fine)
        self._pending = {
            "teacher": (theirs.detach(), present),
            "student": (ours.detach(), present),
        }
        foreground = torch.arange(self.classes, device=label.device) > 0
        known_theirs, known = self._bank("teacher").completed(theirs, present)
        known_ours, _ = self._bank("student").completed(ours, present)
        centre = self._bank("teacher").centre(theirs, present, foreground)
        target = similarity(known_theirs, known_theirs, centre, config.tau)
        centre = self._bank("student").centre(ours, present, foreground)
        return relation_loss(
            target,
            similarity(ours, known_ours, centre, config.tau),
            rows=present & foreground,
            columns=known & foreground,
        )

    def _bank(self, name: str) -> PrototypeBank:
        bank = self.banks[name]
        assert isinstance(bank, PrototypeBank)
        return bank


def _at_size(probability: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """On another grid; a cell that mixes something with nothing has nothing."""
    if probability.shape[2:] == size:
        return probability
    resized = F.interpolate(probability, size=size, mode="bilinear")
    return resized * (resized.sum(dim=1, keepdim=True) > 1 - 1e-3)


def _both(
    feature: torch.Tensor | None, teacher: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    if feature is None or teacher is None:
        raise SartmError(
            "distill.feature and distill.relation act on multi-scale features",
            got="none in the " + ("student" if feature is None else "first teacher"),
            remedy="a network with aux in model.heads, or both weights 0",
        )
    return at_least_float32(feature), at_least_float32(teacher)
