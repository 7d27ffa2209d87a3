"""Words tied to what an image classifier learned: a linear map without any CLIP weights.

The rows of an ImageNet classifier are directions in its feature space that have names. Ridge
regression from the names' text vectors to these rows gives a map from text to features, for any
word. How far it carries is measured on rows that it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.language.cache import recall, remember
from sartm_core.language.imagenet import (
    IMAGENET_ENCODERS,
    ImageNetFeatures,
    classifier_rows,
    imagenet_words,
)
from sartm_core.language.templates import DEFAULT_TEMPLATES
from sartm_core.language.text_space import TextEncoder, Vectors
from sartm_core.language.words import embed_words

__all__ = ["IMAGENET_ENCODERS", "Grounding", "ImageNetFeatures", "fit", "ground"]

FOLDS = 10
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
_VERSION = 1  # of this fit, for the cache

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grounding:
    """A linear map from text to the features of an image classifier.

    Attributes:
        matrix: float32 [E,F], G: (e - c) G is the direction of the word e in feature space, c the
            centre of the text space.
        penalty: of the ridge regression, chosen by cross-validation.
        top1, top5: share of held-out classifier rows that their name finds, first or among the
            first five of ``way``, by cosine.
        way: how many held-out rows a name chooses from.
    """

    matrix: Vectors
    penalty: float
    top1: float
    top5: float
    way: int


def ground(encoder_name: str, text_encoder: TextEncoder) -> Grounding:
    """The map from a text space to an ImageNet encoder's features; kept on disk.

    Args:
        encoder_name: one of ``IMAGENET_ENCODERS``; the names of its 1,000 classes are embedded
            with their synonyms and the default templates, as class words are.
        text_encoder: takes any text.

    Raises:
        SartmError: the encoder has no ImageNet classifier, or the text encoder has only a list
            of words.
    """
    if not text_encoder.any_text:
        raise SartmError(
            "grounding embeds the names of the ImageNet classes",
            got=f"the text encoder '{text_encoder.name}', which knows a list of words",
            expected="minilm or open_clip",
        )
    key = {
        "grounding": encoder_name,
        "encoder": text_encoder.identity,
        "templates": DEFAULT_TEMPLATES,
        "folds": FOLDS,
        "penalties": PENALTIES,
        "version": _VERSION,
    }
    kept = recall(key)
    if kept is not None:
        penalty, top1, top5, way = kept["measured"].tolist()
        return Grounding(kept["matrix"], penalty, top1, top5, int(way))
    rows = classifier_rows(encoder_name)
    text = embed_words(imagenet_words(), text_encoder, DEFAULT_TEMPLATES, cached=False)
    fitted = fit(text, rows)
    measured = np.array([fitted.penalty, fitted.top1, fitted.top5, fitted.way])
    remember(key, {"matrix": fitted.matrix, "measured": measured})
    return fitted


def fit(text: Vectors, rows: Vectors, seed: int = 0) -> Grounding:
    """Ridge regression with an intercept; the penalty with the least squared error on held-out
    rows is chosen, and retrieval, which had no say in it, is measured on the same folds.

    Args:
        text: float32 [N,E].
        rows: float32 [N,F].
        seed: of the division into ten folds.
    """
    folds = np.array_split(np.random.default_rng(seed).permutation(len(text)), FOLDS)
    error = np.zeros(len(PENALTIES))
    found = np.zeros((len(PENALTIES), 2))
    for held_out in folds:
        rest = np.setdiff1d(np.arange(len(text)), held_out)
        text_mean, row_mean = text[rest].mean(axis=0), rows[rest].mean(axis=0)
        maps = _ridge(text[rest] - text_mean, rows[rest] - row_mean)
        truth = rows[held_out] - row_mean
        for index, matrix in enumerate(maps):
            predicted = (text[held_out] - text_mean) @ matrix
            error[index] += np.square(predicted - truth).sum()
            rank = _rank_of_own(predicted, truth)
            found[index] += (rank < 1).sum(), (rank < 5).sum()
    best = int(error.argmin())
    top1, top5 = (found[best] / len(text)).tolist()
    final = _ridge(text - text.mean(axis=0), rows - rows.mean(axis=0))[best]
    return Grounding(
        final.astype(np.float32), PENALTIES[best], top1, top5, min(len(fold) for fold in folds)
    )


def _ridge(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> list[Matrix]:
    """(x'x + penalty)^-1 x'y for every penalty."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    values, vectors = np.linalg.eigh(x.T @ x)
    projected = vectors.T @ (x.T @ y)
    return [vectors @ (projected / (values + penalty)[:, None]) for penalty in PENALTIES]


def _rank_of_own(
    predicted: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]
) -> npt.NDArray[np.int64]:
    """How many other rows are nearer, by cosine, to each prediction than its own row."""
    unit = truth / np.linalg.norm(truth, axis=1, keepdims=True)
    scores = predicted @ unit.T
    nearer: npt.NDArray[np.int64] = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return nearer
