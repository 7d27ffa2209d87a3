"""What /diagnostics says: facts about the node in, statuses with remedies out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from sartm_ros.accounting import Accounts
from sartm_ros.parameters import Parameters

NA = "n/a"
PERIOD_S = 1.0
_WINDOW = 300
_TRANSPORT_REMEDY = (
    "start the camera driver with FASTRTPS_DEFAULT_PROFILES_FILE set to sartm's config/fastdds.xml"
)


@dataclass(frozen=True, slots=True)
class Stream:
    """One camera topic as seen from here; ``silent_s`` counts from activation at the latest."""

    topic: str
    publishers: int
    silent_s: float
    ever: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Facts about the node at one moment.

    Attributes:
        state: lifecycle state, e.g. ``active``.
        problem: why there is no model, or what the engine last failed with since the last report.
        built: share of the engine that is being built, 0..1; None = none is.
        model: facts about the loaded model; empty = none.
        latencies_ms: per stage, "p50", "p95" and "max" of the latest masks; empty = none yet.
        slowest_ms: longest time from arrival to mask since the last report.
        busy_s: how long the worker has been at what it is doing.
    """

    state: str
    parameters: Parameters
    accounts: Accounts
    streams: Mapping[str, Stream] = field(default_factory=dict)
    enabled: bool = True
    problem: str = ""
    built: float | None = None
    model: Mapping[str, str] = field(default_factory=dict)
    latencies_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    slowest_ms: float = 0.0
    busy_s: float = 0.0


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
        with self._lock:
            latest = list(self._latest)
        summary = {}
        for stage in latest[-1] if latest else ():
            values = np.array([stages[stage] for stages in latest if stage in stages])
            p50, p95 = np.percentile(values, (50, 95))
            summary[stage] = {"p50": float(p50), "p95": float(p95), "max": float(values.max())}
        return summary


class Monitor:
    """Calls ``report`` once per second on the steady clock, in its own thread, until stopped."""

    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="diagnostics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._report()


