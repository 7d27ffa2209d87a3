"""The LoRA layer of transformers: the pairs of both modalities, chosen by an argument.

peft would choose the pair by state of the whole model instead. Measured with peft 0.21: after
``set_adapter("rgb")``, a pass, ``set_adapter("thermal")`` and a pass, the pairs of RGB have no
gradients; with ``requires_grad`` restored, gradient checkpointing computes the blocks of RGB again
with the pairs of thermal; and ``adapter_names=`` is refused in training. Nothing of the kind can
happen to an argument: checkpointing keeps it with the call.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners import lora

from sartm_core.errors import SartmError
from sartm_core.models.projection import Projection
from sartm_core.models.registry import SHARED, Modality


class LoraProjection(lora.Linear):
    """LoRA of a :class:`~sartm_core.models.projection.Projection`.

    Holds one pair called ``shared``, or one per modality.
    """

    base_layer: Projection

    def forward(self, x: torch.Tensor, modality: Modality) -> torch.Tensor:
        """[...,in] to [...,out] with the pair of this modality."""
        result: torch.Tensor = self.base_layer(x, modality)
        if self.merged:
            return result
        adapter = modality if modality in self.lora_A else SHARED
        update: torch.Tensor = self.lora_B[adapter](self.lora_A[adapter](x))
        update = update * self.scaling[adapter]
        if self.base_layer.reached is not None:
            update = update * self.base_layer.reached
        return result + update

    def get_delta_weight(self, adapter: str) -> torch.Tensor:
        """What merging adds to the weight: float [out,in]."""
        delta: torch.Tensor = super().get_delta_weight(adapter)
        reached = self.base_layer.reached
        return delta if reached is None else delta * reached.unsqueeze(1)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add one pair to the weight.

        Raises:
            SartmError: more than one is asked for: the sum would be right for neither modality.
        """
        names: Any = adapter_names or self.active_adapters
        if len(names) > 1:
            raise SartmError(
                "LoRA pairs of two modalities cannot be merged into one weight",
                got=", ".join(names),
                expected="one of them",
                remedy="use PairEncoder.merged(), which makes an encoder per modality",
            )
        super().merge(safe_merge, adapter_names)
