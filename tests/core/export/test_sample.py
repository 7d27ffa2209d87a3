"""Which synthetic scenes become sample frames."""

from __future__ import annotations

import numpy as np

from sartm_core.export.sample import Candidate, choose, synthetic_feeds


def candidate(**pixels: int) -> Candidate:
    """A mask of 100 pixels with so many of class c1, c2, ...; the rest is background."""
    mask = np.zeros(100, np.uint8)
    start = 0
    for name, count in pixels.items():
        mask[start : start + count] = int(name[1:])
        start += count
    return Candidate({}, mask.reshape(10, 10))


def chosen_from(pool: list[Candidate], count: int = 2) -> list[int]:
    """Positions in the pool of the frames that were chosen."""
    chosen = choose(pool, count)
    return sorted(next(i for i, c in enumerate(pool) if c is frame) for frame in chosen)


def test_every_predicted_class_is_shown() -> None:
    pool = [candidate(c1=50), candidate(c1=40), candidate(c2=4), candidate(c1=30, c3=1)]
    assert chosen_from(pool) == [0, 2, 3] or chosen_from(pool) == [2, 3]
    shown = frozenset().union(*(frame.classes for frame in choose(pool, 2)))
    assert shown == {1, 2, 3}


def test_frames_with_little_foreground_are_no_samples() -> None:
    pool = [candidate(c1=2), candidate(c1=3), candidate(c1=50), candidate(c2=2)]
    assert chosen_from(pool) == [1, 2]


def test_where_foreground_is_scarce_the_best_frames_fill_up() -> None:
    pool = [candidate(c1=0), candidate(c1=1), candidate(c1=5)]
    assert chosen_from(pool) == [1, 2]


def test_more_frames_than_asked_for_if_the_classes_need_them() -> None:
    pool = [candidate(**{f"c{c}": 10}) for c in range(1, 6)]
    assert chosen_from(pool, 2) == [0, 1, 2, 3, 4]


def test_unlabelled_pixels_are_no_foreground() -> None:
    assert candidate(c255=60, c1=4).foreground == 0.04
    assert candidate(c255=60, c1=4).classes == {1}


def test_feeds_are_the_same_each_time() -> None:
    first, again = (next(synthetic_feeds(64, 96, 1)) for _ in range(2))
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
