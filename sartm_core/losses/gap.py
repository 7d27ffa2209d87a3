"""The gap between modalities: one camera alone is to see what both see."""

from __future__ import annotations

import torch

from sartm_core.classes import IGNORE_ID
from sartm_core.losses.distributed import sum_over_processes
from sartm_core.losses.labels import nearest_label
from sartm_core.losses.precision import at_least_float32, unit


def trusted_cells(
    target: torch.Tensor, label: torch.Tensor, labelled: torch.Tensor | None = None
) -> torch.Tensor:
    """One-hot label of the cells in which the target is right.

    Args:
        target: logits z_11 [B,C,h,w].
        label: int64 [B,H,W], 0..C-1 or 255; a cell has the label under its centre.
        labelled: bool [B,C] or None, which classes the sample's data set labels: a class that it
            does not label is right on background.

    Returns:
        bool [B,C,h,w], nowhere set where the cell is ignored or the target is wrong.
    """
    classes = target.shape[1]
    label = nearest_label(label, (target.shape[2], target.shape[3]))
    predicted = target.argmax(dim=1)
    right = predicted == label
    if labelled is not None:
        known = labelled.gather(1, predicted.flatten(1)).view_as(predicted)
        right = right | ((label == 0) & ~known)
    right = right & (label != IGNORE_ID)
    one_hot = label.unsqueeze(1) == torch.arange(classes, device=label.device).view(1, -1, 1, 1)
    return one_hot & right.unsqueeze(1)


def gap_loss(
    logits: torch.Tensor, target: torch.Tensor, cells: torch.Tensor, temperature: float
) -> torch.Tensor:
    """T^2 KL(softmax(z_11 / T) || softmax(z_m / T)) (Hinton et al., 2015): the mean over the cells
    of each class, then over the classes, so that each one has the same mass.

    Args:
        logits: z_m of one camera, float [B,C,h,w].
        target: z_11 of both, [B,C,h,w]; no gradient flows into it.
        cells: bool [B,C,h,w], from :func:`trusted_cells`.
        temperature: T, above 0.

    Returns:
        Scalar; 0 if no cell is trusted.
    """
    student = (at_least_float32(logits) / temperature).log_softmax(dim=1)
    teacher = (at_least_float32(target.detach()) / temperature).log_softmax(dim=1)
    divergence = (teacher.exp() * (teacher - student)).sum(dim=1, keepdim=True)
    axes = (0, 2, 3)
    total = sum_over_processes((divergence * cells).sum(axes))
    count = sum_over_processes(cells.sum(axes))
    of_class = total / count.clamp_min(1)
    return temperature**2 * of_class.sum() / (count > 0).sum().clamp_min(1)


def prototype_gap_loss(
    prototypes: torch.Tensor, target: torch.Tensor, centre: torch.Tensor, present: torch.Tensor
) -> torch.Tensor:
    """Mean over the classes of 1 - cos(p_c^m - mu, p_c^fused - mu).

    A cosine does not depend on the scale of the feature, which differs between networks and moves
    while they learn, so a weight keeps its meaning; around mu, because uncentred prototypes share
    a mean so large that their cosines are all close to 1.

    Args:
        prototypes: p^m of one camera, [C,D].
        target: p^fused, [C,D]; no gradient flows into it.
        centre: mu of the fused prototypes, [D].
        present: bool [C].

    Returns:
        Scalar, 0..2; 0 if no class is present.
    """
    cosine = (unit(prototypes - centre) * unit(target.detach() - centre)).sum(dim=1)
    return ((1.0 - cosine) * present).sum() / present.sum().clamp_min(1)
