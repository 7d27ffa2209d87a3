"""What is in a bag, and how well its two cameras would pair."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.camera_messages import check_message, encoding_of
from sartm_core.data.bags import CAMERA_TYPES, BagMessage, BagReader, BagTopics, find_topics
from sartm_core.errors import BadImageError, SartmError
from sartm_core.synchronizer import Pair, Synchronizer, SyncParameters

MS = 1e6
HISTOGRAM_BINS = 12


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

    Args:
        path: the bag.
        params: rules of pairing; None = the node's defaults.
        rgb_topic, thermal_topic: None = told by type and name.
        advance: called after each message.

    Returns:
        ``bag``, ``bytes``, ``duration_s``, ``messages``, ``topics`` {name: type, count, rate_hz,
        jumps_back, bytes, and of images encodings, sizes, refused {reason: count}} and
        ``pairing``: counters of the synchroniser and the offsets (thermal - RGB, ms), with
        messages arriving as they were recorded. Where the two cameras cannot be told, ``pairing``
        holds ``error``.

    Raises:
        SartmError: the bag cannot be read.
    """
    bag = BagReader(path)
    params = params or SyncParameters()
    cameras, why = _cameras(bag, rgb_topic, thermal_topic)
    synchronizer = Synchronizer(params)
    pairs: list[Pair] = []
    topics: defaultdict[str, _Topic] = defaultdict(_Topic)
    first = last = None
    for message in bag.messages():
        topics[message.topic].add(message)
        first, last = first or message.log_ns, max(last or 0, message.log_ns)
        if cameras is not None:
            pairs += _pair(synchronizer, message, cameras)
        advance()
    pairs += synchronizer.flush(last or 0)
    pairing: dict[str, Any] = {"error": why}
    if cameras is not None:
        pairing = {
            "rgb_topic": cameras.rgb,
            "thermal_topic": cameras.thermal,
            "parameters": asdict(params),
            "counters": asdict(synchronizer.counters),
            "offset_ms": _offsets(pairs),
        }
    return {
        "bag": str(path),
        "bytes": _size(bag.path),
        "duration_s": round(((last or 0) - (first or 0)) / 1e9, 6),
        "messages": sum(len(topic.stamps) for topic in topics.values()),
        "topics": {name: topics[name].as_json(bag.topics[name]) for name in sorted(bag.topics)},
        "pairing": pairing,
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


def _pair(synchronizer: Synchronizer, message: BagMessage, cameras: BagTopics) -> list[Pair]:
    pairs = []
    while (due := synchronizer.next_deadline_ns()) is not None and due < message.log_ns:
        pairs += synchronizer.poll(due)
    if message.topic == cameras.rgb:
        pairs += synchronizer.add_rgb(message.stamp_ns, message.stamp_ns, message.log_ns)
    elif message.topic == cameras.thermal:
        pairs += synchronizer.add_thermal(message.stamp_ns, message.stamp_ns, message.log_ns)
    return pairs


def _offsets(pairs: list[Pair]) -> dict[str, Any]:
    offsets = np.array([pair.offset_ns for pair in pairs if pair.offset_ns is not None]) / MS
    if not offsets.size:
        return {"pairs": 0}
    counts, edges = np.histogram(offsets, bins=HISTOGRAM_BINS)
    return {
        "pairs": len(offsets),
        "mean": round(float(offsets.mean()), 3),
        "mean_absolute": round(float(np.abs(offsets).mean()), 3),
        "p95_absolute": round(float(np.percentile(np.abs(offsets), 95)), 3),
        "largest_absolute": round(float(np.abs(offsets).max()), 3),
        "histogram": {"counts": counts.tolist(), "edges_ms": edges.round(3).tolist()},
    }


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
