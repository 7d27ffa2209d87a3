"""Tells when a camera repeats one image: the same bytes again and again, an old world as if new.

A shutter that closes for a flat-field correction repeats an image too, for 0.3 to 1 s, and a driver
that publishes faster than its camera does so all the time. Only what lasts longer counts as frozen.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError

SECOND = 1_000_000_000
SHUTTER_NS = SECOND // 5
"""Repeats at least this long are taken for a shutter event, shorter ones for the driver's doing."""

Buffer: TypeAlias = "bytes | bytearray | memoryview | array[int]"

_SAMPLES = 61  # per axis
_BLOCK_BYTES = 1 << 17  # compared at a time, so that what differs late in an image is found cheaply


@dataclass(frozen=True, slots=True)
class FreezeCounters:
    """What has been seen so far.

    Attributes:
        images: all of them.
        repeated: those with the bytes of the image before.
        shutter_events: repeats of 0.2 s or more that ended before ``freeze_s``.
        freezes: repeats that reached ``freeze_s``, the present one included.
    """

    images: int = 0
    repeated: int = 0
    shutter_events: int = 0
    freezes: int = 0


class FreezeDetector:
    """Watches one stream of images.

    Args:
        freeze_s: seconds that a repeat has to last; may be changed at any time.

    Time is an argument, no clock is read: arrival times on a steady clock for a live camera, stamps
    for a recording. What is proven is the time from the first to the last of the equal images; that
    nothing comes at all is for others to tell. Images whose bytes always differ (a clock drawn into
    the picture, rows of telemetry) never count as frozen, and a scene without any noise, as a
    simulator renders it, does. Not thread safe.

    Raises:
        SartmError: ``freeze_s`` is not above 0.
    """

    def __init__(self, freeze_s: float = 1.5) -> None:
        self.freeze_s = freeze_s
        self._last: npt.NDArray[Any] | None = None
        self._since_ns = 0
        self._newest_ns = 0
        self._count = dict.fromkeys((item.name for item in fields(FreezeCounters)), 0)
        self._counted = False

    @property
    def freeze_s(self) -> float:
        return self._freeze_ns / SECOND

    @freeze_s.setter
    def freeze_s(self, seconds: float) -> None:
        if not seconds > 0:
            raise SartmError("thermal.freeze_s must be above 0", got=seconds, expected="e.g. 1.5")
        self._freeze_ns = round(seconds * SECOND)

    def add(self, image: npt.NDArray[Any] | Buffer, time_ns: int) -> bool:
        """Take the next image; returns whether the stream is frozen now.

        Args:
            image: an array of any shape and dtype, or a message's bytes. It is kept until the next
                one comes and must not be written to meanwhile.
            time_ns: when it arrived, or its stamp, nanoseconds. After a step back in time the
                duration is counted anew.
        """
        pixels = _integers(image)
        last, self._last = self._last, pixels
        self._count["images"] += 1
        if last is None or time_ns < self._newest_ns or not same_bytes(last, pixels):
            if last is not None:
                self._end_of_run()
            self._since_ns = self._newest_ns = time_ns
            return False
        self._newest_ns = time_ns
        self._count["repeated"] += 1
        if self.frozen and not self._counted:
            self._counted = True
            self._count["freezes"] += 1
        return self.frozen

    def reset(self) -> None:
        """Forget the last image, e.g. when the camera has been subscribed to anew."""
        self._last = None
        self._counted = False

    @property
    def frozen(self) -> bool:
        """Whether the newest images have been the same for ``freeze_s`` or longer."""
        return self.repeated_ns >= self._freeze_ns

    @property
    def repeats_since_ns(self) -> int | None:
        """When the image that is repeated came first; None if the newest one was new."""
        return self._since_ns if self.repeated_ns else None

    @property
    def repeated_ns(self) -> int:
        """From the first to the last of the newest equal images; 0 if the newest one was new."""
        return self._newest_ns - self._since_ns if self._last is not None else 0

    @property
    def counters(self) -> FreezeCounters:
        return FreezeCounters(**self._count)

    def _end_of_run(self) -> None:
        if not self._counted and self.repeated_ns >= SHUTTER_NS:
            self._count["shutter_events"] += 1
        self._counted = False


def same_bytes(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Whether two arrays hold the same bytes.

    A few thousand samples settle it where they differ; only what agrees there is compared in full.

    Args:
        first, second: arrays of integers of any shape.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.size == 0:
        return True
    steps = tuple(slice(None, None, -(-length // _SAMPLES)) for length in first.shape[:2])
    if not np.array_equal(first[steps], second[steps]):
        return False
    rows = max(1, _BLOCK_BYTES * len(first) // first.nbytes)
    return all(
        np.array_equal(first[row : row + rows], second[row : row + rows])
        for row in range(0, len(first), rows)
    )


def _integers(image: npt.NDArray[Any] | Buffer) -> npt.NDArray[Any]:
    """The image without a copy, floats as the integers of their bits (NaN is equal to nothing)."""
    pixels = image if isinstance(image, np.ndarray) else np.frombuffer(image, np.uint8)
    if pixels.dtype.kind == "f":
        return pixels.view(f"u{pixels.dtype.itemsize}")
    return pixels
