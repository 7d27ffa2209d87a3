"""What is in a bag, how well its two cameras pair, and what would pair them better."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.camera_messages import check_message, encoding_of
from sartm_core.data.bags import (
    CAMERA_TYPES,
    SECOND,
    BagMessage,
    BagReader,
    BagTopics,
    find_topics,
    pixels_of,
)
from sartm_core.data.pairing_forecast import ARRIVALS, Arrival, Playback, forecast, suggest
from sartm_core.errors import BadImageError, SartmError
from sartm_core.synchronizer import SyncParameters
from sartm_core.time_offset import TimeOffset, TimeOffsetEstimator

_ASK_EVERY_NS = 5 * SECOND  # of the recording
_GOOD_ENOUGH_S = 0.012  # half an interval; what exposure and views do to it is 0.010


class _Topic:
    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.bytes = 0
        self.encodings: set[str] = set()
        self.sizes: set[str] = set()
        self.refused: Counter[str] = Counter()

    def add(self, message: BagMessage) -> None:
        self.stamps.append(message.stamp_ns)
        self.bytes += len(message.raw)
        if message.msgtype not in CAMERA_TYPES:
            return
        image = message.decode()
        self.encodings.add(encoding_of(image))
        try:
            layout = check_message(image)
            self.sizes.add(f"{layout.width}x{layout.height}")
        except BadImageError as error:
            self.refused[error.reason] += 1

    def as_json(self, msgtype: str) -> dict[str, Any]:
        gaps = np.diff(self.stamps)
        forward = gaps[gaps > 0]
        result: dict[str, Any] = {
            "type": msgtype,
            "count": len(self.stamps),
            "rate_hz": round(1e9 / float(np.mean(forward)), 3) if forward.size else None,
            "jumps_back": int((gaps < 0).sum()),
            "bytes": self.bytes,
        }
        if self.encodings:
            result["encodings"] = sorted(self.encodings)
            result["sizes"] = sorted(self.sizes)
            result["refused"] = dict(self.refused)
        return result


def bag_info(
    path: Path,
    params: SyncParameters | None = None,
    *,
    rgb_topic: str | None = None,
    thermal_topic: str | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Read a bag once and describe it.

    Pictures are decoded only until the clock offset between the cameras is known.

    Args:
        path: the bag.
        params: rules of pairing; None = the node's defaults.
        rgb_topic, thermal_topic: None = told by type and name.
        advance: called after each message.

    Returns:
        ``bag``, ``bytes``, ``duration_s``, ``messages``, ``topics`` {name: type, count, rate_hz,
        jumps_back, bytes, and of images encodings, sizes, refused {reason: count}} and
        ``pairing``: counters of the synchroniser and the offsets (thermal - RGB, ms), with
        messages arriving as they were recorded; ``time_offset`` {offset_s, low_s, high_s,
        correlation, intervals} or {unsure}; ``forecast`` for other settings (see
        :func:`~sartm_core.data.pairing_forecast.forecast`) and ``suggested`` {parameter: value}.
        Where the two cameras cannot be told, ``pairing`` holds ``error``.

    Raises:
        SartmError: the bag cannot be read.
    """
    bag = BagReader(path)
    cameras, why = _cameras(bag, rgb_topic, thermal_topic)
    pairing = _Pairing(cameras, params or SyncParameters()) if cameras is not None else None
    topics: defaultdict[str, _Topic] = defaultdict(_Topic)
    first = last = None
    for message in bag.messages():
        topics[message.topic].add(message)
        first, last = first or message.log_ns, max(last or 0, message.log_ns)
        if pairing is not None:
            pairing.take(message)
        advance()
    return {
        "bag": str(path),
        "bytes": _size(bag.path),
        "duration_s": round(((last or 0) - (first or 0)) / 1e9, 6),
        "messages": sum(len(topic.stamps) for topic in topics.values()),
        "topics": {name: topics[name].as_json(bag.topics[name]) for name in sorted(bag.topics)},
        "pairing": {"error": why} if pairing is None else pairing.as_json(),
    }


def _cameras(
    bag: BagReader, rgb_topic: str | None, thermal_topic: str | None
) -> tuple[BagTopics | None, str]:
    try:
        return find_topics(bag, rgb=rgb_topic, thermal=thermal_topic), ""
    except SartmError as error:
        if rgb_topic or thermal_topic:
            raise
        return None, str(error)


class _Pairing:
    """What is told of the two cameras together."""

    def __init__(self, cameras: BagTopics, params: SyncParameters) -> None:
        self._cameras = cameras
        self._params = params
        self._playback = Playback(params)
        self._arrivals: list[Arrival] = []
        self._offset = _OffsetSearch()

    def take(self, message: BagMessage) -> None:
        if message.topic not in (self._cameras.rgb, self._cameras.thermal):
            return
        is_rgb = message.topic == self._cameras.rgb
        arrival = Arrival(is_rgb, message.stamp_ns, message.log_ns)
        self._playback.take(arrival)
        if len(self._arrivals) < ARRIVALS:
            self._arrivals.append(arrival)
        self._offset.take(message, is_rgb)

    def as_json(self) -> dict[str, Any]:
        self._playback.finish()
        offset, unsure = self._offset.result()
        suggested: dict[str, float] = {}
        params = self._params
        if offset is not None and not offset.low_s <= params.thermal_offset_s <= offset.high_s:
            params = replace(params, thermal_offset_s=round(offset.offset_s, 3))
            suggested["sync.thermal_offset_s"] = params.thermal_offset_s
        entries = forecast(self._arrivals, params)
        return {
            "rgb_topic": self._cameras.rgb,
            "thermal_topic": self._cameras.thermal,
            "parameters": asdict(self._params),
            "counters": self._playback.counters,
            "offset_ms": self._playback.offsets(),
            "time_offset": {"unsure": unsure}
            if offset is None
            else {name: round(value, 4) for name, value in asdict(offset).items()},
            "forecast": entries,
            "suggested": suggested | suggest(entries, params),
        }


class _OffsetSearch:
    """Decodes pictures until the clock offset is known well."""

    def __init__(self) -> None:
        self._estimator = TimeOffsetEstimator()
        self._found: TimeOffset | None = None
        self._ask_ns: int | None = None
        self._trouble = ""
        self._done = False

    def take(self, message: BagMessage, is_rgb: bool) -> None:
        if self._done:
            return
        try:
            add = self._estimator.add_rgb if is_rgb else self._estimator.add_thermal
            add(pixels_of(message), message.stamp_ns)
        except SartmError as error:
            self._trouble = str(error)
        if self._ask_ns is None:
            self._ask_ns = message.log_ns + _ASK_EVERY_NS
        if message.log_ns >= self._ask_ns:
            self._ask_ns = message.log_ns + _ASK_EVERY_NS
            found = self._estimator.estimate()
            self._found = found or self._found
            self._done = found is not None and found.high_s - found.low_s <= 2 * _GOOD_ENOUGH_S

    def result(self) -> tuple[TimeOffset | None, str]:
        """The estimate, or None and why."""
        if not self._done:
            self._found = self._estimator.estimate() or self._found
        reasons = (self._estimator.unsure_because, self._trouble)
        return self._found, "; ".join(filter(None, reasons))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
