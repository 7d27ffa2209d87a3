"""Class prototypes: the mean feature of each class, in this batch and over time."""

from __future__ import annotations

import torch
from torch import nn

from sartm_core.losses.distributed import sum_over_processes
from sartm_core.losses.precision import at_least_float32


def class_prototypes(feature: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """p_c = sum(a_c f) / sum(a_c) over all cells of the joint batch of all processes.

    Args:
        feature: float [B,D,h,w]; float16 and bfloat16 are computed in float32.
        area: a_c, [B,C,h,w], from :func:`sartm_core.losses.labels.class_area`.

    Returns:
        [C,D]; zeros, without gradient, for a class with no area.
    """
    feature = at_least_float32(feature)
    area = area.to(feature.dtype)
    total = sum_over_processes(torch.einsum("bchw,bdhw->cd", area, feature))
    mass = sum_over_processes(area.sum((0, 2, 3)))
    return total / mass.clamp_min(1e-6).unsqueeze(1)


class PrototypeBank(nn.Module):
    """Exponential moving average of class prototypes, in the state dict.

    A class starts at its first observation, so that nothing pulls it towards zero, and keeps its
    value while it is absent.

    Args:
        classes, channels: shape of the prototypes.
        momentum: part of the old value that an update keeps, 0..1.
    """

    mean: torch.Tensor
    seen: torch.Tensor

    def __init__(self, classes: int, channels: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(classes, channels))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))

    @torch.no_grad()
    def update(self, prototypes: torch.Tensor, present: torch.Tensor) -> None:
        """Move the classes that are present.

        Args:
            prototypes: [C,D].
            present: bool [C].
        """
        observed = prototypes.to(self.mean.dtype)
        moved = self.momentum * self.mean + (1.0 - self.momentum) * observed
        moved = torch.where(self.seen.unsqueeze(1), moved, observed)
        self.mean.copy_(torch.where(present.unsqueeze(1), moved, self.mean))
        self.seen.logical_or_(present)

    def completed(
        self, prototypes: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prototypes of the batch, absent ones from the moving average; detached.

        Returns:
            [C,D], and bool [C]: which of them are known.
        """
        average = self.mean.to(prototypes.dtype)
        columns = torch.where(present.unsqueeze(1), prototypes.detach(), average)
        return columns, present | self.seen

    def centre(
        self, prototypes: torch.Tensor, present: torch.Tensor, foreground: torch.Tensor
    ) -> torch.Tensor:
        """mu: the mean of the moving averages of the foreground prototypes; detached.

        A class that is observed for the first time counts with the prototype that its average is
        about to start from, so that mu exists from the first step on.

        Args:
            prototypes: [C,D], of this batch.
            present: bool [C].
            foreground: bool [C].

        Returns:
            [D]; zeros if no foreground class is known.
        """
        average = self.mean.to(prototypes.dtype)
        average = torch.where(self.seen.unsqueeze(1), average, prototypes.detach())
        known = ((self.seen | present) & foreground).to(average.dtype)
        return (known @ average) / known.sum().clamp_min(1.0)
