"""How strongly each loss pulls."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sartm_core.losses.distributed import sum_over_processes, world_size


def gradient_norms(parts: Mapping[str, torch.Tensor], feature: torch.Tensor) -> dict[str, float]:
    """Euclidean norm of the gradient of each loss with respect to a feature of the joint batch.

    The graph is kept: call it before ``backward``, on every process.

    Args:
        parts: name -> scalar.
        feature: a tensor that they were computed from; parts of a batch that was split only see
            the part that they were computed from.

    Returns:
        name -> norm; 0 for a loss that does not depend on the feature.
    """
    norms = {}
    for name, part in parts.items():
        gradient: torch.Tensor | None = None
        if part.requires_grad:
            (gradient,) = torch.autograd.grad(part, feature, retain_graph=True, allow_unused=True)
        square = torch.zeros((), dtype=torch.float64, device=feature.device)
        if gradient is not None:
            square = gradient.double().square().sum()
        # Each process holds its own samples' part, times the number of processes (distributed.py).
        norms[name] = float(sum_over_processes(square).sqrt()) / world_size()
    return norms
