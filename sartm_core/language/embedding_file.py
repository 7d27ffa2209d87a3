"""Word vectors that were computed before: a list of words, one text space."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.language.text_space import Vectors, require_same_space

_NPY_REMEDY = "write SPACE:FILE.npy, for example ViT-B/32:lvis_vitb32.npy"


def write_embeddings(
    path: Path, names: Sequence[str], vectors: Vectors, centre: Vectors, space: str
) -> None:
    """Write a file for the encoder ``file``: one that says of itself which words and space it has.

    Args:
        path: to write; ends in .npz.
        names: N words.
        vectors: float32 [N,E].
        centre: float32 [E], mean vector of the reference vocabulary.
        space: name of the text space.

    Raises:
        SartmError: the path ends otherwise.
    """
    if path.suffix != ".npz":
        raise SartmError("word vectors are written as .npz", got=path)
    with atomic_path(path) as aside:
        np.savez(
            aside,
            names=np.array(names),
            embeddings=vectors,
            centre=centre,
            space=np.array(space),
        )


class FileEncoder:
    """Looks words up.

    Args:
        path: ``FILE.npz`` as :func:`write_embeddings` makes it. Or ``SPACE:FILE.npy`` with a
            matrix [N,E]; its N words stand beside it in ``FILE.json`` or ``class_names.json``,
            as a list, or as an object of lists whose keys begin with the name of the space.
            Several files of one space, separated by commas: the first that has a word is taken.

    Raises:
        SartmError: a file or its words are missing or damaged, or two spaces are mixed.
    """

    name = "file"
    any_text = False

    def __init__(self, path: str) -> None:
        prefix, colon, files = path.rpartition(":")
        parts = [_read(Path(file.strip()), prefix if colon else None) for file in files.split(",")]
        first = parts[0]
        for part in parts:
            require_same_space(part.space, part.dim, first.space, first.dim)
        self.space = first.space
        self.dim = first.dim
        self._vectors = np.concatenate([part.vectors for part in parts])
        names = [name for part in parts for name in part.names]
        self._rows = _index(names)
        self._centre = self._vectors.mean(axis=0) if first.centre is None else first.centre
        content = hashlib.sha256(self._vectors.tobytes() + self._centre.tobytes())
        content.update(json.dumps(names).encode())
        self.identity = f"file {self.space} {content.hexdigest()}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [self._rows.get(_plain(text)) for text in texts]
        unknown = [text for text, row in zip(texts, rows, strict=True) if row is None]
        if unknown:
            near = ", ".join(self._near(_plain(unknown[0])))
            raise SartmError(
                f"the embedding file has no word {unknown[0]!r}",
                got=f"{len(unknown)} unknown: {', '.join(unknown)}" if unknown[1:] else None,
                expected=f"one of its words; {f'near ones are {near}' if near else 'none is near'}",
            )
        return self._vectors[[row for row in rows if row is not None]]

    def _near(self, word: str) -> list[str]:
        """At most five words of the file: names that have the word in them, then similar ones."""
        within = [name for name in self._rows if f" {word} " in f" {name} "]
        similar = difflib.get_close_matches(word, self._rows, n=5, cutoff=0.5)
        return list(dict.fromkeys(within + similar))[:5]

    def centre(self) -> Vectors:
        """The one that the file brings; else the mean over all its words, a fixed list too."""
        return self._centre


@dataclass(frozen=True)
class _Part:
    names: list[str]
    vectors: Vectors
    space: str
    centre: Vectors | None

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])


def _read(path: Path, space: str | None) -> _Part:
    if not path.is_file():
        raise SartmError("no such file of word vectors", got=path, expected="a .npz or .npy file")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
            names = [str(name) for name in arrays["names"]]
            own = str(arrays["space"])
            vectors, centre = _unit(path, arrays["embeddings"]), arrays.get("centre")
            dim = vectors.shape[1]
            require_same_space(own, dim, own if space is None else space, dim)
        else:
            if space is None:
                raise SartmError(f"{path} does not name its text space", remedy=_NPY_REMEDY)
            vectors, centre = _unit(path, np.load(path, allow_pickle=False)), None
            names, own = _names_beside(path, len(vectors), space), space
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SartmError(f"{path} is no file of word vectors", got=repr(error)) from error
    if len(names) != len(vectors):
        raise SartmError(f"{path} has {len(names)} words", got=f"{len(vectors)} vectors")
    return _Part(names, vectors, own, centre)


def _unit(path: Path, matrix: npt.NDArray[Any]) -> Vectors:
    """float32 unit rows."""
    fits = matrix.ndim == 2 and matrix.size > 0 and np.issubdtype(matrix.dtype, np.floating)
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True) if fits else None
    if norms is None or not (np.isfinite(norms).all() and (norms > 0).all()):
        raise SartmError(
            f"{path} holds no word vectors",
            got=f"{matrix.dtype} {list(matrix.shape)}",
            expected="a matrix of finite rows, none of them zero",
        )
    unit: Vectors = (matrix / norms).astype(np.float32)
    return unit


def _names_beside(path: Path, count: int, space: str) -> list[str]:
    """The words of the N rows of a bare matrix."""
    sources = [path.with_suffix(".json"), path.with_name("class_names.json")]
    source = next((file for file in sources if file.is_file()), None)
    if source is None:
        raise SartmError(
            f"{path} comes without its words", expected=" or ".join(file.name for file in sources)
        )
    content = json.loads(source.read_text())
    lists = content if isinstance(content, dict) else {space: content}
    of_length = [key for key, names in lists.items() if len(names) == count]
    matching = [key for key in of_length if key.startswith(space)]
    if len(matching) != 1:
        raise SartmError(
            f"{source} does not say which words {path.name} has in the space {space}",
            got=f"lists of {count} words: {', '.join(of_length) or 'none'}",
            expected=f"one list of {count} words whose key begins with {space}",
            remedy="name the space that the vectors were made in; two are never mixed",
        )
    return [str(name) for name in lists[matching[0]]]


def _index(names: Sequence[str]) -> dict[str, int]:
    """Row of every word; a shorter form of a name counts where no name and no other form is it."""
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        rows.setdefault(_plain(name), row)
    forms: dict[str, set[int]] = {}
    for row, name in enumerate(names):
        for form in _shorter(name):
            forms.setdefault(form, set()).add(row)
    for form, owners in forms.items():
        if len(owners) == 1:
            rows.setdefault(form, *owners)
    return rows


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _shorter(name: str) -> Iterator[str]:
    """`car_(automobile)` is also a car, `Street Lights/Lamp` also a lamp."""
    bare = re.sub(r"\(.*?\)", " ", name)
    for form in bare.split("/"):
        if _plain(form):
            yield _plain(form)
