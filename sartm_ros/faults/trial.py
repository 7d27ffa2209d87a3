"""One fault done to one node: what came of it, how soon, and whether it passed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from sartm_core.errors import SartmError
from sartm_ros.faults.description import NEEDS, Ends, Expected, Fault, Told
from sartm_ros.faults.rig import Rig
from sartm_ros.faults.watch import Report

DETECT_WITHIN_S, RECOVER_WITHIN_S = 3.0, 2.0
"""What is promised; the table shows where it is missed."""
PATIENCE_S = 30.0
"""How long a trial waits before it calls the fault undetected, or the node not recovered."""
HARMLESS_REPORTS = 4
_LEAST_MASKS = 3
_DWELL_S = 0.2
"""How long a fault goes on when it is told. One that ended just when a report is made would not be
over for the next one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault.

    Attributes:
        fault: its name.
        detected_s: from its begin to the report, or the process's end, that was expected; None = it
            never came, or none was.
        part, level, words: of the status that told, or what else happened.
        recovered_s: from its end to the first of two reports in which every status is OK; None =
            never.
        restarted: whether the fault ended the process, so that recovery began with another one.
        masks: published while it lasted.
        closed: whether the accounting closed in the end.
        problems: why it has not passed; empty = passed.
        skipped: why it was not done; empty = it was.
        notes: what else was measured.
    """

    fault: str
    detected_s: float | None = None
    part: str = ""
    level: str = ""
    words: str = ""
    recovered_s: float | None = None
    restarted: bool = False
    masks: int = 0
    closed: bool = False
    problems: Sequence[str] = ()
    skipped: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.problems and not self.skipped

    @property
    def overdue(self) -> list[str]:
        """Which of the promised times were missed."""
        limits = {"detected_s": DETECT_WITHIN_S}
        if not self.restarted:
            limits["recovered_s"] = RECOVER_WITHIN_S
        return [name for name, limit in limits.items() if (getattr(self, name) or 0.0) > limit]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "overdue": self.overdue}


def attempt(fault: Fault, rig: Rig) -> Outcome:
    """:func:`run`, unless the rig does not meet the fault's needs or the node is not healthy."""
    if missing := fault.needs - rig.offers:
        needs = ", ".join(NEEDS[need] for need in sorted(missing))
        return Outcome(fault.name, skipped=f"needs {needs}")
    try:
        return run(fault, rig)
    except SartmError as error:
        return Outcome(fault.name, problems=[str(error)])


def run(fault: Fault, rig: Rig, *, patience_s: float = PATIENCE_S) -> Outcome:
    """Do ``fault`` to a healthy node, end it, and see whether it comes back and its books close.

    Args:
        fault: one whose needs the rig meets.
        rig: the node.
        patience_s: how long to wait for what is expected.

    Raises:
        SartmError: the node is not healthy to begin with.
    """
    rig.wait_until_healthy()
    rig.notes = {}
    seen, recovered_s, closed = _Seen(), None, False
    before = _Moment(time.monotonic_ns(), rig.watch.masks)
    try:
        with fault.inject(rig):
            seen = _await(fault.expected, rig, before, patience_s)
            time.sleep(_DWELL_S)
            masks = rig.watch.masks - before.masks
        recovered_s = _recovery_s(rig, patience_s)
        if recovered_s is None:
            last = rig.watch.reports[-1]
            seen.problems.append(f"not OK again: {'; '.join(last.troubles) or 'no masks'}")
        wrong = rig.close_books(reconnected=fault.reconnects)
        seen.problems += wrong
        closed = not wrong
    except SartmError as error:
        masks = rig.watch.masks - before.masks
        seen.problems.append(str(error))
    return Outcome(
        fault=fault.name,
        detected_s=seen.after_s,
        part=seen.part,
        level=seen.level,
        words=seen.words,
        recovered_s=recovered_s,
        restarted=isinstance(fault.expected, Ends),
        masks=masks,
        closed=closed,
        problems=seen.problems,
        notes=rig.notes,
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """Just before a fault: the steady time, and how many masks had arrived."""

    ns: int
    masks: int


@dataclass(slots=True)
class _Seen:
    after_s: float | None = None
    part: str = ""
    level: str = ""
    words: str = ""
    problems: list[str] = field(default_factory=list)


def _await(expected: Expected, rig: Rig, before: _Moment, patience_s: float) -> _Seen:
    """Wait for what is expected; call it while the fault lasts."""
    if isinstance(expected, Told):
        return _await_status(expected, rig, before, patience_s)
    if isinstance(expected, Ends):
        return _await_end(expected, rig, patience_s)
    return _await_nothing(rig, before, patience_s)


def _await_status(expected: Told, rig: Rig, before: _Moment, patience_s: float) -> _Seen:
    now = time.monotonic_ns()

    def telling() -> Report | None:
        return next((r for r in rig.watch.since(before.ns) if r.tells(expected)), None)

    rig.watch.wait(telling, patience_s, rig.alive)
    if (report := telling()) is None:
        heard = rig.watch.since(now)
        said = "; ".join(heard[-1].troubles) if heard else "no report at all"
        return _Seen(problems=[f"not told: expected {expected}, got {said or 'every status OK'}"])
    status = report.parts[expected.part]
    after_s = _seconds(max(0, report.arrived_ns - now))
    return _Seen(after_s, expected.part, status.level, status.message)


def _await_nothing(rig: Rig, before: _Moment, patience_s: float) -> _Seen:
    """Several reports must say OK, and masks come."""
    now = time.monotonic_ns()
    rig.watch.wait(lambda: len(rig.watch.since(now)) >= HARMLESS_REPORTS, patience_s, rig.alive)
    problems = sorted({line for report in rig.watch.since(before.ns) for line in report.troubles})
    if len(rig.watch.since(now)) < HARMLESS_REPORTS:
        problems.append("/diagnostics has fallen silent")
    if (masks := rig.watch.masks - before.masks) < _LEAST_MASKS:
        problems.append(f"{masks} masks, expected at least {_LEAST_MASKS}")
    return _Seen(part="all", level="OK", problems=problems)


def _await_end(expected: Ends, rig: Rig, patience_s: float) -> _Seen:
    assert rig.own is not None
    process, begin = rig.own.process, time.monotonic_ns()
    code = process.wait(patience_s)
    if code is None:
        return _Seen(problems=["the process still runs"])
    seen = _Seen(_seconds(time.monotonic_ns() - begin), "process", f"exit code {code}")
    log = process.log.read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((line for line in reversed(log) if expected.words in line), "")
    seen.words = line.partition("]: ")[2] or line  # without severity, time and node
    if code != expected.code:
        seen.problems.append(f"exit code {code}, expected {expected.code}")
    if not seen.words:
        seen.problems.append(f"its log does not say '{expected.words}'")
    return seen


def _recovery_s(rig: Rig, patience_s: float) -> float | None:
    """Until the first of two reports in succession in which every status is OK, with masks."""
    end = time.monotonic_ns()

    def first() -> Report | None:
        reports = rig.watch.since(end)
        return next((r for r, after in pairwise(reports) if r.ok and after.ok), None)

    rig.watch.wait(lambda: first() and rig.healthy, patience_s, rig.alive)
    report = first()
    return None if report is None or not rig.healthy else _seconds(report.arrived_ns - end)


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e9, 2)
