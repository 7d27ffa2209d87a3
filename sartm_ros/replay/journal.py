"""When each image of a replay was published, and what follows from it for the masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sartm_core.errors import SartmError
from sartm_core.timing import percentiles
from sartm_ros.replay.player import Outgoing
from sartm_ros.replay.recorder import Arrival, Info


@dataclass(frozen=True, slots=True)
class Publication:
    """One published image; times are steady, nanoseconds.

    Attributes:
        message: the image.
        sent_ns: just before it was published.
        due_ns: when it should have been published.
    """

    message: Outgoing
    sent_ns: int
    due_ns: int


class Journal:
    """All publications of a replay, found again by the stamp of the mask that answers."""

    def __init__(self) -> None:
        self._by_stamp: defaultdict[int, list[Publication]] = defaultdict(list)

    def add(self, message: Outgoing, *, sent_ns: int, due_ns: int) -> None:
        """Note a publication; the image's bytes are not kept."""
        entry = Publication(message.without_bytes(), sent_ns, due_ns)
        self._by_stamp[message.stamp_ns].append(entry)

    def source(self, mask: Arrival) -> Publication:
        """The image that a mask answers: the latest with its stamp before it arrived.

        Raises:
            SartmError: no image had this stamp.
        """
        for entry in reversed(self._by_stamp.get(mask.stamp_ns, ())):
            if entry.sent_ns <= mask.arrived_ns:
                return entry
        raise SartmError(
            "the node published a mask with a stamp that no image had", got=f"{mask.stamp_ns} ns"
        )

    def timing_ms(
        self, masks: Sequence[Arrival], infos: Sequence[Info]
    ) -> dict[str, dict[str, Any]]:
        """p50, p95 and p99 over the masks of four durations; of ``latency`` also the ``samples``.

        ``latency``: publishing an image to arrival of its mask. ``output_age``: the same from the
        moment when the image was due. ``model``: the network alone. ``node_internal``: entry of
        the node's callback to return of its publish, without the network; waiting for the partner
        and for a busy model included.
        """
        pairs = [(mask, self.source(mask)) for mask in masks]
        latency = [(m.arrived_ns - p.sent_ns) / 1e6 for m, p in pairs]
        samples = [round(value, 3) for value in latency]
        return {
            "latency": {**percentiles(latency), "samples": samples} if latency else {},
            "output_age": percentiles([(m.arrived_ns - p.due_ns) / 1e6 for m, p in pairs]),
            "model": percentiles([info.model_ms for info in infos]),
            "node_internal": percentiles([info.total_ms - info.model_ms for info in infos]),
        }


def rate_hz(masks: Sequence[Arrival]) -> float | None:
    """Masks per second between the first and the last; None for fewer than two."""
    if len(masks) < 2:
        return None
    return round((len(masks) - 1) * 1e9 / (masks[-1].arrived_ns - masks[0].arrived_ns), 3)
