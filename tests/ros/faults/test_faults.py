"""Every fault, done to a node: it is told in words, the node comes back, and the books close.

The times are not asserted; docs/faults.md has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_ros.faults import trial
from sartm_ros.faults.catalogue import FAULTS
from sartm_ros.faults.description import Fault, Told

if TYPE_CHECKING:
    from sartm_ros.faults.rig import Rig

pytestmark = pytest.mark.ros


def check(fault: Fault, rig: Rig) -> None:
    outcome = trial.run(fault, rig)
    assert not outcome.problems
    if isinstance(fault.expected, Told):
        assert outcome.level == fault.expected.level


def names(*, process: bool) -> list[str]:
    # Its memory is judged in a process of its own (docs/faults.md), not in that of all tests.
    there = {name: fault for name, fault in FAULTS.items() if name != "lifecycle_cycles"}
    return [name for name, fault in there.items() if ("process" in fault.needs) == process]


@pytest.mark.parametrize("name", names(process=False))
def test_fault(name: str, rig: Rig) -> None:
    check(FAULTS[name], rig)


@pytest.mark.parametrize("name", names(process=True))
def test_fault_of_a_process(name: str, process_rig: Rig) -> None:
    check(FAULTS[name], process_rig)
