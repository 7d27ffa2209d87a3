"""Message streams for tests of the synchroniser, and the account of each message."""

from __future__ import annotations

import random

from sartm_core.synchronizer import Pair, SyncCounters, Synchronizer, SyncParameters

MS = 1_000_000
SECOND = 1000 * MS


def sync(**params: object) -> Synchronizer:
    return Synchronizer(SyncParameters(**params))


def feed(synchronizer: Synchronizer, messages: list[tuple[int, str, int]]) -> list[Pair]:
    """Play (arrival, stream, stamp) in order, polling at every deadline on the way, and flush."""
    pairs: list[Pair] = []
    now = 0
    for index, (arrival, stream, stamp) in enumerate(messages):
        while (due := synchronizer.next_deadline_ns()) is not None and due < arrival:
            now = max(now, due)
            pairs += synchronizer.poll(now)
        now = arrival
        add = synchronizer.add_rgb if stream == "rgb" else synchronizer.add_thermal
        pairs += add(stamp, (index, stamp), now)
        assert_accounted(synchronizer.counters)
    pairs += synchronizer.flush(now + 10 * SECOND)
    assert_accounted(synchronizer.counters)
    return pairs


def assert_accounted(counters: SyncCounters) -> None:
    assert counters.rgb_received == (
        counters.rgb_paired
        + counters.rgb_single
        + sum(counters.rgb_dropped.values())
        + counters.rgb_waiting
    )
    assert counters.thermal_received == (
        counters.thermal_used + sum(counters.thermal_unused.values()) + counters.thermal_buffered
    )


def camera(rate: float, seconds: float, jitter_ms: float, rng: random.Random, start: float = 1.0):
    """Stamps of a camera, ascending."""
    count = int(seconds * rate)
    stamps = {
        int((start + i / rate) * SECOND + rng.uniform(-jitter_ms, jitter_ms) * MS)
        for i in range(count)
    }
    return sorted(stamps)


def stream(rgb: list[int], thermal: list[int], delay_rgb: int = 0, delay_thermal: int = 0):
    """Messages that arrive a fixed time after their stamp."""
    messages = [(s + delay_rgb, "rgb", s) for s in rgb]
    messages += [(s + delay_thermal, "thermal", s) for s in thermal]
    return sorted(messages)


def both(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.rgb is not None and pair.thermal is not None]
