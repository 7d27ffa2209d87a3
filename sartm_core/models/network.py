"""What every RGB-thermal network has in common: encode each camera once, decode as often as needed.

Knowledge distillation between modalities runs fusion and heads with both cameras, with RGB alone
and with thermal alone. The encoders never see the other camera, so their features serve all three.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.errors import SartmError

THERMAL_MEAN, THERMAL_STD = 82.0, 60.0  # of frames normalised by sartm_core.thermal


@dataclass(frozen=True)
class Encoded:
    """Features of a batch before fusion.

    Attributes:
        rgb, thermal: levels, finest first, float [B,C_i,h_i,w_i].
        coverage: bool [B,1,h_i,w_i] per level, False where the thermal camera does not look.
    """

    rgb: Sequence[torch.Tensor]
    thermal: Sequence[torch.Tensor]
    coverage: Sequence[torch.Tensor]

    def repeat(self, times: int) -> Encoded:
        """The batch several times in a row: [times * B, ...]."""
        return Encoded(
            *([torch.cat([level] * times) for level in part] for part in vars(self).values())
        )


@dataclass(frozen=True)
class Decoded:
    """What the heads make of fused features.

    Attributes:
        logits: float [B,classes,h,w], at a quarter of the size that the network works at, or
            smaller; what inference uses.
        heads: head name -> logits of the same shape; each learns from the labels. That in text
            space is not among them: it acts on ``feature``.
        feature: float [B,D,h,w], the multi-scale feature before the classifier, where
            distillation between modalities acts; None if the network has none.
    """

    logits: torch.Tensor
    heads: dict[str, torch.Tensor]
    feature: torch.Tensor | None

    def split(self, parts: int) -> list[Decoded]:
        """A batch decoded by :meth:`Encoded.repeat` as its ``parts`` equal parts."""
        heads = {name: logits.chunk(parts) for name, logits in self.heads.items()}
        features = [None] * parts if self.feature is None else self.feature.chunk(parts)
        return [
            Decoded(logits, {name: rows[part] for name, rows in heads.items()}, features[part])
            for part, logits in enumerate(self.logits.chunk(parts))
        ]


class RgbThermalNetwork(nn.Module):
    """A network that takes what the robot has and survives the loss of a camera.

    Args:
        divisor: height and width of the input must be multiples of it.
        rgb_mean, rgb_std: of one or three channels, in 0..255.
        thermal_mean, thermal_std: of thermal images normalised by ``sartm_core.thermal``.
        scale: size that the network works at, relative to its input; either side is rounded to a
            multiple of ``divisor``.
        mask_stride: of the arg-max behind the mask, relative to the input: where the logits are
            coarse, 2 costs a quarter and loses next to nothing.
    """

    rgb_mean: torch.Tensor
    rgb_std: torch.Tensor
    thermal_mean: torch.Tensor
    thermal_std: torch.Tensor

    def __init__(
        self,
        *,
        divisor: int,
        rgb_mean: Sequence[float],
        rgb_std: Sequence[float],
        thermal_mean: float = THERMAL_MEAN,
        thermal_std: float = THERMAL_STD,
        scale: float = 1.0,
        mask_stride: int = 1,
    ) -> None:
        super().__init__()
        self.divisor = divisor
        self.scale = scale
        self.mask_stride = mask_stride
        for name, values in (
            ("rgb_mean", rgb_mean),
            ("rgb_std", rgb_std),
            ("thermal_mean", [thermal_mean]),
            ("thermal_std", [thermal_std]),
        ):
            statistic = torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, statistic, persistent=False)

    @property
    @abstractmethod
    def encoder_modules(self) -> Sequence[nn.Module]:
        """The parts that start from weights learned elsewhere and take the smaller rate."""

    @abstractmethod
    def extract(
        self, rgb: torch.Tensor, thermal: torch.Tensor
    ) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """Levels of both cameras from normalised images [B,3,H,W] and [B,1,H,W]."""

    @abstractmethod
    def decode(self, encoded: Encoded, present: torch.Tensor) -> Decoded:
        """Fuse and segment with the cameras that ``present`` float32 [B,2] names."""

    def encode(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        thermal_valid: torch.Tensor,
        present: torch.Tensor,
    ) -> Encoded:
        """Features of both cameras; arguments as in :meth:`forward`.

        Raises:
            SartmError: height or width is not a multiple of ``divisor``.
        """
        self._check_size(rgb.shape[1], rgb.shape[2])
        rgb_there = (present[:, 0] > 0.5).view(-1, 1, 1, 1)
        thermal_there = (present[:, 1] > 0.5).view(-1, 1, 1, 1)
        coverage = _channels_first(thermal_valid) > 0.5

        rgb_image = (self._working_size(_channels_first(rgb)) - self.rgb_mean) / self.rgb_std
        rgb_image = torch.where(rgb_there, rgb_image, torch.zeros_like(rgb_image))
        # Before it is resized: no pixel may take up what stands beside the field of view.
        thermal_image = (_channels_first(thermal) - self.thermal_mean) / self.thermal_std
        thermal_image = self._working_size(
            torch.where(thermal_there & coverage, thermal_image, torch.zeros_like(thermal_image))
        )
        rgb_levels, thermal_levels = self.extract(rgb_image, thermal_image)
        # Pooling by integer factors, not adaptive: that is what export knows. Where 1/16 has an odd
        # side, that of 1/32 is rounded up.
        share = F.avg_pool2d(self._working_size(coverage.float()), 4)
        covered = [share > 0.5]
        for _ in rgb_levels[1:]:
            share = F.avg_pool2d(share, 2, ceil_mode=True)
            covered.append(share > 0.5)
        return Encoded(rgb_levels, thermal_levels, covered)

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        thermal_valid: torch.Tensor,
        present: torch.Tensor,
    ) -> torch.Tensor:
        """Logits at a quarter of the working size, or smaller.

        Args:
            rgb: uint8 [B,H,W,3], RGB order.
            thermal: uint8 [B,H,W,1], as ``sartm_core.thermal.normalise`` gives it.
            thermal_valid: uint8 [B,H,W,1], 0 where the thermal camera does not look.
            present: float32 [B,2], 1 where the RGB / the thermal camera is there.

        Returns:
            float32 [B,classes,h,w]. What stands in the planes of an absent camera never changes a
            bit of it.

        Raises:
            SartmError: H or W does not fit the network.
        """
        return self.decode(self.encode(rgb, thermal, thermal_valid, present), present).logits

    def _working_size(self, image: torch.Tensor) -> torch.Tensor:
        if self.scale == 1.0:
            return image
        size = [
            max(1, round(side * self.scale / self.divisor)) * self.divisor
            for side in image.shape[2:]
        ]
        return F.interpolate(image, size=size, mode="bilinear")

    def _check_size(self, height: int, width: int) -> None:
        if height % self.divisor or width % self.divisor:
            up = [-(-size // self.divisor) * self.divisor for size in (height, width)]
            raise SartmError(
                "input size does not fit the network",
                got=f"{height}x{width}",
                expected=f"height and width divisible by {self.divisor}",
                remedy=f"use {up[0]}x{up[1]}",
            )


def presence(encoded: Encoded, present: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Per level: where RGB and where thermal is there, bool, broadcastable to [B,1,h,w]."""
    rgb = (present[:, 0] > 0.5).view(-1, 1, 1, 1)
    thermal = (present[:, 1] > 0.5).view(-1, 1, 1, 1)
    return [(rgb, thermal & covered) for covered in encoded.coverage]


def _channels_first(image: torch.Tensor) -> torch.Tensor:
    """uint8 [B,H,W,C] to float32 [B,C,H,W]; in memory the channels stay last."""
    return image.permute(0, 3, 1, 2).float()
