"""Matching of time stamps on a line: what may still come, and the best one-to-one pairing.

Stamps are nanoseconds, ascending in every sequence.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Protocol

HISTORY = 32
PERIOD_STAMPS = 5
"""Stamps needed before a stream's period is believed."""


class StampHistory:
    """Recent stamps and arrival times of one stream, in nanoseconds.

    From them follow two estimates: the shortest gap between stamps, which bounds where a message
    that has not arrived yet can lie, and the usual gap between arrivals, which tells silence.
    """

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.shortest_gap_ns: int | None = None
        self._arrivals: deque[int] = deque(maxlen=9)

    @property
    def newest(self) -> int | None:
        return self.stamps[-1] if self.stamps else None

    @property
    def last_arrival_ns(self) -> int | None:
        return self._arrivals[-1] if self._arrivals else None

    def arrival_period_ns(self) -> int | None:
        """Median time between recent arrivals, or None before the third message."""
        if len(self._arrivals) < 3:
            return None
        return int(median(later - sooner for sooner, later in pairwise(self._arrivals)))

    def __contains__(self, stamp: int) -> bool:
        index = bisect_left(self.stamps, stamp)
        return index < len(self.stamps) and self.stamps[index] == stamp

    def add(self, stamp: int, now_ns: int) -> None:
        """Record a message; stamps may come out of order."""
        insort(self.stamps, stamp)
        del self.stamps[:-HISTORY]
        self._arrivals.append(now_ns)
        if len(self.stamps) >= PERIOD_STAMPS:
            self.shortest_gap_ns = min(later - sooner for sooner, later in pairwise(self.stamps))

    def restart(self) -> None:
        """Forget the stamps after a jump back in time; the period stays valid."""
        self.stamps.clear()

    def may_still_come(self, centre: int, radius: int) -> bool:
        """Whether a message not seen yet can lie within ``radius`` of the stamp ``centre``.

        Such a message keeps the stream's shortest recent gap from every stamp seen. That covers
        the next message, and one that was overtaken on its way and belongs into a gap.
        """
        gap = self.shortest_gap_ns
        if gap is None:
            return radius > 0
        index = bisect_left(self.stamps, centre)
        after = self.stamps[index] if index < len(self.stamps) else None
        if after == centre:
            return radius >= gap
        earliest = self.stamps[index - 1] + gap if index > 0 else None
        latest = after - gap if after is not None else None
        if earliest is not None and latest is not None and earliest > latest:
            return False
        nearest = centre
        if earliest is not None:
            nearest = max(nearest, earliest)
        if latest is not None:
            nearest = min(nearest, latest)
        return abs(nearest - centre) <= radius


def optimal_pairs(first: Sequence[int], second: Sequence[int], slop: int) -> list[tuple[int, int]]:
    """One-to-one pairs (index in first, index in second) of two ascending stamp lists.

    Among all pairings with offsets of at most ``slop`` it has the most pairs, and of those the
    least sum of offsets. On a line there is always such a pairing without crossings, so dynamic
    programming over the two sorted lists finds it in O(len(first) * len(second)).
    """
    rows, columns = len(first), len(second)
    # cost[i][j]: (-pairs, total offset) of the best pairing of first[i:] with second[j:].
    cost = [[(0, 0)] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            best = min(cost[i + 1][j], cost[i][j + 1])
            offset = abs(first[i] - second[j])
            if offset <= slop:
                count, total = cost[i + 1][j + 1]
                best = min(best, (count - 1, total + offset))
            cost[i][j] = best
    pairs = []
    i = j = 0
    while i < rows and j < columns:
        offset = abs(first[i] - second[j])
        count, total = cost[i + 1][j + 1]
        if offset <= slop and cost[i][j] == (count - 1, total + offset):
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif cost[i][j] == cost[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


class Matcher(Protocol):
    """Decides who goes with whom, one to one, while messages keep coming."""

    def certain(
        self, rgbs: Sequence[int], thermals: Sequence[int]
    ) -> tuple[int, int | None] | None:
        """One decision that is final, whatever may still come.

        Args:
            rgbs, thermals: stamps of the images that have no partner yet.

        Returns:
            Index of an RGB image and of its thermal image, or of an RGB image and None: it gets
            none. None = nothing is final.
        """

    def best(self, rgbs: Sequence[int], thermals: Sequence[int]) -> list[tuple[int, int]]:
        """Pairs of indices to settle for if no more were to come."""


class OptimalMatcher:
    """As many pairs as possible and, of those, the least total offset.

    Args:
        slop: largest offset of a pair.
        rgb_seen, thermal_seen: what has come on both streams so far; kept up to date by the owner.
    """

    def __init__(self, slop: int, rgb_seen: StampHistory, thermal_seen: StampHistory) -> None:
        self._slop = slop
        self._rgb_seen = rgb_seen
        self._thermal_seen = thermal_seen

    def certain(
        self, rgbs: Sequence[int], thermals: Sequence[int]
    ) -> tuple[int, int | None] | None:
        """A decision that some optimum over all messages, also unseen ones, has."""
        for index, rgb in enumerate(rgbs):
            choices = _within(thermals, rgb, self._slop)
            if choices:
                thermal = min(choices, key=lambda choice: abs(thermals[choice] - rgb))
                if self._is_final(rgbs, thermals, index, thermal, choices):
                    return index, thermal
            elif not self._thermal_seen.may_still_come(rgb, self._slop):
                return index, None
        return None

    def best(self, rgbs: Sequence[int], thermals: Sequence[int]) -> list[tuple[int, int]]:
        """The optimum over these."""
        return optimal_pairs(rgbs, thermals, self._slop)

    def _is_final(
        self,
        rgbs: Sequence[int],
        thermals: Sequence[int],
        rgb: int,
        thermal: int,
        choices: Sequence[int],
    ) -> bool:
        """Whether an RGB image and the nearest of its ``choices`` belong together for good.

        They do when they are nearest to each other and one of them has no other choice: any other
        pairing can then be changed to contain this pair without losing one or adding offset.
        """
        rgb_at, thermal_at = rgbs[rgb], thermals[thermal]
        offset = abs(thermal_at - rgb_at)
        rivals = [other for other in _within(rgbs, thermal_at, self._slop) if other != rgb]
        if (
            any(c != thermal and abs(thermals[c] - rgb_at) <= offset for c in choices)
            or any(abs(rgbs[rival] - thermal_at) <= offset for rival in rivals)
            or self._thermal_seen.may_still_come(rgb_at, offset)
            or self._rgb_seen.may_still_come(thermal_at, offset)
        ):
            return False
        only_thermal = len(choices) == 1 and not self._thermal_seen.may_still_come(
            rgb_at, self._slop
        )
        only_rgb = not rivals and not self._rgb_seen.may_still_come(thermal_at, self._slop)
        return only_thermal or only_rgb


def _within(stamps: Sequence[int], centre: int, radius: int) -> range:
    """Indices of the stamps at most ``radius`` from ``centre``."""
    return range(bisect_left(stamps, centre - radius), bisect_left(stamps, centre + radius + 1))
