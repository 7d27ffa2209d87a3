"""Alignment: the prototype of a class, seen in text space, is to be nearest to its own words."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sartm_core.classes import IGNORE_ID
from sartm_core.losses.precision import unit


def prototype_alignment_loss(
    embedded: torch.Tensor,
    words: torch.Tensor,
    centre: torch.Tensor,
    *,
    rows: torch.Tensor,
    named: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Mean cross-entropy of cos(W p_i, e_k - c) / tau against k = i, over the rows i.

    Args:
        embedded: W p, [C,E].
        words: e, [C,E].
        centre: c, [E].
        rows: bool [C], the classes i; each has a word.
        named: bool [C], the classes k that have a word.
        temperature: tau, above 0.

    Returns:
        Scalar; 0 without rows.
    """
    logits = unit(embedded) @ unit(words - centre).T / temperature
    logits = logits.masked_fill(~named, torch.finfo(logits.dtype).min)
    target = torch.arange(len(rows), device=rows.device).where(rows, IGNORE_ID)
    total = F.cross_entropy(logits, target, ignore_index=IGNORE_ID, reduction="sum")
    return total / rows.sum().clamp_min(1)
