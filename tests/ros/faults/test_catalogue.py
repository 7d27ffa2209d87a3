"""The list of faults, and the books; no node runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_core.errors import SartmError
from sartm_ros.faults import books, camera_faults, catalogue, node_faults, process_faults
from sartm_ros.faults.description import LEVELS, NEEDS, Told
from sartm_ros.faults.leaks import Usage
from sartm_ros.faults.presentation import line, listing, table
from sartm_ros.faults.trial import Outcome
from sartm_ros.faults.watch import PARTS_OF_A_PAIR, Report, Status

pytestmark = pytest.mark.ros

DOCS = Path(__file__).parents[3] / "docs" / "faults.md"


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    whole = (*camera_faults.FAULTS, *node_faults.FAULTS, *process_faults.FAULTS)
    assert len(catalogue.FAULTS) == len(whole) >= 30


@pytest.mark.parametrize("fault", catalogue.FAULTS.values(), ids=catalogue.FAULTS)
def test_each_is_described(fault: Any) -> None:
    assert fault.needs <= set(NEEDS)
    assert set(fault.cameras) <= {"rgb", "thermal"}
    if isinstance(fault.expected, Told):
        assert fault.expected.part in (*PARTS_OF_A_PAIR, "model")
        assert fault.expected.level in LEVELS
    text = listing([fault])
    assert all(words in text for words in (fault.name, fault.does, str(fault.expected)))
    assert f"| `{fault.name}` | {fault.does} |" in DOCS.read_text(encoding="utf-8")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    assert [f.name for f in catalogue.find(["bag_loop"])] == ["bag_loop"]
    with pytest.raises(SartmError, match="unknown fault rgb_silnt; expected rgb_silent"):
        catalogue.find(["rgb_silnt"])


def report(**changes: str) -> Report:
    values = {
        "rgb input": {"received": "9", "published": "6", "dropped": "2", "in_flight": "1"},
        "thermal input": {"received": "8", "used": "5", "unused": "2", "buffered": "1"},
    }
    for part in values.values():
        part["lost_in_transport"] = "1"
        part.update({key: value for key, value in changes.items() if key in part})
    return Report(0, {part: Status("OK", "", v) for part, v in values.items()})


def test_the_books_close() -> None:
    assert books.mismatches(report()) == []
    assert books.in_flight(report()) == 1
    assert books.unaccounted(report(), {"rgb": 10, "thermal": 11}) == {"rgb": 0, "thermal": 2}
    assert books.unaccounted(report(lost_in_transport="n/a"), {"rgb": 10}) == {"rgb": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dropped": "1"}, "rgb input: received 9 != published 6 + dropped 1 + in_flight 1"),
        ({"buffered": "2"}, "thermal input: received 8 != used 5 + unused 2 + buffered 2"),
    ],
)
def test_an_equation_that_does_not_hold_is_told(changes: dict[str, str], said: str) -> None:
    assert books.mismatches(report(**changes)) == [said]


def test_what_grew_is_a_leak_and_a_little_memory_is_none() -> None:
    before = Usage(memory_mib=100.0, threads=10, files=20, endpoints=30)
    assert Usage(memory_mib=103.0, threads=9, files=20, endpoints=30).leaks(before) == []
    leaks = Usage(memory_mib=150.0, threads=11, files=20, endpoints=30).leaks(before)
    assert leaks == ["memory_mib 100.0 -> 150.0", "threads 10 -> 11"]


def test_outcomes_are_shown_with_what_was_missed() -> None:
    told = Outcome(
        "rgb_silent", 3.5, "rgb input", "ERROR", "a | b", recovered_s=1.0, closed=True, notes={}
    )
    open_books = Outcome("bag_loop", problems=["received 2 != 1"])
    left_out = Outcome("sigint", skipped="needs a process that it may stop and start again")
    assert (told.passed, open_books.passed, left_out.passed) == (True, False, False)
    rows = table(catalogue.FAULTS, [told, open_books, left_out]).splitlines()[2:]
    assert rows[0].endswith("| rgb input | ERROR | a / b | **3.5 s** | 1.0 s | closed |")
    assert "**failed:** received 2 != 1" in rows[1]
    assert "**open**" in rows[1]
    assert "not run: needs a process that it may stop" in rows[2]
    assert all(row.count("|") == rows[0].count("|") for row in rows)
    assert line(open_books).startswith("FAILED")
    assert line(left_out).startswith("skipped")