def statuses(name: str, now: Health, before: Accounts, period_s: float) -> list[DiagnosticStatus]:
    """The node's report.

    Args:
        name: the node's name, the prefix of each status.
        now: facts.
        before: the accounts at the last report, ``period_s`` ago: warnings are about what happened
            since then.
    """
    hardware = "/".join(filter(None, (now.model.get("device"), now.model.get("name")))) or NA
    return [
        DiagnosticStatus(
            level=level,
            name=f"{name}: {part}",
            message=message,
            hardware_id=hardware,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        for part, (level, message, values) in {
            "rgb input": _rgb(now, before, period_s),
            "thermal input": _thermal(now, before, period_s),
            "pairing": _pairing(now, before),
            "model": _model(now),
            "output": _output(now, before, period_s),
        }.items()
    ]


OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_Part = tuple[bytes, str, dict[str, Any]]


def _rgb(now: Health, before: Accounts, period_s: float) -> _Part:
    account, past = now.accounts.rgb, before.rgb
    values = {
        **_stream_values(now.streams.get("rgb")),
        "rate_hz": f"{(account.received - past.received) / period_s:.1f}",
        "received": account.received,
        "published": account.published,
        **_by_reason("dropped", account.dropped),
        **_by_reason("in_flight", account.in_flight),
        "lost_in_transport": NA if account.lost_in_transport is None else account.lost_in_transport,
    }
    bad = _increase(account.dropped, past.dropped, _BAD_IMAGE_EXCLUDED)
    level, message = _stream_state(now, "rgb", ERROR, bad, _lost(account, past))
    return level, message, values


def _thermal(now: Health, before: Accounts, period_s: float) -> _Part:
    account, past = now.accounts.thermal, before.thermal
    values = {
        **_stream_values(now.streams.get("thermal")),
        "rate_hz": f"{(account.received - past.received) / period_s:.1f}",
        "received": account.received,
        "used": account.used,
        **_by_reason("unused", account.unused),
        "buffered": account.buffered,
        "lost_in_transport": NA if account.lost_in_transport is None else account.lost_in_transport,
        "published_alone": account.published_alone,
        **_by_reason("dropped_alone", account.dropped_alone),
    }
    needed = now.parameters.sync.missing_thermal == "drop"
    bad = _increase(account.unused, past.unused, _UNUSED_IS_NORMAL)
    level, message = _stream_state(
        now, "thermal", ERROR if needed else WARN, bad, _lost(account, past)
    )
    return level, message, values


def _pairing(now: Health, before: Accounts) -> _Part:
    sync, params = now.accounts.sync, now.parameters.sync
    if sync is None:
        return OK, NA, {}
    values: dict[str, Any] = {
        "mode": params.mode,
        "paired": sync.rgb_paired,
        "held": sync.rgb_held,
        "single": sync.rgb_single,
        "thermal_only": sync.thermal_only,
        "waiting": sync.rgb_waiting,
        "resets": sync.resets,
    }
    if before.sync is not None:
        without = sync.rgb_single + sync.rgb_held + sync.rgb_dropped.get("no_thermal", 0)
        without -= before.sync.rgb_single + before.sync.rgb_held
        without -= before.sync.rgb_dropped.get("no_thermal", 0)
        if without:
            return (
                WARN,
                f"{without} RGB images found no thermal image within {params.slop_s:g} s "
                f"({params.missing_thermal}); remedy: compare the cameras' stamps and set "
                "sync.thermal_offset_s or sync.slop_s",
                values,
            )
        if sync.resets > before.sync.resets:
            return WARN, "stamps jumped back: the buffers were emptied", values
    return OK, "pairing" if sync.rgb_paired else NA, values


def _model(now: Health) -> _Part:
    values = {**now.model, "busy_s": f"{now.busy_s:.2f}"}
    for key in ("pre", "infer", "post"):
        for statistic, value in now.latencies_ms.get(key, {}).items():
            values[f"{key}_{statistic}_ms"] = f"{value:.2f}"
    if now.busy_s > now.parameters.diagnostics.hang_s:
        return ERROR, f"the model has been busy for {now.busy_s:.1f} s: it hangs", values
    if now.built is not None:
        return WARN, f"building the TensorRT engine: {now.built:.0%}", values
    if now.problem:
        return ERROR, now.problem, values
    if not now.model:
        return OK, "no model is loaded: the node is not configured", values
    return OK, f"{now.model['name']} on {now.model['runtime']}", values


def _output(now: Health, before: Accounts, period_s: float) -> _Part:
    published = now.accounts.rgb.published + now.accounts.thermal.published_alone
    since = published - before.rgb.published - before.thermal.published_alone
    values: dict[str, Any] = {
        "state": now.state,
        "enabled": "yes" if now.enabled else "no",
        "published": now.accounts.rgb.published,
        "published_thermal_only": now.accounts.thermal.published_alone,
        "rate_hz": f"{since / period_s:.1f}",
    }
    for stage, statistics in now.latencies_ms.items():
        for statistic, value in statistics.items():
            values[f"{stage}_{statistic}_ms"] = f"{value:.2f}"
    limit = now.parameters.diagnostics.max_processing_ms
    if now.state != "active":
        return OK, f"the node is {now.state}", values
    if not now.enabled:
        return OK, "switched off by ~/enable", values
    if now.slowest_ms > limit:
        return (
            WARN,
            f"a mask took {now.slowest_ms:.0f} ms, more than diagnostics.max_processing_ms "
            f"({limit:g}); remedy: a smaller model, another runtime or more threads",
            values,
        )
    return OK, "publishing" if since else NA if not published else "no mask since", values


_BAD_IMAGE_EXCLUDED = frozenset(
    {
        "disabled",
        "overwritten",
        "rate_limit",
        "no_thermal",
        "late",
        "deactivated",
        "inference_error",
        "parameters_changed",
    }
)
_UNUSED_IS_NORMAL = frozenset(
    {"not_needed", "late", "expired", "reset", "disabled", "deactivated", "parameters_changed"}
)


def _stream_state(
    now: Health, stream: str, silent_level: bytes, bad: Mapping[str, int], lost: int
) -> tuple[bytes, str]:
    facts = now.streams.get(stream)
    if now.state != "active" or facts is None:
        return OK, f"the node is {now.state}"
    if facts.silent_s > now.parameters.diagnostics.max_silence_s:
        return silent_level, _silence(stream, facts)
    if bad:
        counted = ", ".join(f"{reason} {count}" for reason, count in sorted(bad.items()))
        return WARN, f"images dropped since the last report: {counted}; the log says why"
    if lost > 0:
        return WARN, f"{lost} images were lost in transport; remedy: {_TRANSPORT_REMEDY}"
    return OK, "receiving" if facts.ever else NA


def _silence(stream: str, facts: Stream) -> str:
    text = f"no {'RGB' if stream == 'rgb' else stream} image received for {facts.silent_s:.1f} s"
    text += f" on {facts.topic}; {facts.publishers} publishers"
    if facts.publishers == 0:
        return f"{text}; remedy: start the camera driver, or remap {stream}/image to its topic"
    return f"{text}; remedy: see whether the driver sends (ros2 topic hz {facts.topic})"


def _stream_values(facts: Stream | None) -> dict[str, Any]:
    if facts is None:
        return {"topic": NA, "publishers": NA, "silent_s": NA}
    return {
        "topic": facts.topic,
        "publishers": facts.publishers,
        "silent_s": f"{facts.silent_s:.1f}" if facts.ever else NA,
    }


def _by_reason(key: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {key: sum(counts.values()), **{f"{key}.{name}": n for name, n in counts.items()}}


def _increase(
    now: Mapping[str, int], before: Mapping[str, int], normal: frozenset[str]
) -> dict[str, int]:
    grown = {reason: count - before.get(reason, 0) for reason, count in now.items()}
    return {reason: n for reason, n in grown.items() if n > 0 and reason not in normal}


def _lost(now: Any, before: Any) -> int:
    return (now.lost_in_transport or 0) - (before.lost_in_transport or 0)
