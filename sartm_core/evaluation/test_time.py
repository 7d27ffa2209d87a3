"""Several looks at each frame, averaged: scales, mirror image, sliding window.

Slower by the number of looks, so it belongs into tables, not onto a robot. It needs logits: a
checkpoint has them, a bundle gives masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.classes import IGNORE_ID
from sartm_core.errors import SartmError
from sartm_core.models import RgbThermalNetwork


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How each frame is looked at.

    Attributes:
        scales: factors on the size of the image.
        flip: whether the mirror image counts as well.
        window: (height, width) of the sliding window, None = the whole image at once.
        stride: (down, right) steps of the window, None = half its size.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.scales or not all(0.1 <= scale <= 8 for scale in self.scales):
            raise SartmError("unusable scales", got=self.scales, expected="factors of 0.1 to 8")
        if self.stride and not self.window:
            raise SartmError("a stride without a window", remedy="give --window HEIGHTxWIDTH too")
        for step, side in zip(self.steps, self.window or (), strict=True):
            if not 0 < step <= side:
                raise SartmError(
                    "the window skips pixels",
                    got=f"stride {self.stride} of window {self.window}",
                    expected="steps of 1 to the window's size",
                )

    @property
    def steps(self) -> tuple[int, ...]:
        """(down, right) steps of the window; empty without one."""
        if self.window is None:
            return ()
        return self.stride or (max(1, self.window[0] // 2), max(1, self.window[1] // 2))


class AveragedGraph(nn.Module):
    """Stands where ``sartm_core.export.graph.MaskGraph`` stands, with the mean of several looks.

    Args:
        network: in evaluation mode.
        looks: at each frame.

    Raises:
        SartmError: a window that does not fit the network.
    """

    def __init__(self, network: RgbThermalNetwork, looks: Looks) -> None:
        super().__init__()
        self.network = network
        self.looks = looks
        divisor = network.divisor
        if looks.window and any(side < 1 or side % divisor for side in looks.window):
            raise SartmError(
                "the window does not fit the network",
                got=f"{looks.window[0]}x{looks.window[1]}",
                expected=f"height and width divisible by {divisor}",
            )

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        thermal_valid: torch.Tensor,
        present: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Segment one frame; arguments, mask and confidence as in ``MaskGraph.forward``.

        With a window, height and width may be any.

        Returns:
            mask uint8 [1,H,W]; confidence uint8 [1,H,W]; the mean of the looks' softmax
            probabilities at the size of the input, float32 [1,C,H,W].
        """
        size = (rgb.shape[1], rgb.shape[2])
        planes = [image.permute(0, 3, 1, 2).float() for image in (rgb, thermal, thermal_valid)]
        total: torch.Tensor | None = None
        for inputs in self._views(planes):
            mirrored = [image.flip(3) for image in inputs]
            found = self._slide(inputs, present)
            if self.looks.flip:
                found = (found + self._slide(mirrored, present).flip(3)) / 2
            found = F.interpolate(found, size=size, mode="bilinear")
            total = found if total is None else total + found
        assert total is not None
        probability = total / len(self.looks.scales)
        rgb_there = (present[:, 0] > 0.5).view(-1, 1, 1)
        thermal_there = (present[:, 1] > 0.5).view(-1, 1, 1)
        seen = rgb_there | (thermal_there & (planes[2][:, 0] > 0.5))
        largest, winner = probability.max(dim=1)
        mask = torch.where(seen, winner, IGNORE_ID)
        confidence = torch.where(seen, (255 * largest).round().clamp(0, 255), 0)
        return mask.to(torch.uint8), confidence.to(torch.uint8), probability

    def _views(self, planes: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
        """The images at each scale, at a size that the network or the window takes."""
        height, width = planes[0].shape[2:]
        for scale in self.looks.scales:
            size = tuple(self._fit(scale * side, i) for i, side in enumerate((height, width)))
            if size == (height, width):
                yield planes
                continue
            smooth = [
                F.interpolate(image, size=size, mode="bilinear", antialias=scale < 1).round()
                for image in planes[:2]
            ]
            yield [*smooth, F.interpolate(planes[2], size=size, mode="nearest")]

    def _fit(self, side: float, axis: int) -> int:
        if self.looks.window:
            return max(self.looks.window[axis], round(side))
        divisor = self.network.divisor
        return max(1, round(side / divisor)) * divisor

    def _slide(self, inputs: list[torch.Tensor], present: torch.Tensor) -> torch.Tensor:
        """Probabilities float32 [1,C,h,w] of one view, averaged where windows overlap."""
        if self.looks.window is None:
            return self._probabilities(inputs, present)
        height, width = inputs[0].shape[2:]
        rows, columns = self.looks.window
        total: torch.Tensor | None = None
        visits = inputs[0].new_zeros((1, 1, height, width))
        for top in _starts(height, rows, self.looks.steps[0]):
            for left in _starts(width, columns, self.looks.steps[1]):
                place = (..., slice(top, top + rows), slice(left, left + columns))
                found = self._probabilities([image[place] for image in inputs], present)
                if total is None:
                    total = found.new_zeros((1, found.shape[1], height, width))
                total[place] += found
                visits[place] += 1
        assert total is not None
        return total / visits

    def _probabilities(self, inputs: list[torch.Tensor], present: torch.Tensor) -> torch.Tensor:
        images = [image.permute(0, 2, 3, 1).to(torch.uint8) for image in inputs]
        logits = self.network(*images, present)
        size = images[0].shape[1:3]
        return F.interpolate(logits.float(), size=size, mode="bilinear").softmax(dim=1)


def _starts(side: int, window: int, step: int) -> list[int]:
    """Where windows begin, the last one flush with the end."""
    return [*range(0, side - window, step), side - window]
