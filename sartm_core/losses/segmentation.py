"""Segmentation losses for rare foreground classes, over the joint batch of all processes. All
survive a batch in which every pixel is ignored (the loss is 0 and so is its gradient)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sartm_core.classes import IGNORE_ID
from sartm_core.losses.distributed import (
    gather_from_processes,
    sum_over_processes,
    world_size,
)
from sartm_core.losses.precision import at_least_float32


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
    logits: torch.Tensor,
    label: torch.Tensor,
    config: LossConfig,
    labelled: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Weighted cross-entropy, cross-entropy of the hardest pixels, and soft Dice.

    In a mixture of data sets, background in one may be a class that only another one labels:
    there the background's probability is the sum over background and all classes that the sample's
    data set does not label (Cermelli et al., CVPR 2020), and those classes cost nothing.

    Args:
        logits: float [B,C,H,W]; float16 and bfloat16 are computed in float32.
        label: int64 [B,H,W], 0..C-1 or 255 (left out).
        config: weights of the parts.
        labelled: bool [B,C], which classes the sample's data set labels; class 0 always counts as
            labelled. None = all of them, in every sample.

    Returns:
        The weighted sum, and the unweighted parts ``ce``, ``hardest``, ``dice``; all scalars.
    """
    with torch.autocast(logits.device.type, enabled=False):
        log_probability = log_probabilities(logits, labelled)
        pixel_loss = F.nll_loss(log_probability, label, ignore_index=IGNORE_ID, reduction="none")
        valid = label != IGNORE_ID
        weight = torch.where(label == 0, config.background_weight, config.foreground_weight)
        weight = weight * valid
        ce = sum_over_processes((pixel_loss * weight).sum())
        parts = {
            "ce": ce / sum_over_processes(weight.sum()).clamp_min(1e-6),
            "hardest": hardest_mean(pixel_loss[valid], config.hardest_fraction),
            "dice": dice_loss(log_probability.exp(), label, labelled),
        }
        total = parts["ce"] + config.hardest * parts["hardest"] + config.dice * parts["dice"]
    return total, parts


def log_probabilities(logits: torch.Tensor, labelled: torch.Tensor | None = None) -> torch.Tensor:
    """Log-softmax whose class 0 stands for background and all classes that are not labelled.

    Args:
        logits: float [B,C,H,W].
        labelled: bool [B,C]; class 0 always counts as labelled. None = all of them.

    Returns:
        [B,C,H,W], at least float32; the classes other than 0 have their own log-probability.
    """
    log_probability = at_least_float32(logits).log_softmax(dim=1)
    if labelled is None:
        return log_probability
    apart = labelled.clone()
    apart[:, 0] = False
    background = log_probability.masked_fill(apart[:, :, None, None], -torch.inf)
    merged = background.logsumexp(dim=1, keepdim=True)
    return torch.cat([merged, log_probability[:, 1:]], dim=1)


def hardest_mean(pixel_loss: torch.Tensor, fraction: float) -> torch.Tensor:
    """Mean of the largest ``fraction`` of all processes' values (at least one; 0 if there is none).

    Online hard example mining (Shrivastava et al., CVPR 2016) on pixels.

    Args:
        pixel_loss: float [N]; N may differ between processes.
        fraction: above 0 up to 1.
    """
    if world_size() > 1:
        return _hardest_mean_of_processes(pixel_loss, fraction)
    if pixel_loss.numel() == 0:
        return pixel_loss.sum()
    count = max(1, int(pixel_loss.numel() * fraction))
    return pixel_loss.topk(count, sorted=False).values.mean()


def _hardest_mean_of_processes(pixel_loss: torch.Tensor, fraction: float) -> torch.Tensor:
    total = int(sum_over_processes(torch.tensor(pixel_loss.numel(), device=pixel_loss.device)))
    if total == 0:
        return sum_over_processes(pixel_loss.sum())
    count = max(1, int(total * fraction))
    candidates = pixel_loss.new_full((count,), -torch.inf)
    mine = pixel_loss.detach().topk(min(count, pixel_loss.numel()), sorted=False).values
    candidates[: mine.numel()] = mine
    threshold = gather_from_processes(candidates).topk(count).values[-1]
    above, tied = pixel_loss.detach() > threshold, pixel_loss.detach() == threshold
    places = count - sum_over_processes(above.sum())
    share = above + tied * (places / sum_over_processes(tied.sum()))
    return sum_over_processes((pixel_loss * share).sum()) / count


def dice_loss(
    probability: torch.Tensor, label: torch.Tensor, labelled: torch.Tensor | None = None
) -> torch.Tensor:
    """1 - soft Dice (Milletari et al., 3DV 2016), over the joint batch, averaged over the classes
    that the labels contain; ignored pixels are left out.

    Args:
        probability: float [B,C,H,W], of :func:`log_probabilities`.
        label: int64 [B,H,W], 0..C-1 or 255.
        labelled: bool [B,C] or None, as in :func:`segmentation_loss`: a class takes part in the
            samples that label it, and what is not labelled counts as background.
    """
    classes = probability.shape[1]
    valid = label != IGNORE_ID
    counted = valid[:, None]
    if labelled is not None:
        taking_part = labelled.clone()
        taking_part[:, 0] = True
        counted = counted & taking_part[:, :, None, None]
    probability = probability * counted
    own = label.where(valid, 0)
    hit = probability.gather(1, own[:, None])
    overlap = probability.new_zeros(classes).index_add(0, own.flatten(), hit.flatten())
    overlap = sum_over_processes(overlap)
    area = sum_over_processes(label[valid].bincount(minlength=classes))
    size = sum_over_processes(probability.sum((0, 2, 3))) + area
    present = area > 0
    dice = 2.0 * overlap / size.clamp_min(1e-6)
    return ((1.0 - dice) * present).sum() / present.sum().clamp_min(1)
