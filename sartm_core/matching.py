"""Matching of time stamps on a line: what may still come, and the best one-to-one pairing."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

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
