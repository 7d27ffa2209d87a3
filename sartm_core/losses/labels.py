"""Label maps as a coarser grid sees them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sartm_core.losses.distributed import sum_over_processes


def nearest_label(label: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The label under the centre of each cell.

    Each class keeps its share of the cells, small ones included; a majority vote would take thin
    objects away.

    Args:
        label: int64 [B,H,W].
        size: (h, w) of the grid.

    Returns:
        int64 [B,h,w].
    """
    height, width = label.shape[1:]
    centre_y = torch.arange(size[0], device=label.device) * 2 + 1
    centre_x = torch.arange(size[1], device=label.device) * 2 + 1
    rows = centre_y * height // (2 * size[0])
    columns = centre_x * width // (2 * size[1])
    return label[:, rows[:, None], columns[None, :]]


def class_area(
    label: torch.Tensor, classes: int, size: tuple[int, int], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """a_c: which part of each cell a class covers; ignored pixels belong to no class.

    Args:
        label: int64 [B,H,W], 0..classes-1 or 255 (ignored).
        size: (h, w) of the grid.

    Returns:
        [B,classes,h,w], 0..1.
    """
    # Class by class: a one-hot map at the size of the image would take classes times the memory.
    areas = [F.adaptive_avg_pool2d((label == index).to(dtype), size) for index in range(classes)]
    return torch.stack(areas, dim=1)


def class_pixels(label: torch.Tensor, classes: int) -> torch.Tensor:
    """Pixels of each class in the joint batch of all processes.

    Args:
        label: int64 [B,H,W], 0..classes-1 or 255 (ignored).

    Returns:
        int64 [classes].
    """
    return sum_over_processes(torch.stack([(label == index).sum() for index in range(classes)]))
