"""Relations between classes: seen features are to resemble each other as the classes' words do."""

from __future__ import annotations

import torch

from sartm_core.losses.precision import unit

MIN_COLUMNS = 3  # fewer other classes make no distribution worth learning


def similarity(
    rows: torch.Tensor, columns: torch.Tensor, centre: torch.Tensor, temperature: float
) -> torch.Tensor:
    """cos(r_i - c, s_j - c) / tau.

    Without the centre all cosines are alike, and without a temperature around 0.07 their softmax
    is almost uniform.

    Args:
        rows: r, [N,D].
        columns: s, [M,D].
        centre: c, [D].
        temperature: tau, above 0.

    Returns:
        [N,M], within +-1/tau.
    """
    return unit(rows - centre) @ unit(columns - centre).T / temperature


def relation_loss(
    text: torch.Tensor, visual: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """L_rel = mean_i KL(softmax_j t_ij || softmax_j v_ij), j != i; the words are the target.

    Args:
        text: t, [C,C]; no gradient flows into it.
        visual: v, [C,C].
        rows: bool [C], the classes i.
        columns: bool [C], the classes j; every row is one of them.

    Returns:
        Scalar; 0 if a row has fewer than 3 columns besides itself, or there is no row.
    """
    pairs = columns & ~torch.eye(len(columns), dtype=torch.bool, device=columns.device)
    hidden = torch.finfo(visual.dtype).min  # not -inf: a row without columns has to stay finite
    text = text.detach().to(visual.dtype).masked_fill(~pairs, hidden).log_softmax(dim=1)
    visual = visual.masked_fill(~pairs, hidden).log_softmax(dim=1)
    zero = visual.new_zeros(())
    divergence = torch.where(pairs, text.exp() * (text - visual), zero).sum(dim=1)
    counted = rows & (pairs.sum(dim=1) >= MIN_COLUMNS)
    return torch.where(counted, divergence, zero).sum() / counted.sum().clamp_min(1)
