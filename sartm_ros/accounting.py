"""Where every message went, counted where it happens.

RGB:      received = published + dropped(by reason) + in_flight(by place)
thermal:  received = used + unused(by reason) + buffered
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sartm_core.synchronizer import SyncCounters


@dataclass(frozen=True, slots=True)
class RgbAccount:
    """RGB messages since the node started.

    ``lost_in_transport`` counts what was published and not received; None = it cannot be told.
    """

    received: int = 0
    published: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    lost_in_transport: int | None = 0


@dataclass(frozen=True, slots=True)
class ThermalAccount:
    """Thermal messages since the node started; ``used`` counts those used at least once.

    ``published_alone`` and ``dropped_alone`` say what became of the used ones that had no RGB
    image beside them.
    """

    received: int = 0
    used: int = 0
    unused: Mapping[str, int] = field(default_factory=dict)
    buffered: int = 0
    lost_in_transport: int | None = 0
    published_alone: int = 0
    dropped_alone: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accounts:
    """One moment's accounts; the two equations above hold in each."""

    rgb: RgbAccount = field(default_factory=RgbAccount)
    thermal: ThermalAccount = field(default_factory=ThermalAccount)
    sync: SyncCounters | None = None

    def as_json(self) -> dict[str, Any]:
        return {"rgb": asdict(self.rgb), "thermal": asdict(self.thermal)}


class TransportLoss:
    """Messages of one topic that were published but never reached the callback.

    Two witnesses, since each is blind on one eye: the middleware's message-lost event does not see
    what a full reader queue overwrote, and gaps in sequence numbers mean nothing while a topic has
    several publishers.
    """

    def __init__(self) -> None:
        self._earlier = 0
        self._reported: int | None = 0
        self._missing = 0
        self._last_sequence: int | None = None
        self._mixed = False

    def reported(self, count: int) -> None:
        """The middleware says that ``count`` more messages were lost."""
        self._reported = (self._reported or 0) + count

    def unreported(self) -> None:
        """The middleware has no such event."""
        self._reported = None

    def received(self, sequence: int | None, only_publisher: Callable[[], bool]) -> None:
        """A message arrived as its publisher's number ``sequence``; None = not told.

        ``only_publisher`` is asked only when numbers are not in order, or were not just before.
        """
        last, self._last_sequence = self._last_sequence, sequence
        if sequence is None or last is None:
            return
        in_order = sequence == last + 1
        if in_order and not self._mixed:
            return
        alone = only_publisher()
        if self._mixed or sequence <= last:
            # Of several publishers: where a gap begins is not known until one goes on alone.
            self._mixed = not (in_order and alone)
        elif alone:
            self._missing += sequence - last - 1
        else:
            self._mixed = True

    def restart(self) -> None:
        """The subscription was made anew."""
        self._earlier = self.total or 0
        self._reported = 0
        self._missing = 0
        self._last_sequence = None
        self._mixed = False

    @property
    def total(self) -> int | None:
        """None = neither witness ever spoke."""
        if self._reported is None and self._last_sequence is None:
            return None
        return self._earlier + max(self._reported or 0, self._missing)


class Ledger:
    """One pair's counters outside its synchroniser.

    Args:
        lock: held while a message changes its place; pairs that share a worker share it.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.lock = lock
        self.rgb_received = 0
        self.rgb_published = 0
        self.rgb_dropped: Counter[str] = Counter()
        self.thermal_received = 0
        self.thermal_unused: Counter[str] = Counter()
        self.published_alone = 0
        self.dropped_alone: Counter[str] = Counter()
        self.lost = {"rgb": TransportLoss(), "thermal": TransportLoss()}

    def published(self, *, with_rgb: bool) -> None:
        with self.lock:
            if with_rgb:
                self.rgb_published += 1
            else:
                self.published_alone += 1

    def dropped(self, reason: str, *, with_rgb: bool) -> None:
        """A frame that was paired already and gets no mask."""
        with self.lock:
            (self.rgb_dropped if with_rgb else self.dropped_alone)[reason] += 1

    def accounts(self, sync: SyncCounters, in_flight: Mapping[str, int]) -> Accounts:
        """The accounts, given the synchroniser's and the RGB frames behind it; hold ``lock``."""
        return Accounts(
            rgb=RgbAccount(
                received=self.rgb_received,
                published=self.rgb_published,
                dropped=dict(self.rgb_dropped + Counter(sync.rgb_dropped)),
                in_flight={"pairing": sync.rgb_waiting, **in_flight},
                lost_in_transport=self.lost["rgb"].total,
            ),
            thermal=ThermalAccount(
                received=self.thermal_received,
                used=sync.thermal_used,
                unused=dict(self.thermal_unused + Counter(sync.thermal_unused)),
                buffered=sync.thermal_buffered,
                lost_in_transport=self.lost["thermal"].total,
                published_alone=self.published_alone,
                dropped_alone=dict(self.dropped_alone),
            ),
            sync=sync,
        )
