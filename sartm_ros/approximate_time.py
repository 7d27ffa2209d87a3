"""Pairing by message_filters' ApproximateTimeSynchronizer (``sync.policy: message_filters``).

The real class decides who goes with whom; buffers, deadlines, jumps back in time and the counters
stay with :class:`sartm_core.synchronizer.Synchronizer`. So what goes wrong with the class alone
cannot happen: its callback only notes the pair, so it neither fails nor runs anything under the
class's lock; it never drops a message by itself; and it is made anew whenever an image leaves
without having been paired, a jump back in time included.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from rclpy.time import Time

from sartm_core.errors import SartmError
from sartm_core.synchronizer import MAX_BUFFERED

# More than it ever gets: a full queue loses messages without a word.
_QUEUE_SIZE = 2 * MAX_BUFFERED
# Time takes no negative stamps, which sync.thermal_offset_s can make of small ones.
_SHIFT_NS = 3600 * 1_000_000_000


class ApproximateTime:
    """A :class:`sartm_core.matching.Matcher`: each image takes the nearest one that is there
    already, if that is nearer than ``slop_s``.

    Pairs go out in the order in which they are found; an RGB image that is passed over then gets
    none, since its mask would follow a newer one.

    Raises:
        SartmError: message_filters is not installed.
    """

    def __init__(self, slop_s: float) -> None:
        try:
            import message_filters
        except ImportError as error:
            distribution = os.environ.get("ROS_DISTRO", "DISTRO")
            raise SartmError(
                "sync.policy message_filters needs the ROS package message_filters",
                got=error,
                remedy=f"sudo apt install ros-{distribution}-message-filters and source ROS, or "
                "set sync.policy:=nearest, which pairs better",
            ) from error
        self._library = message_filters
        self._slop_s = slop_s
        self._renew()

    def certain(
        self, rgbs: Sequence[int], thermals: Sequence[int]
    ) -> tuple[int, int | None] | None:
        """What the class pairs of these; first the RGB images that it passes over."""
        if self._found is None:
            self._feed(rgbs, thermals)
        if self._found is None:
            return None
        rgb, thermal = self._found
        if rgbs[0] < rgb:
            return 0, None
        self._found = None
        return 0, thermals.index(thermal)

    def best(self, rgbs: Sequence[int], thermals: Sequence[int]) -> list[tuple[int, int]]:
        """None: what the class has not paired by then stays alone."""
        return []

    def _feed(self, *streams: Sequence[int]) -> None:
        """Give the class what it does not have, until it finds a pair."""
        kept = [fed.intersection(stamps) for fed, stamps in zip(self._fed, streams, strict=True)]
        news = [
            (number, stamp)
            for number, stamps in enumerate(streams)
            for stamp in stamps
            if stamp not in kept[number]
        ]
        if kept != self._fed:
            self._renew()
            # What was there had its chance: no two of it are within slop of each other.
            news = [(number, stamp) for number in (0, 1) for stamp in kept[number]] + news
        for number, stamp in news:
            self._fed[number].add(stamp)
            self._inputs[number].signalMessage(_message(stamp))
            if self._found is not None:
                break

    def _renew(self) -> None:
        self._inputs = [self._library.SimpleFilter() for _ in ("rgb", "thermal")]
        synchronizer = self._library.ApproximateTimeSynchronizer(
            self._inputs, _QUEUE_SIZE, self._slop_s
        )
        synchronizer.registerCallback(self._note)
        self._fed: list[set[int]] = [set(), set()]
        self._found: tuple[int, int] | None = None

    def _note(self, rgb: Any, thermal: Any) -> None:
        self._found = rgb.time, thermal.time
        self._fed[0].remove(rgb.time)
        self._fed[1].remove(thermal.time)


def _message(stamp: int) -> Any:
    """What message_filters takes for a message with a header."""
    header = SimpleNamespace(stamp=Time(nanoseconds=stamp + _SHIFT_NS))
    return SimpleNamespace(header=header, time=stamp)
