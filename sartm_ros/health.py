"""Facts about a running node, as the diagnostics tell them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sartm_core.time_offset import TimeOffset
from sartm_ros.accounting import Accounts
from sartm_ros.parameters import Parameters

_WINDOW = 300


@dataclass(frozen=True, slots=True)
class Stream:
    """One camera topic as seen from here.

    Attributes:
        topic: its resolved name.
        publishers: how many there are now.
        open_s: since the subscription.
        silent_s: since the last image, or since the subscription if none ever came.
        ever: whether an image came since the subscription.
        mismatch: why nothing of a publisher arrives, with the remedy; empty = nothing known.
        frozen_s: how long the same image has been coming; 0 = not frozen.
        shutter_events: how often it came again for a moment.
        delay_s: median of arrival - stamp of the latest images, on two clocks; None = no image.
    """

    topic: str
    publishers: int
    open_s: float
    silent_s: float
    ever: bool
    mismatch: str = ""
    frozen_s: float = 0.0
    shutter_events: int = 0
    delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Observations:
    """What was seen so far.

    Attributes:
        flat: cameras whose newest image has one value nearly everywhere.
        contract: how the thermal numbers are taken; empty = no thermal image yet.
        hints: what looks wrong about that, with what to set.
        offset: clock offset between the cameras, from the motion that both see; None = unsure.
        unsure_because: why there is no offset.
        shift: how far thermal lies right of and below RGB, by their outlines, in RGB pixels; None =
            unsure.
        shift_limit_px: what such a shift may be.
        shift_unsure_because: why there is no shift.
    """

    flat: frozenset[str] = frozenset()
    contract: str = ""
    hints: tuple[str, ...] = ()
    offset: TimeOffset | None = None
    unsure_because: str = ""
    shift: tuple[float, float] | None = None
    shift_limit_px: float = 0.0
    shift_unsure_because: str = ""


@dataclass(frozen=True, slots=True)
class PairHealth:
    """Facts about one pair of cameras.

    Attributes:
        name: empty = a pair without a name.
        streams: ``rgb`` and ``thermal``; empty while the node is not configured.
        latencies_ms: per stage, "p50", "p95" and "max" of the latest masks; empty = none yet.
        slowest_ms: longest time from arrival to mask since the last report.
        seen: what the images tell about the cameras.
    """

    name: str
    parameters: Parameters
    accounts: Accounts
    streams: Mapping[str, Stream] = field(default_factory=dict)
    latencies_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    slowest_ms: float = 0.0
    seen: Observations = field(default_factory=Observations)


@dataclass(frozen=True, slots=True)
class Health:
    """Facts about the node at one moment.

    Attributes:
        state: lifecycle state, e.g. ``active``.
        parameters: those common to all pairs.
        pairs: each pair's facts.
        problem: why there is no model, or what the engine last failed with since the last report.
        loading: whether a model is being loaded, beside the one in service.
        built: share of the engine that is being built, 0..1; None = none is.
        model: facts about the loaded model; empty = none.
        busy_s: how long the worker has been at what it is doing.
        clock_ahead_s: node's clock - steady clock: makes delays into ages.
        clock_stands: whether simulation time is used and has not moved since the last report.
    """

    state: str
    parameters: Parameters
    pairs: Sequence[PairHealth]
    enabled: bool = True
    problem: str = ""
    loading: bool = False
    built: float | None = None
    model: Mapping[str, str] = field(default_factory=dict)
    busy_s: float = 0.0
    clock_ahead_s: float = 0.0
    clock_stands: bool = False


class Latencies:
    """Stage times of the latest masks; written by the worker, read by the monitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: deque[Mapping[str, float]] = deque(maxlen=_WINDOW)
        self._slowest_ms = 0.0

    def add(self, stages_ms: Mapping[str, float]) -> None:
        with self._lock:
            self._latest.append(stages_ms)
            self._slowest_ms = max(self._slowest_ms, stages_ms["total"])

    def take_slowest_ms(self) -> float:
        """The longest total since the last call; 0 = no mask since."""
        with self._lock:
            slowest, self._slowest_ms = self._slowest_ms, 0.0
        return slowest

    def summary(self) -> dict[str, dict[str, float]]:
        """Stage -> "p50", "p95" and "max" in milliseconds."""
        with self._lock:
            latest = list(self._latest)
        summary = {}
        for stage in latest[-1] if latest else ():
            values = np.array([stages[stage] for stages in latest if stage in stages])
            p50, p95 = np.percentile(values, (50, 95))
            summary[stage] = {"p50": float(p50), "p95": float(p95), "max": float(values.max())}
        return summary
