"""Segmentation losses for rare foreground classes. All survive a batch in which every pixel is
ignored (the loss is 0 and so is its gradient)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sartm_core.classes import IGNORE_ID


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts of the segmentation loss.

    Attributes:
        background_weight, foreground_weight: cross-entropy weight of class 0 / of every other.
        hardest: weight of the cross-entropy over the hardest pixels.
        hardest_fraction: which part of the labelled pixels counts as hardest, above 0 up to 1.
        dice: weight of the soft Dice loss.
    """

    background_weight: float = 1.0
    foreground_weight: float = 5.0
    hardest: float = 0.3
    hardest_fraction: float = 0.1
    dice: float = 1.0


def segmentation_loss(
    logits: torch.Tensor, label: torch.Tensor, config: LossConfig
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Weighted cross-entropy, cross-entropy of the hardest pixels, and soft Dice.

    Args:
        logits: float [B,C,H,W].
        label: int64 [B,H,W], 0..C-1 or 255 (left out).
        config: weights of the parts.

    Returns:
        The weighted sum, and the unweighted parts ``ce``, ``hardest``, ``dice``; all scalars.
    """
    pixel_loss = F.cross_entropy(logits, label, ignore_index=IGNORE_ID, reduction="none")
    labelled = label != IGNORE_ID
    weight = torch.where(label == 0, config.background_weight, config.foreground_weight)
    weight = weight * labelled
    parts = {
        "ce": (pixel_loss * weight).sum() / weight.sum().clamp_min(1e-6),
        "hardest": hardest_mean(pixel_loss[labelled], config.hardest_fraction),
        "dice": dice_loss(logits, label),
    }
    total = parts["ce"] + config.hardest * parts["hardest"] + config.dice * parts["dice"]
    return total, parts


def hardest_mean(pixel_loss: torch.Tensor, fraction: float) -> torch.Tensor:
    """Mean of the largest ``fraction`` of the values (at least one; 0 if there is none).

    Online hard example mining (Shrivastava et al., CVPR 2016) on pixels.

    Args:
        pixel_loss: float [N].
        fraction: above 0 up to 1.
    """
    if pixel_loss.numel() == 0:
        return pixel_loss.sum()
    count = max(1, int(pixel_loss.numel() * fraction))
    return pixel_loss.topk(count, sorted=False).values.mean()


def dice_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice (Milletari et al., 3DV 2016), over the whole batch, averaged over the classes
    that the labels contain; ignored pixels are left out.

    Args:
        logits: float [B,C,H,W].
        label: int64 [B,H,W], 0..C-1 or 255.
    """
    classes = logits.shape[1]
    labelled = (label != IGNORE_ID).unsqueeze(1)
    probability = logits.softmax(dim=1) * labelled
    one_hot = F.one_hot(label.where(label != IGNORE_ID, 0), classes).permute(0, 3, 1, 2) * labelled
    axes = (0, 2, 3)
    overlap = (probability * one_hot).sum(axes)
    size = probability.sum(axes) + one_hot.sum(axes)
    present = one_hot.sum(axes) > 0
    dice = 2.0 * overlap / size.clamp_min(1e-6)
    return ((1.0 - dice) * present).sum() / present.sum().clamp_min(1)
