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
    """Holds one waiting item and the one in the worker's hand: the newest waiting one wins.

    Args:
        lock: taken for every change, so that whoever holds it sees items and counters that fit.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._changed = threading.Condition(lock)
        self._calls: deque[Call] = deque()
        self._closed = False
        self.waiting: T | None = None
        self.in_hand: T | None = None
        self.in_hand_since_ns: int | None = None

    def put(self, item: T) -> T | None:
        """Leave ``item`` for the worker; returns the one it overwrites, if any."""
        with self._changed:
            overwritten, self.waiting = self.waiting, item
            self._changed.notify_all()
        return overwritten

    def call(self, function: Call) -> None:
        """Have the worker run ``function`` between two items."""
        with self._changed:
            self._calls.append(function)
            self._changed.notify_all()

    def take(self) -> T | Call | None:
        """Wait for the next call or item, calls first; None = closed. Follow each by ``done``."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self.waiting is not None or self._closed)
            if self._closed:
                return None
            self.in_hand_since_ns = time.monotonic_ns()
            if self._calls:
                return self._calls.popleft()
            self.in_hand, self.waiting = self.waiting, None
            return self.in_hand

    def done(self) -> None:
        """The worker's hand is empty again."""
        with self._changed:
            self.in_hand = self.in_hand_since_ns = None
            self._changed.notify_all()

    def clear(self) -> T | None:
        """Take the waiting item out without running it."""
        with self._changed:
            item, self.waiting = self.waiting, None
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
