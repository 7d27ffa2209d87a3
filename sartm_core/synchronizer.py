"""Pairs RGB with thermal images by time stamp.

``reuse`` mode gives every RGB image the nearest thermal image within slop, so a thermal image may
serve several RGB images; ``match`` mode pairs one to one, as a matcher decides: by default with as
many pairs as possible and, of those, the least total offset. Time is an argument everywhere: no
clock is read here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sartm_core.errors import SartmError
from sartm_core.matching import Matcher, OptimalMatcher, StampHistory
from sartm_core.sync_types import Pair, SyncCounters, SyncParameters

__all__ = ["Pair", "SyncCounters", "SyncParameters", "Synchronizer"]

NANO = 1_000_000_000
MAX_BUFFERED = 128
"""Hard limit of messages held per stream, whatever their stamps say."""
SILENT_PERIODS = 3


@dataclass(slots=True, eq=False)
class _Thermal:
    time: int  # stamp on the RGB clock
    stamp_ns: int
    item: Any
    arrival_ns: int
    used: bool = False
    taken: bool = False  # match mode: no longer to be had


@dataclass(slots=True, eq=False)
class _Rgb:
    time: int
    item: Any
    arrival_ns: int
    decided: bool = False
    thermal: _Thermal | None = None


class Synchronizer:
    """Pairs two streams of stamped items; see ``SyncParameters`` for the rules.

    Args:
        params: the rules.
        matcher: who goes with whom in match mode; None = the optimum.

    Raises:
        SartmError: policy message_filters without a matcher.

    Every method takes ``now_ns``, a steady arrival time in nanoseconds, and returns the pairs that
    became final, RGB stamps strictly ascending between two jumps back in time. An RGB image is
    final when no message that may still come can change its partner, and at the latest
    ``max_wait_s`` after its arrival; call ``poll`` at ``next_deadline_ns``. Not thread safe.
    """

    def __init__(self, params: SyncParameters, matcher: Matcher | None = None) -> None:
        if params.policy != "nearest" and matcher is None:
            raise SartmError(
                "without ROS the synchroniser pairs by the policy nearest only",
                got=f"sync.policy {params.policy}",
                remedy="leave message_filters to the ROS node",
            )
        self.params = params
        self._slop = _ns(params.slop_s)
        self._offset = _ns(params.thermal_offset_s)
        self._max_wait = _ns(params.max_wait_s)
        self._max_hold = _ns(params.max_hold_s)
        self._jump = _ns(params.reset_jump_s)
        # Long enough for a stream whose transport is slower than the other's by reset_jump_s.
        self._age = max(self._jump, self._max_hold, self._max_wait) + self._slop
        self._waiting: list[_Rgb] = []  # ascending by time, as _thermals
        self._thermals: list[_Thermal] = []
        self._rgb_seen = StampHistory()
        self._thermal_seen = StampHistory()
        self._matcher = matcher or OptimalMatcher(self._slop, self._rgb_seen, self._thermal_seen)
        self._last_rgb_out: int | None = None
        self._last_alone_out: int | None = None
        self._first_arrival: int | None = None
        self._count: Counter[str] = Counter()
        self._rgb_dropped: Counter[str] = Counter()
        self._thermal_unused: Counter[str] = Counter()

    def add_rgb(self, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        """Take an RGB image; returns what became final by it."""
        self._count["rgb_received"] += 1
        time = self._usable(stamp_ns, now_ns)
        if time is None:
            self._rgb_dropped["zero_stamp"] += 1
            return self.poll(now_ns)
        pairs = self._after_jump_back(self._rgb_seen, time)
        if time in self._rgb_seen:
            self._rgb_dropped["duplicate_stamp"] += 1
            return pairs + self.poll(now_ns)
        self._rgb_seen.add(time, now_ns)
        if self._last_rgb_out is not None and time <= self._last_rgb_out:
            self._rgb_dropped["late"] += 1
            return pairs + self.poll(now_ns)
        insort(self._waiting, _Rgb(time, item, now_ns), key=_time)
        return pairs + self.poll(now_ns)

    def add_thermal(self, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        """Take a thermal image; returns what became final by it."""
        self._count["thermal_received"] += 1
        stamp = self._usable(stamp_ns, now_ns)
        if stamp is None:
            self._thermal_unused["zero_stamp"] += 1
            return self.poll(now_ns)
        time = stamp + self._offset
        pairs = self._after_jump_back(self._thermal_seen, time)
        if time in self._thermal_seen:
            self._thermal_unused["duplicate_stamp"] += 1
            return pairs + self.poll(now_ns)
        self._thermal_seen.add(time, now_ns)
        if self._first_arrival is None:
            self._first_arrival = now_ns
        if self._too_late_for_rgb(time):
            self._thermal_unused["late"] += 1
            return pairs + self.poll(now_ns)
        insort(self._thermals, _Thermal(time, stamp, item, now_ns), key=_time)
        return pairs + self.poll(now_ns)

    def poll(self, now_ns: int) -> list[Pair]:
        """What is final at ``now_ns``: certain already, or waited for long enough."""
        self._decide_certain()
        due = len(self._waiting) - MAX_BUFFERED
        for index, rgb in enumerate(self._waiting):
            if rgb.arrival_ns + self._max_wait <= now_ns:
                due = max(due, index + 1)
        if due > 0:
            self._decide(due)
            self._decide_certain()
        pairs = self._release() + self._release_alone(now_ns)
        self._forget_thermals()
        return pairs

    def flush(self, now_ns: int) -> list[Pair]:
        """Decide every waiting RGB image now, with the thermal images at hand."""
        self._decide(len(self._waiting))
        return self.poll(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When ``poll`` has something to do next if nothing arrives; None = nothing pending."""
        if self._waiting:
            return min(rgb.arrival_ns for rgb in self._waiting) + self._max_wait
        return min((self._alone_at(thermal) for thermal in self._alone()), default=None)

    @property
    def counters(self) -> SyncCounters:
        """A snapshot in which every message received so far is accounted for."""
        return SyncCounters(
            rgb_received=self._count["rgb_received"],
            rgb_paired=self._count["rgb_paired"],
            rgb_held=self._count["rgb_held"],
            rgb_single=self._count["rgb_single"],
            rgb_dropped=dict(self._rgb_dropped),
            rgb_waiting=len(self._waiting),
            thermal_received=self._count["thermal_received"],
            thermal_used=self._count["thermal_used"],
            thermal_unused=dict(self._thermal_unused),
            thermal_buffered=sum(not thermal.used for thermal in self._thermals),
            thermal_only=self._count["thermal_only"],
            resets=self._count["resets"],
        )

    # Arrival

    def _usable(self, stamp_ns: int, now_ns: int) -> int | None:
        if stamp_ns > 0:
            return stamp_ns
        return now_ns if self.params.allow_zero_stamps else None

    def _too_late_for_rgb(self, time: int) -> bool:
        """Whether every RGB image that could take this thermal image has left already."""
        if self.params.missing_thermal == "hold":
            return False
        left = self._left_behind()
        return left is not None and time < left

    def _left_behind(self) -> int | None:
        """Thermal images from before this time are too old for every RGB image to come.

        None when nothing is known: no RGB image has gone out, or thermal is on another time line
        (it has jumped back and RGB has not yet).
        """
        newest = self._thermal_seen.newest
        if self._last_rgb_out is None or newest is None or newest < self._last_rgb_out - self._jump:
            return None
        return self._last_rgb_out - self._slop

    def _after_jump_back(self, seen: StampHistory, time: int) -> list[Pair]:
        """Leave the old time line behind when ``time`` jumps back on one stream.

        Only messages of the old time line go: the other stream may have jumped already.
        """
        if seen.newest is None or time >= seen.newest - self._jump:
            return []
        self._count["resets"] += 1
        seen.restart()
        future = time + self._jump
        current = [rgb for rgb in self._waiting if rgb.time <= future]
        self._waiting = self._waiting[len(current) :]
        self._decide(len(self._waiting))
        pairs = self._release()
        self._waiting = current
        kept = bisect_left(self._thermals, future + 1, key=_time)
        self._discard(self._thermals[kept:], "reset")
        del self._thermals[kept:]
        if seen is self._rgb_seen:
            self._last_rgb_out = None
        else:
            self._last_alone_out = None
        return pairs

    # Decision

    def _decide_certain(self) -> None:
        """Decide the RGB images whose partner no message that may still come can change."""
        if self.params.mode == "match":
            while self._match_one():
                pass
            return
        for rgb in self._undecided():
            nearest = self._nearest(rgb.time)
            radius = abs(nearest.time - rgb.time) if nearest else self._slop
            if not self._thermal_seen.may_still_come(rgb.time, radius):
                self._settle(rgb, nearest)

    def _match_one(self) -> bool:
        rgbs, free = self._undecided(), self._free()
        found = self._matcher.certain([rgb.time for rgb in rgbs], [t.time for t in free])
        if found is None:
            return False
        rgb, thermal = found
        self._settle(rgbs[rgb], None if thermal is None else free[thermal])
        return True

    def _decide(self, count: int) -> None:
        """Decide the first ``count`` waiting RGB images with what has been seen so far."""
        if self.params.mode == "reuse":
            for rgb in self._waiting[:count]:
                if not rgb.decided:
                    self._settle(rgb, self._nearest(rgb.time))
            return
        rgbs, free = self._undecided(), self._free()
        best = self._matcher.best([rgb.time for rgb in rgbs], [t.time for t in free])
        partner = {rgbs[i]: free[j] for i, j in best}
        for rgb in self._waiting[:count]:
            if not rgb.decided:
                self._settle(rgb, partner.get(rgb))

    def _settle(self, rgb: _Rgb, thermal: _Thermal | None) -> None:
        rgb.decided = True
        rgb.thermal = thermal
        if thermal is not None:
            self._use(thermal)
            thermal.taken = self.params.mode == "match"

    def _undecided(self) -> list[_Rgb]:
        return [rgb for rgb in self._waiting if not rgb.decided]

    def _free(self) -> list[_Thermal]:
        return [thermal for thermal in self._thermals if not thermal.taken]

    def _nearest(self, time: int) -> _Thermal | None:
        first = bisect_left(self._thermals, time - self._slop, key=_time)
        last = bisect_left(self._thermals, time + self._slop + 1, key=_time)
        choices = self._thermals[first:last]
        return min(choices, key=lambda choice: abs(choice.time - time), default=None)

    # Release

    def _release(self) -> list[Pair]:
        pairs = []
        while self._waiting and self._waiting[0].decided:
            rgb = self._waiting.pop(0)
            self._last_rgb_out = rgb.time
            pair = self._pair(rgb)
            if pair is not None:
                pairs.append(pair)
        return pairs

    def _pair(self, rgb: _Rgb) -> Pair | None:
        thermal, degraded = rgb.thermal, ""
        if thermal is None and self.params.missing_thermal == "hold":
            thermal, degraded = self._held(rgb.time), "held_thermal"
        if thermal is not None:
            self._use(thermal)
            self._count["rgb_paired"] += 1
            self._count["rgb_held"] += bool(degraded)
            offset = thermal.time - rgb.time
            stamp, image = thermal.stamp_ns, thermal.item
            return Pair(rgb.item, image, rgb.time, stamp, offset, degraded, rgb.arrival_ns)
        if self.params.missing_thermal == "drop":
            self._rgb_dropped["no_thermal"] += 1
            return None
        self._count["rgb_single"] += 1
        return Pair(rgb.item, None, rgb.time, None, None, "no_thermal", rgb.arrival_ns)

    def _held(self, time: int) -> _Thermal | None:
        """The last thermal image up to this RGB image, unless it is older than max_hold_s."""
        index = bisect_left(self._thermals, time + self._slop + 1, key=_time)
        if index == 0 or self._thermals[index - 1].time < time - self._max_hold:
            return None
        return self._thermals[index - 1]

    def _release_alone(self, now_ns: int) -> list[Pair]:
        pairs = []
        for thermal in self._alone():
            if self._alone_at(thermal) <= now_ns:
                self._use(thermal)
                thermal.taken = self.params.mode == "match"
                self._last_alone_out = thermal.time
                self._count["thermal_only"] += 1
                stamp, arrival = thermal.stamp_ns, thermal.arrival_ns
                pairs.append(Pair(None, thermal.item, None, stamp, None, "no_rgb", arrival))
        return pairs

    def _alone(self) -> list[_Thermal]:
        """Thermal images that go out alone once RGB counts as silent."""
        if self.params.missing_rgb != "single" or self._waiting:
            return []
        rgb_arrival = self._rgb_seen.last_arrival_ns
        return [
            thermal
            for thermal in self._thermals
            if not thermal.used
            and (rgb_arrival is None or thermal.arrival_ns > rgb_arrival)
            and (self._last_alone_out is None or thermal.time > self._last_alone_out)
        ]

    def _alone_at(self, thermal: _Thermal) -> int:
        """RGB must have been silent, and must not follow this thermal image at once either."""
        grace = self._slop + self._max_wait
        period = self._rgb_seen.arrival_period_ns()
        silence = self._max_hold if period is None else SILENT_PERIODS * period
        last = self._rgb_seen.last_arrival_ns
        since = last if last is not None else self._first_arrival or 0
        return max(since + max(silence, grace), thermal.arrival_ns + grace)

    # Bookkeeping

    def _use(self, thermal: _Thermal) -> None:
        self._count["thermal_used"] += not thermal.used
        thermal.used = True

    def _forget_thermals(self) -> None:
        """Let go of thermal images that no RGB image can take any more, or that are too many."""
        needed = 0
        left = self._left_behind()
        if left is not None:
            needed = bisect_left(self._thermals, left, key=_time)
            # What hold may reuse stays: the last one left behind.
            needed -= self.params.missing_thermal == "hold" and needed > 0
        self._discard(self._thermals[:needed], "not_needed")
        del self._thermals[:needed]
        if self._thermals:
            oldest = self._thermals[-1].time - self._age
            expired = bisect_left(self._thermals, oldest, key=_time)
            expired = max(expired, len(self._thermals) - MAX_BUFFERED)
            self._discard(self._thermals[:expired], "expired")
            del self._thermals[:expired]

    def _discard(self, thermals: list[_Thermal], reason: str) -> None:
        unused = sum(not thermal.used for thermal in thermals)
        if unused:
            self._thermal_unused[reason] += unused


def _ns(seconds: float) -> int:
    return round(seconds * NANO)


def _time(message: _Rgb | _Thermal) -> int:
    return message.time
