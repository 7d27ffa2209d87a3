"""Decoded batches and labels small enough to compute with."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class View:
    """What CMKD uses of a decoded batch: logits [B,C,h,w] and feature [B,D,h,w]."""

    logits: torch.Tensor
    feature: torch.Tensor | None


def column(*pixels: list[float]) -> torch.Tensor:
    """[1,D,1,N] float64 from N vectors: an image of one row."""
    return torch.tensor(pixels, dtype=torch.float64).T.reshape(1, len(pixels[0]), 1, -1)


def cells(*classes: int) -> torch.Tensor:
    """[1,4,4N] int64: a label image whose N cells of 4x4 pixels hold one class each."""
    return torch.tensor([classes]).repeat_interleave(4, dim=1).repeat(4, 1).unsqueeze(0)
