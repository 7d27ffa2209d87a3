"""The place between the executor, which never waits, and the one worker that runs the model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Call = Callable[[], None]


class Mailbox(Generic[T]):
    """Holds one waiting item per slot and the one in the worker's hand: the newest waiting wins.

    Slots are served in turn, so that none starves however fast the others are filled.

    Args:
        lock: taken for every change, so that whoever holds it sees items and counters that fit.
        slots: how many items may wait, each in its own.
    """

    def __init__(self, lock: threading.RLock, slots: int = 1) -> None:
        self._changed = threading.Condition(lock)
        self._calls: deque[Call] = deque()
        self._closed = False
        self._waiting: list[T | None] = [None] * slots
        self._last = slots - 1
        self.in_hand: tuple[int, T] | None = None
        """The slot and the item that the worker is at."""
        self.in_hand_since_ns: int | None = None

    def put(self, item: T, slot: int = 0) -> T | None:
        """Leave ``item`` for the worker; returns the one it overwrites, if any."""
        with self._changed:
            overwritten, self._waiting[slot] = self._waiting[slot], item
            self._changed.notify_all()
        return overwritten

    def waiting(self, slot: int = 0) -> T | None:
        return self._waiting[slot]

    def call(self, function: Call) -> bool:
        """Have the worker run ``function`` between two items; False = closed, nobody will."""
        with self._changed:
            if self._closed:
                return False
            self._calls.append(function)
            self._changed.notify_all()
            return True

    def take(self) -> tuple[int, T] | Call | None:
        """Wait for the next call or (slot, item), calls first; None = closed, and no call left.

        Follow each by ``done``.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._closed or self._turn() is not None)
            if self._closed and not self._calls:
                return None
            self.in_hand_since_ns = time.monotonic_ns()
            if self._calls:
                return self._calls.popleft()
            slot = self._turn()
            assert slot is not None
            item, self._waiting[slot] = self._waiting[slot], None
            assert item is not None
            self._last = slot
            self.in_hand = slot, item
            return self.in_hand

    def done(self) -> None:
        """The worker's hand is empty again."""
        with self._changed:
            self.in_hand = self.in_hand_since_ns = None
            self._changed.notify_all()

    def clear(self, slot: int = 0) -> T | None:
        """Take the waiting item out without running it."""
        with self._changed:
            item, self._waiting[slot] = self._waiting[slot], None
        return item

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether the worker's hand became empty in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.in_hand_since_ns is None, timeout_s)

    def close(self) -> None:
        """Let the worker go; what is still waiting stays where it is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _turn(self) -> int | None:
        """The next slot after the last one served in which an item waits."""
        count = len(self._waiting)
        for step in range(1, count + 1):
            slot = (self._last + step) % count
            if self._waiting[slot] is not None:
                return slot
        return None
