"""Text encoders by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
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


def create_text_encoder(name: str, path: Path | str | None = None) -> TextEncoder:
    """The text encoder called ``name``.

    Args:
        name: ``minilm`` (all-MiniLM-L6-v2 out of an installed package), ``open_clip`` (a CLIP
            checkpoint) or ``file`` (vectors computed before). None of them uses the network.
        path: nothing for minilm. For open_clip ``MODEL:FILE`` with one of open_clip's model
            names, or a file beside its ``open_clip_config.json``. For file what
            ``sartm text embed --out`` wrote, or ``SPACE:FILE.npy``; several files of one space
            are separated by commas.

    Raises:
        SartmError: no such encoder, a path too few or too many, or nothing usable there.
    """
    if name not in _BUILDERS:
        raise SartmError("unknown text encoder", got=repr(name), expected=", ".join(_BUILDERS))
    needs_path = name != "minilm"
    if needs_path != (path is not None):
        raise SartmError(
            f"the text encoder '{name}' {'needs a path' if needs_path else 'takes no path'}",
            got=path,
            remedy=_PATH_REMEDY.get(name),
        )
    return _BUILDERS[name]("" if path is None else str(path))


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


def _minilm(path: str) -> TextEncoder:
    from sartm_core.language.minilm import MiniLmEncoder

    return MiniLmEncoder()


def _open_clip(path: str) -> TextEncoder:
    from sartm_core.language.clip import OpenClipEncoder

    return OpenClipEncoder(path)


def _file(path: str) -> TextEncoder:
    from sartm_core.language.embedding_file import FileEncoder

    return FileEncoder(path)


_BUILDERS: dict[str, Callable[[str], TextEncoder]] = {
    "minilm": _minilm,
    "open_clip": _open_clip,
    "file": _file,
}
_PATH_REMEDY = {
    "open_clip": "checkpoints are never downloaded; give one, for example ViT-B-32:weights.pt",
    "file": "give for example words.npz, or ViT-B/32:vectors.npy",
}
