"""Cross-modal knowledge distillation: all terms of one batch, top to bottom.

Each term is a function in ``gap``, ``relation`` and ``alignment``; what they share (prototypes and
their moving averages) is in ``prototypes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.losses.alignment import prototype_alignment_loss
from sartm_core.losses.gap import gap_loss, prototype_gap_loss, trusted_cells
from sartm_core.losses.labels import class_area, class_pixels
from sartm_core.losses.precision import at_least_float32
from sartm_core.losses.prototypes import PrototypeBank, class_prototypes
from sartm_core.losses.relation import relation_loss, similarity
from sartm_core.losses.released import (
    RunningPrototypes,
    released_prototypes,
    released_relation_loss,
)

CAMERAS = ("rgb", "thermal")
VIEWS = ("fused", *CAMERAS)


@dataclass(frozen=True)
class CmkdConfig:
    """Weights of the terms of cross-modal knowledge distillation; 0 = the term is not computed.

    Attributes:
        gap: of the divergence of each camera's prediction from that of both.
        gap_prototype: of the distance of each camera's prototypes from those of both. Released
            form: of the prototype loss.
        relation: of the relations between classes, after those between their words. Released form:
            of the divergence between the similarity matrices.
        alignment_prototype: of the alignment of prototypes with words.
        temperature: of the softened predictions in the gap.
        tau_text, tau_visual: temperatures of similarities between words / between prototypes.
        ramp: part of the run over which the gap grows from 0 to its full weight.
        min_pixels: pixels of the label image that a class needs in a batch to have a prototype.
        ema: part of the old value that the moving averages of prototypes keep at each step.
    """

    gap: float = 0.0
    gap_prototype: float = 0.0
    relation: float = 0.0
    alignment_prototype: float = 0.0
    temperature: float = 2.0
    tau_text: float = 0.07
    tau_visual: float = 0.07
    ramp: float = 0.1
    min_pixels: int = 100
    ema: float = 0.99


class View(Protocol):
    """What CMKD uses of a decoded batch."""

    @property
    def logits(self) -> torch.Tensor:
        """Float [B,C,h,w]."""

    @property
    def feature(self) -> torch.Tensor | None:
        """Float [B,D,h,w]."""


@dataclass(frozen=True)
class _Observed:
    """Prototypes [C,D] of one view, and bool [C]: which classes have one."""

    prototypes: torch.Tensor
    present: torch.Tensor

    def detached(self) -> _Observed:
        return _Observed(self.prototypes.detach(), self.present)


class CrossModalDistillation(nn.Module):
    """The distillation terms, with the moving averages that they need. Nothing in it is trained.

    Terms are computed in float32 at least, over the joint batch of all processes.

    Args:
        config: weights and constants.
        classes: C, background included.
        channels: D, of the feature.
        words: float32 [C,E], unit rows, zeros for a class without a word; needed by ``relation``
            and ``alignment_prototype``.
        centre: float32 [E], the mean over a fixed reference vocabulary; needed with words, except
            in the released form.
        released: compute the terms as the code released with the paper does (``released.py``).

    Raises:
        SartmError: a term is on that needs words, or that the released form does not have.
    """

    words: torch.Tensor
    centre: torch.Tensor
    named: torch.Tensor

    def __init__(
        self,
        config: CmkdConfig,
        *,
        classes: int,
        channels: int,
        words: torch.Tensor | None = None,
        centre: torch.Tensor | None = None,
        released: bool = False,
    ) -> None:
        super().__init__()
        _check(config, words, centre, released)
        self.config = config
        self.classes = classes
        words = torch.zeros(classes, 1) if words is None else words.detach().clone()
        centre = torch.zeros(words.shape[1]) if centre is None else centre.detach().clone()
        self.register_buffer("words", words, persistent=False)
        self.register_buffer("centre", centre, persistent=False)
        self.register_buffer("named", words.abs().sum(dim=1) > 0, persistent=False)
        self.running = RunningPrototypes(classes, channels) if released else None
        self.banks = nn.ModuleDict(
            {} if released else {v: PrototypeBank(classes, channels, config.ema) for v in VIEWS}
        )
        self._pending: dict[str, _Observed] = {}

    def forward(
        self,
        views: Mapping[str, View],
        target: torch.Tensor | None,
        label: torch.Tensor,
        progress: float,
        embed: Callable[[torch.Tensor], torch.Tensor] | None = None,
        labelled: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """The terms whose weight is above 0.

        Args:
            views: the batch decoded with both cameras (``fused``) and, where the gap is on or their
                prototypes are to take part, with one (``rgb``, ``thermal``). Relation and alignment
                are means over the views that are there; the gap is one over the cameras.
            target: z_11, logits [B,C,h,w] of the undropped, uncorrupted pair; None = those of
                ``fused``. No gradient flows into it.
            label: int64 [B,H,W], 0..C-1 or 255.
            progress: part of the run that is done, 0..1.
            embed: feature space [N,D] to text space [N,E], for ``alignment_prototype``.
            labelled: bool [B,C] or None, which classes the sample's data set labels.

        Returns:
            Weight's name -> unweighted scalar; ``gap`` already carries its ramp.

        Raises:
            SartmError: a view, a feature or ``embed`` that a term needs is missing.
        """
        config = self.config
        with torch.autocast(label.device.type, enabled=False):
            if self.running is not None:
                return self._released(self.running, views["fused"], label)
            observed = self._observe(views, label)
            self._pending = {name: seen.detached() for name, seen in observed.items()}
            parts: dict[str, torch.Tensor] = {}
            if config.gap > 0:
                reference = views["fused"].logits if target is None else target
                cells = trusted_cells(reference, label, labelled)
                terms = [
                    gap_loss(views[camera].logits, reference, cells, config.temperature)
                    for camera in self._cameras(views)
                ]
                ramp = min(1.0, progress / config.ramp) if config.ramp > 0 else 1.0
                parts["gap"] = ramp * _mean(terms)
            if config.gap_prototype > 0:
                terms = [
                    self._prototype_gap(observed[camera], observed["fused"])
                    for camera in self._cameras(views)
                ]
                parts["gap_prototype"] = _mean(terms)
            if config.relation > 0:
                terms = [self._relation(seen, self._bank(name)) for name, seen in observed.items()]
                parts["relation"] = _mean(terms)
            if config.alignment_prototype > 0:
                if embed is None:
                    raise SartmError("cmkd.alignment_prototype needs the head in text space")
                terms = [self._alignment(seen, embed) for seen in observed.values()]
                parts["alignment_prototype"] = _mean(terms)
        return parts

    def weigh(self, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The sum of the terms of :meth:`forward`, each times its weight."""
        weighted = (getattr(self.config, name) * part for name, part in parts.items())
        return sum(weighted, start=torch.zeros(()))

    def update(self) -> None:
        """Move the averages by the prototypes of the last :meth:`forward`; call it after the loss.

        A second call without another forward changes nothing.
        """
        for view, seen in self._pending.items():
            if self.running is not None:
                self.running.update(seen.prototypes)
            else:
                self._bank(view).update(seen.prototypes, seen.present)
        self._pending = {}

    @torch.no_grad()
    def similarities(self) -> dict[str, torch.Tensor]:
        """Cosines between words and between averaged prototypes, around their centres; for
        pictures.

        Returns:
            ``words`` and each view -> [K,K], -1..1, over the K classes that have a word; NaN where
            a view has not seen a class.
        """
        pictures = {"words": similarity(self.words, self.words, self.centre, 1.0)}
        if self.running is not None:
            mean = self.running.mean
            pictures["fused"] = similarity(mean, mean, torch.zeros_like(mean[0]), 1.0)
        for name in self.banks:
            bank = self._bank(name)
            centre = bank.centre(bank.mean, torch.zeros_like(bank.seen), self.named)
            known = bank.seen[:, None] & bank.seen[None, :]
            cosines = similarity(bank.mean, bank.mean, centre, 1.0)
            pictures[name] = cosines.masked_fill(~known, torch.nan)
        return {name: matrix[self.named][:, self.named] for name, matrix in pictures.items()}

    def _observe(self, views: Mapping[str, View], label: torch.Tensor) -> dict[str, _Observed]:
        config = self.config
        if not (config.gap_prototype > 0 or config.relation > 0 or config.alignment_prototype > 0):
            return {}
        present = class_pixels(label, self.classes) >= max(1, config.min_pixels)
        observed = {}
        for name in VIEWS:
            if name in views:
                feature = _feature(views[name])
                area = class_area(label, self.classes, (feature.shape[2], feature.shape[3]))
                observed[name] = _Observed(class_prototypes(feature, area), present)
        return observed

    def _cameras(self, views: Mapping[str, View]) -> list[str]:
        cameras = [name for name in CAMERAS if name in views]
        if not cameras:
            raise SartmError(
                "cmkd.gap and cmkd.gap_prototype need a view of one camera",
                got=sorted(views),
                expected=" or ".join(CAMERAS),
            )
        return cameras

    def _prototype_gap(self, camera: _Observed, fused: _Observed) -> torch.Tensor:
        foreground = torch.arange(self.classes, device=fused.present.device) > 0
        centre = self._bank("fused").centre(fused.prototypes, fused.present, foreground)
        return prototype_gap_loss(camera.prototypes, fused.prototypes, centre, fused.present)

    def _relation(self, seen: _Observed, bank: PrototypeBank) -> torch.Tensor:
        columns, known = bank.completed(seen.prototypes, seen.present)
        centre = bank.centre(seen.prototypes, seen.present, self.named)
        return relation_loss(
            similarity(self.words, self.words, self.centre, self.config.tau_text),
            similarity(seen.prototypes, columns, centre, self.config.tau_visual),
            rows=seen.present & self.named,
            columns=known & self.named,
        )

    def _alignment(
        self, seen: _Observed, embed: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        embedded = at_least_float32(embed(seen.prototypes))
        return prototype_alignment_loss(
            embedded,
            self.words.to(embedded.dtype),
            self.centre.to(embedded.dtype),
            rows=seen.present & self.named,
            named=self.named,
            temperature=self.config.tau_text,
        )

    def _released(
        self, running: RunningPrototypes, fused: View, label: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        prototypes = released_prototypes(_feature(fused), label, self.classes)
        self._pending = {"fused": _Observed(prototypes.detach(), self.named)}
        parts = {}
        if self.config.gap_prototype > 0:
            parts["gap_prototype"] = running.loss(prototypes)
        if self.config.relation > 0:
            parts["relation"] = released_relation_loss(prototypes, self.words, self.named)
        return parts

    def _bank(self, view: str) -> PrototypeBank:
        bank = self.banks[view]
        assert isinstance(bank, PrototypeBank)
        return bank


def _check(
    config: CmkdConfig, words: torch.Tensor | None, centre: torch.Tensor | None, released: bool
) -> None:
    if released and (config.gap > 0 or config.alignment_prototype > 0):
        raise SartmError(
            "the released form has no cmkd.gap and no cmkd.alignment_prototype",
            got=f"{config.gap} and {config.alignment_prototype}",
            expected="0 and 0",
        )
    if config.relation > 0 or config.alignment_prototype > 0:
        if words is None:
            raise SartmError(
                "cmkd.relation and cmkd.alignment_prototype need words",
                remedy="name a language.encoder or set both to 0",
            )
        if centre is None and not released:
            raise SartmError("words need the centre of a reference vocabulary")


def _feature(view: View) -> torch.Tensor:
    if view.feature is None:
        raise SartmError(
            "distillation of prototypes acts on the multi-scale feature, and the network has none",
            remedy="add aux to model.heads",
        )
    return view.feature


def _mean(terms: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(terms).mean()
