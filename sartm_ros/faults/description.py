"""What a fault is: one description serves the list, the trial, the tests and the table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sartm_ros.faults.rig import Rig

NEEDS = {
    "own": "a node of its own, in a ROS domain of its own",
    "poison": "a model built to fail on purpose (the package onnx)",
    "process": "a process that it may stop and start again",
}
"""What a fault may need beyond the camera topics of a node, which every live node has."""

LEVELS = ("OK", "WARN", "ERROR", "STALE")


@dataclass(frozen=True, slots=True)
class Told:
    """The diagnostics must say so.

    Attributes:
        part: of the node, e.g. ``rgb input``.
        level: one of ``LEVELS``.
        words: in the status's message.
    """

    part: str
    level: str
    words: str

    def __str__(self) -> str:
        return f"{self.part}: {self.level} '{self.words}'"


@dataclass(frozen=True, slots=True)
class Harmless:
    """No status may change, and masks must go on."""

    def __str__(self) -> str:
        return "harmless: every status stays OK, masks go on"


@dataclass(frozen=True, slots=True)
class Ends:
    """The node's process must end.

    Attributes:
        code: its exit code.
        words: in its log.
    """

    code: int
    words: str

    def __str__(self) -> str:
        return f"the process ends with exit code {self.code}: '{self.words}'"


Expected = Told | Harmless | Ends
Inject = Callable[["Rig"], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, and what must come of it.

    Attributes:
        name: unique.
        does: what goes wrong, in one line.
        cameras: those it acts on, ``rgb`` and ``thermal``; empty = the node itself.
        expected: what must come of it.
        inject: the fault lasts as long as this context; leaving it sets everything right again.
        needs: keys of ``NEEDS``; empty = any live node will do.
        reconnects: whether publishers or subscriptions are made anew. What was sent meanwhile may
            then have reached nobody, so that only the node's own side of the books can close.
    """

    name: str
    does: str
    cameras: tuple[str, ...] = ()
    expected: Expected
    inject: Inject
    needs: frozenset[str] = frozenset()
    reconnects: bool = False
