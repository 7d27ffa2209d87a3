"""Sums over the processes of a training run.

A loss of the joint batch is a function of sums over all pixels. Every process computes those sums
over its own samples, adds them up here, and so arrives at the same loss. The backward pass adds up
as well: with N processes each gradient is N times that of the process's own samples, and the mean
that DistributedDataParallel takes over the processes is the gradient of one process with the joint
batch. Every process has to call the loss, in the same order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed


def world_size() -> int:
    """Number of processes; 1 where ``torch.distributed`` is not initialised."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor of the same shape on every process; differentiable.

    Args:
        tensor: of any dtype that the backend can add. With one process it is returned as it is.
    """
    if world_size() == 1:
        return tensor
    total: torch.Tensor = _AllReduce.apply(tensor)  # type: ignore[no-untyped-call]
    return total


def gather_from_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The tensors of all processes, one after the other along the first axis; no gradient.

    Args:
        tensor: [N, ...], of the same shape on every process.
    """
    if world_size() == 1:
        return tensor.detach()
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    distributed.all_gather(parts, tensor.detach().contiguous())
    return torch.cat(parts)


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        return _all_reduced(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _all_reduced(gradients[0])


def _all_reduced(tensor: torch.Tensor) -> torch.Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
