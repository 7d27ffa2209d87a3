"""How two recorded cameras would pair under other settings, by the synchroniser itself."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from sartm_core.synchronizer import Pair, Synchronizer, SyncParameters

MS = 1e6
WAITS_S = (0.0, 0.02, 0.06, 0.12)
SLOPS_S = (0.03, 0.06, 0.12)
ARRIVALS = 4000
"""As many messages are enough for a forecast: 100 s of cameras with 30 and 9 Hz."""
_GOOD_ENOUGH = 0.03  # of the RGB images may lack a partner that a longer wait would bring

_HISTOGRAM_BINS = 12


class Arrival(NamedTuple):
    """A camera message: its stamp, and when it was recorded."""

    is_rgb: bool
    stamp_ns: int
    log_ns: int


class Playback:
    """Messages, in the order of recording, through a synchroniser; deadlines pass in between.

    Args:
        params: rules of pairing.
    """

    def __init__(self, params: SyncParameters) -> None:
        self.params = params
        self._synchronizer = Synchronizer(params)
        self._offsets = array("d")
        self._waited = array("d")
        self._now_ns = 0

    def take(self, arrival: Arrival) -> None:
        synchronizer = self._synchronizer
        while (due := synchronizer.next_deadline_ns()) is not None and due < arrival.log_ns:
            self._keep(synchronizer.poll(due), due)
        add = synchronizer.add_rgb if arrival.is_rgb else synchronizer.add_thermal
        self._now_ns = arrival.log_ns
        self._keep(add(arrival.stamp_ns, None, arrival.log_ns), arrival.log_ns)

    def finish(self) -> None:
        """Decide what is still waiting."""
        self._keep(self._synchronizer.flush(self._now_ns), self._now_ns)

    def _keep(self, pairs: list[Pair], now_ns: int) -> None:
        for pair in pairs:
            if pair.rgb_stamp_ns is not None:
                self._waited.append((now_ns - pair.arrival_ns) / MS)
            if pair.offset_ns is not None:
                self._offsets.append(pair.offset_ns / MS)

    @property
    def counters(self) -> dict[str, Any]:
        return asdict(self._synchronizer.counters)

    def offsets(self) -> dict[str, Any]:
        """Corrected thermal stamp - RGB stamp of the pairs, in milliseconds."""
        offsets = np.array(self._offsets)
        if not offsets.size:
            return {"pairs": 0}
        counts, edges = np.histogram(offsets, bins=_HISTOGRAM_BINS)
        return {
            "pairs": len(offsets),
            "mean": round(float(offsets.mean()), 3),
            "mean_absolute": round(float(np.abs(offsets).mean()), 3),
            "p95_absolute": round(float(np.percentile(np.abs(offsets), 95)), 3),
            "largest_absolute": round(float(np.abs(offsets).max()), 3),
            "histogram": {"counts": counts.tolist(), "edges_ms": edges.round(3).tolist()},
        }

    def summary(self) -> dict[str, Any]:
        """One entry of a forecast."""
        received = self._synchronizer.counters.rgb_received
        offsets, waited = np.array(self._offsets), np.array(self._waited)
        return {
            "max_wait_s": self.params.max_wait_s,
            "slop_s": self.params.slop_s,
            "share": round(len(offsets) / received, 4) if received else 0.0,
            "mean_offset_ms": round(float(np.abs(offsets).mean()), 2) if offsets.size else None,
            "mean_wait_ms": round(float(waited.mean()), 2) if waited.size else None,
        }


def forecast(arrivals: Sequence[Arrival], params: SyncParameters) -> list[dict[str, Any]]:
    """The same messages under each wait and slop.

    Args:
        arrivals: of both cameras in the order of recording.
        params: everything but ``max_wait_s`` and ``slop_s``.

    Returns:
        {max_wait_s, slop_s, share of RGB images with a partner, mean_offset_ms (absolute),
        mean_wait_ms until an RGB image goes on} for each pair of settings.
    """
    entries = []
    for wait in WAITS_S:
        for slop in SLOPS_S:
            playback = Playback(replace(params, max_wait_s=wait, slop_s=slop))
            for arrival in arrivals:
                playback.take(arrival)
            playback.finish()
            entries.append(playback.summary())
    return entries


def suggest(entries: Sequence[dict[str, Any]], params: SyncParameters) -> dict[str, float]:
    """The settings to change, as ``sync.NAME``: value; none where the present ones do as well.

    The smallest slop first, for it bounds the worst pair, but never below the present one; then the
    shortest wait.
    """
    best = max(entry["share"] for entry in entries)
    good = [
        entry
        for entry in entries
        if entry["share"] >= best - _GOOD_ENOUGH and entry["slop_s"] >= params.slop_s
    ]
    if not good or not best:
        return {}
    chosen = min(good, key=lambda entry: (entry["slop_s"], entry["max_wait_s"]))
    return {
        f"sync.{name}": chosen[name]
        for name in ("max_wait_s", "slop_s")
        if chosen[name] != getattr(params, name)
    }
