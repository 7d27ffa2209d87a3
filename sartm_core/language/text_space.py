"""What every text encoder gives: vectors, and the name of the space that they live in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError

Vectors = npt.NDArray[np.float32]
"""float32 [N, dim]."""


class TextEncoder(Protocol):
    """Texts to unit vectors."""

    @property
    def name(self) -> str:
        """What ``create_text_encoder`` calls it."""

    @property
    def space(self) -> str:
        """Names the text space; vectors of two spaces have nothing to do with each other."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def identity(self) -> str:
        """Changes whenever the same text could get another vector; a part of cache keys."""

    @property
    def any_text(self) -> bool:
        """False for an encoder that knows a list of words and no sentence around them."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """float32 [N, dim], rows of norm 1.

        Raises:
            SartmError: a text that this encoder does not know, or its weights are missing.
        """

    def centre(self) -> Vectors | None:
        """float32 [dim], if the encoder cannot embed the reference vocabulary and brings its own
        mean vector; else None."""


def require_same_space(got: str, got_dim: int, expected: str, expected_dim: int) -> None:
    """Refuse vectors of another text space than the expected one.

    Raises:
        SartmError: name or dimension of the spaces differ.
    """
    if (got, got_dim) != (expected, expected_dim):
        raise SartmError(
            "vectors of two text spaces cannot be mixed",
            got=f"{got} with {got_dim} dimensions",
            expected=f"{expected} with {expected_dim}",
            remedy="embed all words with the same encoder and the same weights",
        )
