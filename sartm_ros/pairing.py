"""The synchroniser with a memory: its counters survive a change of parameters."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any

from sartm_core.synchronizer import Pair, SyncCounters, Synchronizer, SyncParameters
from sartm_ros.approximate_time import ApproximateTime


class Pairing:
    """A :class:`Synchronizer` that can be replaced while the accounting goes on."""

    def __init__(self, params: SyncParameters) -> None:
        self._synchronizer = _synchronizer(params)
        self._past: SyncCounters | None = None

    def add_rgb(self, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        return self._synchronizer.add_rgb(stamp_ns, item, now_ns)

    def add_thermal(self, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        return self._synchronizer.add_thermal(stamp_ns, item, now_ns)

    def poll(self, now_ns: int) -> list[Pair]:
        return self._synchronizer.poll(now_ns)

    def next_deadline_ns(self) -> int | None:
        return self._synchronizer.next_deadline_ns()

    def restart(self, params: SyncParameters, reason: str, now_ns: int) -> list[Pair]:
        """Begin again with ``params``; returns the pairs that were still waiting.

        Thermal images in the buffer count as unused for ``reason``.
        """
        fresh = _synchronizer(params)
        pairs = self._synchronizer.flush(now_ns)
        past = self.counters
        unused = Counter(past.thermal_unused)
        if past.thermal_buffered:
            unused[reason] += past.thermal_buffered
        self._past = replace(past, thermal_unused=dict(unused), thermal_buffered=0)
        self._synchronizer = fresh
        return pairs

    @property
    def counters(self) -> SyncCounters:
        """Totals since the node started."""
        now = self._synchronizer.counters
        if self._past is None:
            return now
        return SyncCounters(
            **{
                item.name: _sum(getattr(self._past, item.name), getattr(now, item.name))
                for item in fields(SyncCounters)
            }
        )


def check(params: SyncParameters) -> None:
    """Refuse what cannot be done here.

    Raises:
        SartmError: policy message_filters where that package is not installed.
    """
    _synchronizer(params)


def _synchronizer(params: SyncParameters) -> Synchronizer:
    if params.policy == "message_filters":
        return Synchronizer(params, ApproximateTime(params.slop_s))
    return Synchronizer(params)


def _sum(first: Any, second: Any) -> Any:
    if isinstance(first, int):
        return first + second
    return dict(Counter(first) + Counter(second))
