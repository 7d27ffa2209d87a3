"""Log lines that repeat are throttled, each kind for itself."""

from __future__ import annotations

import time

from rclpy.impl.rcutils_logger import RcutilsLogger

from sartm_core.errors import BadImageError

PERIOD_S = 5.0


class Warnings:
    """WARN at most once per ``PERIOD_S`` for each key; says how many were not said."""

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._said: dict[str, float] = {}
        self._withheld: dict[str, int] = {}

    def refused(self, topic: str, error: BadImageError) -> None:
        self.say(f"{topic} {error.reason}", f"image on {topic} dropped: {error}")

    def say(self, key: str, text: str) -> None:
        now = time.monotonic()
        if now - self._said.get(key, -PERIOD_S) < PERIOD_S:
            self._withheld[key] = self._withheld.get(key, 0) + 1
            return
        self._said[key] = now
        withheld = self._withheld.pop(key, 0)
        self._logger.warning(text + (f" (and {withheld} more since)" if withheld else ""))
