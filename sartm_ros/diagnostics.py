"""What /diagnostics says: facts about the node in, statuses with remedies out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from sartm_ros.accounting import Accounts
from sartm_ros.health import Health, PairHealth
from sartm_ros.input_status import (
    ERROR,
    NA,
    OK,
    WARN,
    Part,
    pairing_status,
    rgb_status,
    thermal_status,
)

PERIOD_S = 1.0


class Monitor:
    """Calls ``report`` once per second on the steady clock, in its own thread, until stopped.

    ``failed`` is told about its exceptions: the next report may succeed.
    """

    def __init__(self, report: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        self._report = report
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="diagnostics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            try:
                self._report()
            except Exception as error:
                self._failed(error)


def statuses(
    name: str, now: Health, before: Mapping[str, Accounts], period_s: float
) -> list[DiagnosticStatus]:
    """The node's report.

    Args:
        name: the node's name, the prefix of each status.
        now: facts.
        before: each pair's accounts at the last report, ``period_s`` ago: warnings are about what
            happened since then.
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
        for part, (level, message, values) in _parts(now, before, period_s)
    ]


def _parts(
    now: Health, before: Mapping[str, Accounts], period_s: float
) -> Iterator[tuple[str, Part]]:
    for pair in now.pairs:
        past = before.get(pair.name, Accounts())
        prefix = f"{pair.name} " if pair.name else ""
        yield f"{prefix}rgb input", rgb_status(now, pair, past, period_s)
        yield f"{prefix}thermal input", thermal_status(now, pair, past, period_s)
        yield f"{prefix}pairing", pairing_status(pair, past, period_s)
        yield f"{prefix}output", _output(now, pair, past, period_s)
    yield "model", _model(now)


def _model(now: Health) -> Part:
    values = {
        **now.model,
        "loading": "yes" if now.loading else "no",
        "busy_s": f"{now.busy_s:.2f}",
    }
    if now.busy_s > now.parameters.diagnostics.hang_s:
        return ERROR, f"the model has been busy for {now.busy_s:.1f} s: it hangs", values
    if now.built is not None:
        beside = f"; {now.model['name']} is in service" if now.model else ""
        return WARN, f"building the TensorRT engine: {now.built:.0%}{beside}", values
    if now.problem:
        return ERROR, now.problem, values
    if not now.model:
        return OK, f"no model is loaded: the node is {now.state}", values
    beside = "; another one is being loaded" if now.loading else ""
    return OK, f"{now.model['name']} on {now.model['runtime']}{beside}", values


def _output(now: Health, pair: PairHealth, before: Accounts, period_s: float) -> Part:
    accounts = pair.accounts
    published = accounts.rgb.published + accounts.thermal.published_alone
    since = published - before.rgb.published - before.thermal.published_alone
    values: dict[str, Any] = {
        "state": now.state,
        "enabled": "yes" if now.enabled else "no",
        "published": accounts.rgb.published,
        "published_thermal_only": accounts.thermal.published_alone,
        "rate_hz": f"{since / period_s:.1f}",
    }
    for stage, statistics in pair.latencies_ms.items():
        for statistic, value in statistics.items():
            values[f"{stage}_{statistic}_ms"] = f"{value:.2f}"
    limit = now.parameters.diagnostics.max_processing_ms
    if now.state != "active":
        return OK, f"the node is {now.state}", values
    if not now.enabled:
        return OK, "switched off by ~/enable", values
    busy_ms = 1e3 * now.busy_s
    if max(pair.slowest_ms, busy_ms) > limit:
        took = (
            f"a mask took {pair.slowest_ms:.0f} ms"
            if pair.slowest_ms > busy_ms
            else f"a mask has been in the making for {busy_ms:.0f} ms"
        )
        return (
            WARN,
            f"{took}, more than diagnostics.max_processing_ms ({limit:g}); remedy: a smaller "
            "model, another runtime or more threads",
            values,
        )
    return OK, "publishing" if since else NA if not published else "no mask since", values
