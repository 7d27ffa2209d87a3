"""A text encoder whose vectors can be looked up, and that counts what it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from sartm_core.language.text_space import Vectors


class FakeEncoder:
    """Vectors given by hand; any other text gets a random one, always the same."""

    name = "fake"
    any_text = True

    def __init__(self, dim: int = 8, identity: str = "fake 1", **vectors: Sequence[float]) -> None:
        self.dim = dim
        self.identity = identity
        self.space = "fake"
        self.asked: list[str] = []
        self._vectors = {text: np.array(vector, np.float32) for text, vector in vectors.items()}

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return np.stack([self._vector(text) for text in texts])

    def centre(self) -> None:
        return None

    def _vector(self, text: str) -> Vectors:
        if text in self._vectors:
            vector = self._vectors[text]
        else:
            seed = int(hashlib.sha256(f"{self.identity} {text}".encode()).hexdigest()[:8], 16)
            vector = np.random.default_rng(seed).normal(size=self.dim).astype(np.float32)
        unit: Vectors = vector / np.linalg.norm(vector)
        return unit
