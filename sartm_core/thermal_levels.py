"""The levels a thermal image is stretched between, and how they follow the scene over time.

Each image has percentiles of its own, so a person who walks in changes every grey level at once,
and the picture flickers like a camera's automatic gain. Smoothing the levels over time damps that.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import NamedTuple

from sartm_core.errors import SartmError

RESET_GAP_S = 2.0
"""Longer than any shutter event; what the camera sees after such a gap may be another place."""


class Levels(NamedTuple):
    """The darkest, the middle and the brightest level of a picture, in the unit of its pixels."""

    low: float
    median: float
    high: float


class LevelSmoothing:
    """Exponential smoothing of one camera's levels, by stamps, so that the rate has no say.

    A step of the scene is followed to 63 % after ``smoothing_s``, to 95 % after three times that.
    It starts anew with an image that is older than the last one, that comes after a gap of more
    than 2 s, or whose pixels mean something else. Not thread safe.

    Args:
        smoothing_s: time constant, seconds.

    Raises:
        SartmError: ``smoothing_s`` is not above 0.
    """

    def __init__(self, smoothing_s: float) -> None:
        if not smoothing_s > 0:
            raise SartmError(
                "thermal.smoothing_s must be above 0 for smoothing",
                got=smoothing_s,
                remedy="leave the smoothing out where it is 0",
            )
        self.smoothing_s = smoothing_s
        self._levels: Levels | None = None
        self._meaning: Hashable = None
        self._stamp_ns = 0

    def follow(self, levels: Levels, stamp_ns: int, meaning: Hashable) -> Levels:
        """The levels to use for an image.

        Args:
            levels: of this image alone, in a unit that does not change from image to image.
            stamp_ns: of this image. The same stamp again changes nothing: one thermal image may
                serve several RGB images.
            meaning: what the pixels are (the ``ThermalSpec``).
        """
        elapsed_s = (stamp_ns - self._stamp_ns) * 1e-9
        last, comparable = self._levels, meaning == self._meaning
        self._meaning, self._stamp_ns = meaning, stamp_ns
        if last is None or not comparable or not 0 <= elapsed_s <= RESET_GAP_S:
            self._levels = levels
            return levels
        weight = -math.expm1(-elapsed_s / self.smoothing_s)
        self._levels = Levels(
            *(before + weight * (now - before) for before, now in zip(last, levels, strict=True))
        )
        return self._levels
