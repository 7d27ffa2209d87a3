"""BERT's encoder (Devlin et al., NAACL 2019), as far as sentence embeddings need it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F

from sartm_core.errors import SartmError


class Bert:
    """A stack of transformer blocks, normalised after each sum, on weights under their usual names.

    Args:
        weights: name -> float32 tensor, as in a checkpoint of Hugging Face's ``BertModel``.
        heads: of the attention.
        epsilon: of the layer normalisation.
    """

    def __init__(self, weights: dict[str, torch.Tensor], heads: int, epsilon: float) -> None:
        self._weights = weights
        self._heads = heads
        self._epsilon = epsilon
        self._blocks = 1 + max(
            int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")
        )

    @classmethod
    def load(cls, folder: Path) -> Bert:
        """From ``config.json`` and ``model.safetensors``.

        Raises:
            SartmError: it is a BERT with other position embeddings or another activation.
        """
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text())
        kind = (config["model_type"], config["position_embedding_type"], config["hidden_act"])
        if kind != ("bert", "absolute", "gelu"):
            raise SartmError(f"cannot run the text model in {folder}", got=kind)
        weights = load_file(folder / "model.safetensors")
        return cls(weights, config["num_attention_heads"], config["layer_norm_eps"])

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states of the last block.

        Args:
            ids: int64 [N,T], tokens.
            mask: int64 [N,T], 1 for tokens, 0 for padding.

        Returns:
            float32 [N,T,D].
        """
        embeddings = self._weights
        hidden = (
            embeddings["embeddings.word_embeddings.weight"][ids]
            + embeddings["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + embeddings["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        attended = mask[:, None, None, :].bool()
        for number in range(self._blocks):
            block = f"encoder.layer.{number}"
            mixed = self._linear(
                self._attention(hidden, attended, f"{block}.attention.self"),
                f"{block}.attention.output.dense",
            )
            hidden = self._norm(hidden + mixed, f"{block}.attention.output.LayerNorm")
            wide = F.gelu(self._linear(hidden, f"{block}.intermediate.dense"))
            narrow = self._linear(wide, f"{block}.output.dense")
            hidden = self._norm(hidden + narrow, f"{block}.output.LayerNorm")
        return hidden

    def _attention(self, hidden: torch.Tensor, attended: torch.Tensor, name: str) -> torch.Tensor:
        query, key, value = (
            self._linear(hidden, f"{name}.{part}")
            .reshape(*hidden.shape[:2], self._heads, -1)
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        heads = F.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        return heads.transpose(1, 2).flatten(2)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self._epsilon)
