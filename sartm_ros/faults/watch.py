"""What a node's diagnostics and masks say while it is put to the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from sartm_ros.faults.description import LEVELS, Told
from sartm_ros.replay.recorder import Recorder

PARTS_OF_A_PAIR = ("rgb input", "thermal input", "pairing", "output")
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Status:
    """One status of a report; ``level`` is one of ``LEVELS``."""

    level: str
    message: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """One message of /diagnostics: part of the node -> its status."""

    arrived_ns: int
    parts: Mapping[str, Status]

    @property
    def ok(self) -> bool:
        return not self.troubles

    @property
    def troubles(self) -> list[str]:
        """What is not OK, a line for each status."""
        return [
            f"{part}: {status.level} '{status.message}'"
            for part, status in self.parts.items()
            if status.level != "OK"
        ]

    def tells(self, expected: Told) -> bool:
        """Whether a status says what is expected, at that level or a worse one."""
        status = self.parts.get(expected.part)
        return (
            status is not None
            and expected.words in status.message
            and LEVELS.index(status.level) >= LEVELS.index(expected.level)
        )


class Watch:
    """Collects the reports and masks of one segment node.

    Args:
        node: the ROS node that subscribes; it is spun by someone else, in another thread.
        target: the segment node's full name.
        pair: whose statuses count, of a node with several pairs of cameras.

    Attributes:
        reports: in the order of arrival.
    """

    def __init__(self, node: Node, target: str, pair: str = "") -> None:
        self.reports: list[Report] = []
        name, of = target.rsplit("/", 1)[-1], f"{pair} " if pair else ""
        self._names = {f"{name}: {of}{part}": part for part in PARTS_OF_A_PAIR}
        self._names[f"{name}: {MODEL}"] = MODEL
        self._recorder = Recorder(node, target, self._keep, pair)

    @property
    def masks(self) -> int:
        """How many masks arrived."""
        return len(self._recorder.masks)

    @property
    def last_mask_ns(self) -> int:
        """When the last one arrived, steady time; 0 = none did."""
        masks = self._recorder.masks
        return masks[-1].arrived_ns if masks else 0

    def since(self, steady_ns: int) -> Sequence[Report]:
        """The reports that arrived after this time."""
        return [report for report in self.reports if report.arrived_ns > steady_ns]

    def wait(
        self,
        condition: Callable[[], Any],
        timeout_s: float,
        alive: Callable[[], None] = lambda: None,
    ) -> bool:
        """Wait for something that a message brings; see :meth:`Recorder.wait`."""
        return self._recorder.wait(condition, timeout_s, alive)

    def _keep(self, topic: str, kind: str, raw: bytes) -> None:
        if topic != "/diagnostics":
            return
        parts = {}
        for status in deserialize_message(raw, DiagnosticArray).status:
            if (part := self._names.get(status.name)) is not None:
                values = {pair.key: pair.value for pair in status.values}
                parts[part] = Status(LEVELS[status.level[0]], status.message, values)
        if parts:
            self.reports.append(Report(time.monotonic_ns(), parts))
