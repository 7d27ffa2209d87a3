"""Prototype and text losses as the code released with the paper computes them, its defects
included, so that the difference can be measured (``method: released``).

What is wrong here, on purpose: the features of a class are averaged over the wrong axis; absent
classes pull the running mean to zero; the running mean is not in the state dict; the similarity of
words has neither a centre nor a temperature, so its softmax is almost uniform. As released, each
process works on its own samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.losses.labels import nearest_label
from sartm_core.losses.precision import at_least_float32

MOMENTUM = 0.9


def released_prototypes(feature: torch.Tensor, label: torch.Tensor, classes: int) -> torch.Tensor:
    """Averages of D runs of a class's numbers in memory, instead of the mean of each channel, and
    divided by the number of cells once more.

    Args:
        feature: float [B,D,h,w].
        label: int64 [B,H,W], 0..classes-1 or 255.

    Returns:
        [classes,D]; zeros for absent classes.
    """
    feature = at_least_float32(feature)
    channels = feature.shape[1]
    cells = feature.permute(0, 2, 3, 1).reshape(-1, channels)
    cell_label = nearest_label(label, (feature.shape[2], feature.shape[3])).flatten()
    prototypes = []
    for index in range(classes):
        own = cells[cell_label == index]
        if len(own) == 0:
            prototypes.append(cells.new_zeros(channels))
        else:
            prototypes.append(own.reshape(channels, len(own)).mean(dim=1) / len(own))
    return torch.stack(prototypes)


def released_relation_loss(
    prototypes: torch.Tensor, words: torch.Tensor, named: torch.Tensor
) -> torch.Tensor:
    """KL(softmax(cos of words) || softmax(cos of prototypes)), each class with itself included,
    as the mean over all entries.

    Args:
        prototypes: [C,D]; absent classes are zeros and take part.
        words: [C,E].
        named: bool [C], the classes that have a word.
    """
    text, visual = words[named].to(prototypes.dtype), prototypes[named]
    text = F.cosine_similarity(text.unsqueeze(0), text.unsqueeze(1), dim=-1)
    visual = F.cosine_similarity(visual.unsqueeze(0), visual.unsqueeze(1), dim=-1)
    return _mean_divergence(text.softmax(dim=-1), visual)


class RunningPrototypes(nn.Module):
    """The running mean of the released prototypes.

    Args:
        classes, channels: shape of the prototypes.
    """

    mean: torch.Tensor

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(classes, channels), persistent=False)

    def moved(self, prototypes: torch.Tensor) -> torch.Tensor:
        """The running mean after this batch, detached."""
        return MOMENTUM * self.mean + (1.0 - MOMENTUM) * prototypes.detach()

    def loss(self, prototypes: torch.Tensor) -> torch.Tensor:
        """KL(softmax(running mean) || softmax(prototypes)) over the channels, as the mean over all
        entries; the running mean has seen this batch."""
        return _mean_divergence(self.moved(prototypes).softmax(dim=-1), prototypes)

    @torch.no_grad()
    def update(self, prototypes: torch.Tensor) -> None:
        self.mean.copy_(self.moved(prototypes))


def _mean_divergence(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(target || softmax(logits)) over the rows, divided by the number of all entries."""
    divergence = F.kl_div(logits.log_softmax(dim=-1), target, reduction="sum")
    return divergence / logits.numel()
