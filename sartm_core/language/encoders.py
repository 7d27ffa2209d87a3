"""Text encoders by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sartm_core.errors import SartmError
from sartm_core.language.text_space import TextEncoder


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
