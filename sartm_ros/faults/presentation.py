"""The faults and what came of them, as a list for people and as a table for docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sartm_ros.faults.description import NEEDS, Fault
from sartm_ros.faults.trial import Outcome

_LONGEST_WORDS = 110


def listing(faults: Iterable[Fault]) -> str:
    """What each fault does, expects and needs."""
    lines = []
    for fault in faults:
        cameras = " + ".join(fault.cameras) or "node"
        lines.append(f"{fault.name}  ({cameras})")
        lines.append(f"    does      {fault.does}")
        lines.append(f"    expected  {fault.expected}")
        needs = [NEEDS[need] for need in sorted(fault.needs)]
        lines.append(f"    needs     {'; '.join(needs) or 'any node that runs (--node)'}")
    return "\n".join(lines)


def line(outcome: Outcome) -> str:
    """One outcome, for people who wait."""
    if outcome.skipped:
        return f"skipped  {outcome.fault}: {outcome.skipped}"
    verdict = "ok     " if outcome.passed else "FAILED "
    text = f"{verdict}  {outcome.fault}: {outcome.part} {outcome.level}"
    if outcome.detected_s is not None:
        text += f" after {outcome.detected_s:.1f} s"
    if outcome.recovered_s is not None:
        text += f", OK again after {outcome.recovered_s:.1f} s"
    return "\n         ".join([text, *outcome.problems])


def table(faults: Mapping[str, Fault], outcomes: Sequence[Outcome]) -> str:
    """A Markdown table, a row for each outcome."""
    rows = [
        "| fault | what happens | status | level | words | detected after | OK again after "
        "| accounting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        cells = [f"`{outcome.fault}`", faults[outcome.fault].does, *_cells(outcome)]
        rows.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(rows)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Where it was measured."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"Python {machine['python']}, {machine['system']}"
    )


def _cells(outcome: Outcome) -> list[str]:
    if outcome.skipped:
        return ["", "", f"not run: {outcome.skipped}", "", "", ""]
    return [
        outcome.part,
        outcome.level,
        _said(outcome),
        _seconds(outcome, "detected_s"),
        _seconds(outcome, "recovered_s") + (", restarted" if outcome.restarted else ""),
        "closed" if outcome.closed else "**open**",
    ]


def _said(outcome: Outcome) -> str:
    """Why it failed; or the status's words; or else what was measured."""
    if outcome.problems:
        return "**failed:** " + "; ".join(outcome.problems)
    if not outcome.words:
        return "; ".join(f"{name}: {_shown(value)}" for name, value in outcome.notes.items())
    short = outcome.words[:_LONGEST_WORDS].rstrip()
    return outcome.words if len(outcome.words) <= _LONGEST_WORDS else f"{short} ..."


def _shown(value: Any) -> str:
    return " -> ".join(map(str, value)) if isinstance(value, list) else str(value)


def _seconds(outcome: Outcome, name: str) -> str:
    value = getattr(outcome, name)
    if value is None:
        return ""
    return f"**{value:.1f} s**" if name in outcome.overdue else f"{value:.1f} s"
