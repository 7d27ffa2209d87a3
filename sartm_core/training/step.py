"""What one training step computes, as one module, so that distributed training sees one forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.losses import CrossModalDistillation, TeacherDistillation, segmentation_loss
from sartm_core.losses.distributed import sum_over_processes
from sartm_core.models import RgbThermalNetwork
from sartm_core.models.network import Decoded
from sartm_core.models.text_head import TextHead
from sartm_core.training.config import Config
from sartm_core.training.samples import Batch, apply_hidden

if TYPE_CHECKING:
    from sartm_core.language.grounding import ImageNetFeatures

BOTH, RGB_ONLY, THERMAL_ONLY = (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)


@dataclass(frozen=True)
class StepLoss:
    """The loss of a batch.

    Attributes:
        total: weighted sum, scalar.
        parts: name -> unweighted term, scalar.
        weighted: the weighted terms that a gradient reaches, for measuring their gradients.
        feature: of all views, where those gradients are measured; None if there is none.
    """

    total: torch.Tensor
    parts: dict[str, torch.Tensor]
    weighted: dict[str, torch.Tensor]
    feature: torch.Tensor | None


class TrainingStep(nn.Module):
    """Network, distillation between modalities and from teachers, and losses.

    With the modality gap on, fusion and heads run three times on one pass of the encoders: with
    both cameras, with RGB alone, with thermal alone. The three are one batch, so that batch
    statistics in training and running statistics afterwards are of the same mixture. Labels and
    what teachers say are learned in the view that each sample was drawn for (modality dropout), one
    of the three.

    Args:
        network: teacher or student.
        cmkd: distillation between modalities, or None.
        imagenet: frozen encoder that grounds the text head, or None.
        config: of the run.
        distill: distillation from teachers, or None.
    """

    def __init__(
        self,
        network: RgbThermalNetwork,
        cmkd: CrossModalDistillation | None,
        imagenet: ImageNetFeatures | None,
        config: Config,
        distill: TeacherDistillation | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.cmkd = cmkd
        self.distill = distill
        self._imagenet = (imagenet,)  # not a submodule: frozen, no part of a checkpoint
        self.config = config

    def forward(self, batch: Batch, progress: float) -> StepLoss:
        """The loss of a batch; ``progress`` is the part of the run that is done, 0 to 1."""
        label_view, views, target, feature = self._views(batch)
        labelled = None if batch.labelled.all() else batch.labelled
        parts: dict[str, torch.Tensor] = {}
        weighted: dict[str, torch.Tensor] = {}
        text = getattr(self.network, "text", None)
        heads = dict(label_view.heads)
        if text is not None:
            heads["text"] = text(label_view.feature)
        for name, logits in heads.items():
            # contiguous: with the channels last, reductions over them take several times as long
            logits = logits.float().contiguous()
            logits = F.interpolate(logits, size=batch.label.shape[1:], mode="bilinear")
            loss, terms = segmentation_loss(logits, batch.label, self.config.loss, labelled)
            weight = self.config.language.alignment if name == "text" else 1.0
            parts |= {f"{name}/{term}": value for term, value in terms.items()}
            weighted[f"label/{name}"] = weight * loss
        if self.cmkd is not None:
            embed = text.embed if text is not None else None
            terms = self.cmkd(views, target, batch.label, progress, embed, labelled)
            parts |= {f"cmkd/{term}": value for term, value in terms.items()}
            weighted |= {
                f"cmkd/{term}": self.cmkd.weigh({term: value}) for term, value in terms.items()
            }
        if self.distill is not None:
            said = batch.teacher
            assert said is not None
            terms = self.distill(
                label_view.logits,
                label_view.feature,
                said.probability,
                said.feature,
                said.threshold,
                batch.label,
                labelled,
            )
            for term, value in terms.items():
                parts[f"distill/{term}"] = value
                weighted[f"distill/{term}"] = getattr(self.config.distill, term) * value
        if self._imagenet[0] is not None and label_view.feature is not None:
            term = self._grounding(batch, label_view.feature)
            parts["grounding"] = term
            weighted["grounding"] = self.config.language.grounding_weight * term
        total = torch.stack([*weighted.values()]).sum()
        return StepLoss(total, parts, weighted, feature)

    def _views(
        self, batch: Batch
    ) -> tuple[Decoded, dict[str, Decoded], torch.Tensor | None, torch.Tensor | None]:
        """The view that learns from labels, the views of CMKD, the logits that the gap aims at
        where they are not those of the view ``fused``, and the feature of all views."""
        cmkd = self.config.cmkd
        masked = apply_hidden(batch)
        if cmkd.gap == 0 and cmkd.gap_prototype == 0:
            encoded = self.network.encode(*masked.inputs)
            view = self.network.decode(encoded, batch.present)
            return view, {"fused": view}, None, view.feature
        size = len(batch.present)
        both, rgb, thermal = (
            batch.present.new_tensor(flags).expand(size, 2)
            for flags in (BOTH, RGB_ONLY, THERMAL_ONLY)
        )
        target = None
        if batch.hidden.any():
            target = self._unmasked(batch, both)
        encoded = self.network.encode(masked.rgb, masked.thermal, masked.thermal_valid, both)
        decoded = self.network.decode(encoded.repeat(3), torch.cat([both, rgb, thermal]))
        views = dict(zip(("fused", "rgb", "thermal"), decoded.split(3), strict=True))
        return _as_drawn(views, batch.present), views, target, decoded.feature

    @torch.no_grad()
    def _unmasked(self, batch: Batch, both: torch.Tensor) -> torch.Tensor:
        """Logits of the uncorrupted pair, from the running statistics of BatchNorm, which stay."""
        learning = [part for part in self.network.modules() if part.training]
        self.network.eval()
        logits: torch.Tensor = self.network(batch.rgb, batch.thermal, batch.thermal_valid, both)
        for part in learning:
            part.training = True
        return logits

    def _grounding(self, batch: Batch, feature: torch.Tensor) -> torch.Tensor:
        """Distance of the text head's visual side from the ImageNet encoder's features, mean over
        the samples of all processes that have RGB."""
        imagenet, text = self._imagenet[0], self.network.text
        assert imagenet is not None
        assert isinstance(text, TextHead)
        there = batch.present[:, 0] > 0.5
        # A process without such a sample takes part in the sums, and its weights get gradients.
        total = 0.0 * feature.float().sum()
        if there.any():
            rgb = batch.rgb[there].permute(0, 3, 1, 2).float()
            target = imagenet.to(rgb.device)(rgb)
            total = text.grounding_loss(feature[there], target) * there.sum()
        return sum_over_processes(total) / sum_over_processes(there.sum()).clamp_min(1)


def _as_drawn(views: dict[str, Decoded], present: torch.Tensor) -> Decoded:
    """Per sample, the view of the cameras that it was drawn with."""
    rgb = (present[:, 0] > 0.5).view(-1, 1, 1, 1)
    thermal = (present[:, 1] > 0.5).view(-1, 1, 1, 1)

    def choose(fused: torch.Tensor, rgb_only: torch.Tensor, only: torch.Tensor) -> torch.Tensor:
        return torch.where(rgb & thermal, fused, torch.where(rgb, rgb_only, only))

    fused, rgb_only, thermal_only = (views[name] for name in ("fused", "rgb", "thermal"))
    return Decoded(
        choose(fused.logits, rgb_only.logits, thermal_only.logits),
        {
            name: choose(fused.heads[name], rgb_only.heads[name], thermal_only.heads[name])
            for name in fused.heads
        },
        None
        if fused.feature is None or rgb_only.feature is None or thermal_only.feature is None
        else choose(fused.feature, rgb_only.feature, thermal_only.feature),
    )
