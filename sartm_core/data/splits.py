"""A dev list for data sets that bring none: blocks of consecutive frames, cut out of `train`.

Neighbouring frames of a recording are nearly the same picture. A dev list drawn at random from
them measures memory, so `dev` is made of blocks, and a few frames on both sides of each block
belong to neither list. The blocks depend on nothing but the sorted names in `train`: everyone with
the whole list gets the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sartm_core.errors import SartmError

FIT, DEV = "fit", "dev"
"""The two parts of `train`: to learn from, and to choose settings and checkpoints on."""

DEV_SHARE = 0.1
BLOCK = 12  # frames; longer blocks would leave a small set with scenes of one place only
GUARD = 4  # frames; further apart than that, MFNet's frames are no near-duplicates any more
MIN_FRAMES = 30


def carve(train: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split the names in `train` into `fit` and `dev`.

    The names, in recording order, hold ``max(2, DEV_SHARE * N / BLOCK)`` dev blocks of equal
    length, about `DEV_SHARE` of all frames, each in the middle of an equal part of the recording.
    `GUARD` frames before and after each block are left out of `fit`.

    Returns:
        (fit, dev), each in recording order, disjoint.

    Raises:
        SartmError: fewer than `MIN_FRAMES` frames.
    """
    stems = sorted(train, key=recording_order)
    total = len(stems)
    if total < MIN_FRAMES:
        raise SartmError(
            "too few frames to cut a dev list out of train",
            got=f"{total} frames",
            expected=f"{MIN_FRAMES} or more",
            remedy=f"write {FIT}.txt and {DEV}.txt by hand, or train on all of train",
        )
    blocks = max(2, round(DEV_SHARE * total / BLOCK))
    length = max(1, round(DEV_SHARE * total / blocks))
    dev: set[int] = set()
    left_out: set[int] = set()
    for block in range(blocks):
        start = (2 * block + 1) * total // (2 * blocks) - length // 2
        dev.update(range(start, start + length))
        left_out.update(range(start - GUARD, start + length + GUARD))
    return (
        tuple(stem for index, stem in enumerate(stems) if index not in left_out),
        tuple(stems[index] for index in sorted(dev)),
    )


def recording_order(stem: str) -> tuple[tuple[str, int], ...]:
    """Sort key: numbers in a name count as numbers, so that frame 9 comes before frame 10."""
    parts = re.split(r"([0-9]+)", stem)
    return tuple(
        (text, int(number)) for text, number in zip(parts[::2], [*parts[1::2], "-1"], strict=True)
    )
