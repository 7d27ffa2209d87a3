"""Everything a trial works with: the cameras, the node's diagnostics, its services, its process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rclpy.node import Node

from sartm_core.errors import SartmError
from sartm_ros.faults import books
from sartm_ros.faults.cameras import Cameras
from sartm_ros.faults.node_client import ANSWER_TIMEOUT_S, NodeClient
from sartm_ros.faults.own_node import OwnNode
from sartm_ros.faults.watch import Report, Watch

HEALTHY_TIMEOUT_S = 60.0
_FRESH_MASK_S = 1.0
_TRANSIT_S = 0.1
_QUIET_REPORTS = 3
_TRIES = 3


class Rig:
    """A node under test and what surrounds it.

    Args:
        node: the ROS node of this process, spun in another thread.
        target: the segment node's full name.
        cameras: running.
        watch: of the segment node.
        own: the segment node's process, if it is ours.
        bundle: its model's folder, if it may be damaged.
        offers: which needs of faults are met, keys of ``description.NEEDS``.
        pid: the process that the segment node runs in; None = unknown.

    Attributes:
        client: of its services.
        notes: what a fault has to tell beyond its outcome; emptied by each trial.
    """

    def __init__(
        self,
        node: Node,
        target: str,
        cameras: Cameras,
        watch: Watch,
        *,
        own: OwnNode | None = None,
        bundle: Path | None = None,
        offers: frozenset[str] = frozenset(),
        pid: int | None = None,
    ) -> None:
        self.node = node
        self.target = target
        self.cameras = cameras
        self.watch = watch
        self.own = own
        self.bundle = bundle
        self.offers = offers
        self.client = NodeClient(node, target)
        self.notes: dict[str, Any] = {}
        self._pid = pid
        self._base: dict[str, int] | None = None

    @property
    def pid(self) -> int | None:
        """The process that the segment node runs in."""
        return self.own.process.pid if self.own is not None else self._pid

    def alive(self) -> None:
        """Raise SartmError if the node's process, being ours, has ended."""
        if self.own is not None:
            self.own.process.check()

    def restart(self) -> None:
        """Start the node's process anew, which is ours."""
        assert self.own is not None
        self.own.restart()
        self._base = None

    # The node's state

    @property
    def healthy(self) -> bool:
        """Whether every status of the latest report is OK and masks come."""
        reports = self.watch.reports
        fresh = time.monotonic_ns() - self.watch.last_mask_ns < _FRESH_MASK_S * 1e9
        return bool(reports) and reports[-1].ok and fresh

    def wait_until_healthy(self, timeout_s: float = HEALTHY_TIMEOUT_S) -> None:
        """Wait until every status is OK and masks come.

        Raises:
            SartmError: the node's process ends, or it takes too long; says what is not OK.
        """
        self.cameras.wait_until_matched()
        begin = time.monotonic_ns()
        if self.watch.wait(lambda: self.watch.since(begin) and self.healthy, timeout_s, self.alive):
            return
        reports = self.watch.since(begin)
        if not reports:
            raise SartmError(
                f"{self.target} has said nothing on /diagnostics for {timeout_s:.0f} s",
                remedy="see whether the node runs, and in this ROS domain",
            )
        problem = "; ".join(reports[-1].troubles) or "no masks arrive"
        raise SartmError(f"{self.target} is not healthy after {timeout_s:.0f} s", got=problem)

    def close_books(self, *, reconnected: bool = False) -> list[str]:
        """Let everything arrive, and check the accounting: what does not add up.

        Args:
            reconnected: publishers or subscriptions were made anew since the last time, so that
                what was sent cannot be compared.
        """
        if reconnected:
            self._base = None
        for _ in range(_TRIES):
            wrong = self._mismatches_when_quiet()
            if not wrong:
                break
            # What was lost last is told only when the next image arrives.
            time.sleep(0.5)
        return wrong

    def _mismatches_when_quiet(self) -> list[str]:
        with self.cameras.paused():
            quiet = time.monotonic_ns() + round(_TRANSIT_S * 1e9)
            for seen in range(1, _QUIET_REPORTS + 1):
                report = self._report_after(quiet, seen)
                missing = books.unaccounted(report, self.cameras.sent)
                wrong = books.mismatches(report)
                if self._base is not None and missing != self._base:
                    wrong.append(f"sent and neither received nor lost: {missing}, not {self._base}")
                if books.in_flight(report):
                    wrong.append(f"still in flight: {books.in_flight(report)}")
                if not wrong:
                    self._base = missing
                    break
        return wrong

    def _report_after(self, steady_ns: int, count: int) -> Report:
        if not self.watch.wait(
            lambda: len(self.watch.since(steady_ns)) >= count, ANSWER_TIMEOUT_S, self.alive
        ):
            raise SartmError(f"{self.target} has stopped to publish /diagnostics")
        return self.watch.since(steady_ns)[count - 1]
