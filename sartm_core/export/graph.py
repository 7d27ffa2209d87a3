"""The network as it runs on a robot: images in, mask and confidence out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.classes import IGNORE_ID
from sartm_core.models import RgbThermalNetwork


class MaskGraph(nn.Module):
    """A network with arg-max and confidence inside.

    Args:
        network: teacher or student, in evaluation mode.
        temperature: of the softmax behind the confidence, for (rgb+thermal, rgb, thermal).
    """

    def __init__(
        self, network: RgbThermalNetwork, temperature: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature: torch.Tensor
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(
        self,
        rgb: torch.Tensor,
        thermal: torch.Tensor,
        thermal_valid: torch.Tensor,
        present: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Segment one frame.

        Args:
            rgb: uint8 [1,H,W,3].
            thermal: uint8 [1,H,W,1], normalised by ``sartm_core.thermal``.
            thermal_valid: uint8 [1,H,W,1], 0 where the thermal camera does not look.
            present: float32 [1,2].

        Returns:
            mask uint8 [1,H,W]: arg-max of the resized logits, 255 where neither camera looks; with
            the network's ``mask_stride`` above 1 it is decided at that part of the size;
            confidence uint8 [1,H,W]: 255 x the largest softmax probability, computed at the logits'
            size and resized (a softmax at full size costs more than the network);
            logits float32 [1,C,h,w], for parity checks.
        """
        # Cast before anything else: TensorRT's parser takes no operator but Cast on uint8.
        rgb, thermal, thermal_valid = rgb.float(), thermal.float(), thermal_valid.float()
        logits = self.network(rgb, thermal, thermal_valid, present)
        size = rgb.shape[1:3]
        rgb_there = (present[:, 0] > 0.5).view(-1, 1, 1)
        thermal_there = (present[:, 1] > 0.5).view(-1, 1, 1)
        seen = rgb_there | (thermal_there & (thermal_valid.squeeze(3) > 0.5))

        stride = self.network.mask_stride
        decided = [side // stride for side in size]
        winner = F.interpolate(logits, size=decided, mode="bilinear").argmax(dim=1).float()
        if stride > 1:
            winner = F.interpolate(winner.unsqueeze(1), scale_factor=float(stride)).squeeze(1)
        mask = torch.where(seen, winner, float(IGNORE_ID))

        both, rgb_only, thermal_only = self.temperature.unbind()
        single = torch.where(rgb_there, rgb_only, thermal_only)
        temperature = torch.where(rgb_there & thermal_there, both, single).unsqueeze(1)
        # The largest of exp(z - max) is 1, so the largest probability is 1 / sum.
        shifted = (logits - logits.amax(dim=1, keepdim=True)) / temperature
        largest = 255.0 / shifted.exp().sum(dim=1, keepdim=True)
        confidence = F.interpolate(largest, size=size, mode="bilinear")[:, 0].round()
        confidence = torch.where(seen, confidence.clamp(0.0, 255.0), 0.0)
        return mask.to(torch.uint8), confidence.to(torch.uint8), logits
