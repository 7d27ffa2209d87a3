"""Vectors of words, of the classes of a table, and of the centre of a text space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.errors import SartmError
from sartm_core.language.cache import recall, remember
from sartm_core.language.templates import DEFAULT_TEMPLATES, TEMPLATES, fill
from sartm_core.language.text_space import TextEncoder, Vectors


@dataclass(frozen=True)
class WordTable:
    """What a network is told about its classes.

    Attributes:
        words: float32 [C,E], unit rows; zeros for a class without a word.
        centre: float32 [E], mean vector of the reference vocabulary; not a unit vector.
        encoder: name of the text encoder.
        space: text space of the vectors.
        templates: over which every word was averaged.
    """

    words: Vectors
    centre: Vectors
    encoder: str
    space: str
    templates: tuple[str, ...]

    @property
    def dim(self) -> int:
        return int(self.words.shape[1])

    def shuffled(self, seed: int) -> WordTable:
        """The control: every class that has a word gets the word of another one.

        Raises:
            SartmError: fewer than two classes have a word.
        """
        named = np.flatnonzero(self.words.any(axis=1))
        if len(named) < 2:
            raise SartmError("words cannot be shuffled", got=f"{len(named)} classes with a word")
        generator = np.random.default_rng(seed)
        dealt = generator.permutation(named)
        while (dealt == named).any():
            dealt = generator.permutation(named)
        words = self.words.copy()
        words[named] = self.words[dealt]
        return replace(self, words=words)


def embed_classes(
    table: ClassTable, encoder: TextEncoder, templates: Sequence[str] | None = None
) -> WordTable:
    """The words of a table: per class the mean over synonyms and templates, normalised.

    Args:
        table: of C classes.
        encoder: of the words.
        templates: sentences with {}; by default the set ``photo`` of ``TEMPLATES``, or the bare
            word if the encoder knows no sentences.

    Raises:
        SartmError: the encoder does not know a word.
    """
    templates = _templates(encoder, templates)
    classes = [info for info in table.classes if info.words]
    words = np.zeros((len(table), encoder.dim), np.float32)
    if classes:
        named = embed_words([info.words for info in classes], encoder, templates)
        words[[info.id for info in classes]] = named
    centre = reference_centre(encoder, templates)
    return WordTable(words, centre, encoder.name, encoder.space, tuple(templates))


def embed_words(
    groups: Sequence[Sequence[str]],
    encoder: TextEncoder,
    templates: Sequence[str] | None = None,
    *,
    cached: bool = True,
) -> Vectors:
    """One vector per group of synonyms: the mean over its words and the templates, normalised.

    Args:
        groups: N groups of one or more words.
        encoder: of the words.
        templates: as for :func:`embed_classes`.
        cached: keep every word on disk; not worth it for a long list that is used as a whole.

    Returns:
        float32 [N,E], unit rows.

    Raises:
        SartmError: a group or a word is empty, or the encoder does not know a word.
    """
    if any(not group or not all(word.strip() for word in group) for group in groups):
        raise SartmError("a word to embed is empty", got=[list(group) for group in groups])
    words = sorted({word for group in groups for word in group})
    over_templates = _cached_means if cached else _means
    means = over_templates(words, encoder, _templates(encoder, templates))
    row = {word: index for index, word in enumerate(words)}
    vectors = np.stack([means[[row[word] for word in group]].mean(axis=0) for group in groups])
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def reference_centre(encoder: TextEncoder, templates: Sequence[str] | None = None) -> Vectors:
    """float32 [E]: the mean vector of the reference vocabulary.

    Similarities between words are measured from here and not from the mean of the classes at
    hand, or a new class would change every score.
    """
    own = encoder.centre()
    if own is not None:
        return own
    templates = _templates(encoder, templates)
    words = reference_words()
    key = {"centre of": words, "encoder": encoder.identity, "templates": list(templates)}
    kept = recall(key)
    if kept is not None:
        return kept["centre"]
    vectors = embed_words([(word,) for word in words], encoder, templates, cached=False)
    centre: Vectors = vectors.mean(axis=0)
    remember(key, {"centre": centre})
    return centre


@cache
def reference_words() -> tuple[str, ...]:
    """Everyday things that can be seen, streets included: the fixed reference vocabulary."""
    return tuple(Path(__file__).with_name("reference_words.txt").read_text().splitlines())


def _templates(encoder: TextEncoder, templates: Sequence[str] | None) -> Sequence[str]:
    if templates is None:
        return DEFAULT_TEMPLATES if encoder.any_text else TEMPLATES["none"]
    return templates


def _means(words: Sequence[str], encoder: TextEncoder, templates: Sequence[str]) -> Vectors:
    """float32 [N,E]: each word's mean over the templates, not normalised."""
    sentences = [text for word in words for text in fill(templates, word)]
    vectors = encoder.embed(sentences).reshape(len(words), len(templates), encoder.dim)
    means: Vectors = vectors.mean(axis=1)
    return means


def _cached_means(words: Sequence[str], encoder: TextEncoder, templates: Sequence[str]) -> Vectors:
    """As :func:`_means`; only words that are not on disk reach the encoder."""
    keys = [
        {"word": word, "encoder": encoder.identity, "templates": list(templates)} for word in words
    ]
    kept = [recall(key) for key in keys]
    missing = [index for index, arrays in enumerate(kept) if arrays is None]
    fresh: Sequence[Vectors] = []
    if missing:
        fresh = list(_means([words[index] for index in missing], encoder, templates))
    for index, mean in zip(missing, fresh, strict=True):
        kept[index] = {"mean": mean}
        remember(keys[index], {"mean": mean})
    return np.stack([arrays["mean"] for arrays in kept if arrays is not None])
