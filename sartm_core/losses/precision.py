"""Losses are computed in full precision whatever the network runs in."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """float16 and bfloat16 as float32; float32 and float64 as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows [..., D] divided by their Euclidean norm.

    Below a norm of 1e-6 rows are divided by that instead: a zero row stays zero, with a finite
    gradient.
    """
    return F.normalize(vectors, dim=-1, eps=1e-6)
