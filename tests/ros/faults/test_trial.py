"""The trial itself: it must not pass what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_core.errors import SartmError
from sartm_ros.faults import trial
from sartm_ros.faults.catalogue import FAULTS
from sartm_ros.faults.description import Fault, Harmless, Told
from sartm_ros.faults.session import run_all, run_healthy

if TYPE_CHECKING:
    from sartm_ros.faults.rig import Rig

pytestmark = pytest.mark.ros

PATIENCE_S = 3.0


def test_words_that_never_come_fail(rig: Rig) -> None:
    wrong = replace(FAULTS["thermal_nan"], expected=Told("thermal input", "WARN", "zero_stamp"))
    (problem,) = trial.run(wrong, rig, patience_s=PATIENCE_S).problems
    assert problem.startswith("not told: expected thermal input: WARN 'zero_stamp', got ")
    assert "non_finite" in problem


def test_a_lower_level_than_expected_fails(rig: Rig) -> None:
    expected = Told("thermal input", "ERROR", "non_finite")
    outcome = trial.run(replace(FAULTS["thermal_nan"], expected=expected), rig, patience_s=1.0)
    assert not outcome.passed


def test_what_is_not_harmless_fails(rig: Rig) -> None:
    outcome = trial.run(replace(FAULTS["thermal_nan"], expected=Harmless()), rig)
    assert any("non_finite" in problem for problem in outcome.problems)
    silent = trial.run(replace(FAULTS["both_silent"], expected=Harmless()), rig)
    assert any("masks, expected at least" in problem for problem in silent.problems)


def test_an_image_that_nobody_accounts_for_fails(rig: Rig) -> None:
    @contextmanager
    def lose_one(rig: Rig) -> Iterator[None]:
        rig.cameras.rgb.sent += 1
        yield

    outcome = trial.run(Fault(name="x", does="", expected=Harmless(), inject=lose_one), rig)
    assert not outcome.closed
    assert "neither received nor lost" in outcome.problems[-1]
    rig.close_books(reconnected=True)


def test_a_node_that_does_not_come_back_fails(rig: Rig) -> None:
    @contextmanager
    def leave_it_silent(rig: Rig) -> Iterator[None]:
        with rig.cameras.altered(lambda: lambda shot: [], "rgb"):
            yield
        rig.cameras.rgb.alter = lambda shot: []

    expected = Told("rgb input", "ERROR", "no RGB image")
    fault = Fault(name="x", does="", expected=expected, inject=leave_it_silent)
    try:
        outcome = trial.run(fault, rig, patience_s=PATIENCE_S)
        assert any(p.startswith("not OK again: rgb input") for p in outcome.problems)
        with pytest.raises(SartmError, match=r"not healthy after 1 s; got rgb input: ERROR"):
            rig.wait_until_healthy(1.0)
    finally:
        with rig.cameras.altered(lambda: lambda shot: [], "rgb"):
            pass  # leaving it lets every image through
    rig.wait_until_healthy()


def test_faults_that_need_more_than_there_is_are_skipped(rig: Rig) -> None:
    told: list[str] = []
    outcomes = run_all([FAULTS["sigint"]], rig, told=lambda fault, outcome: told.append(fault.name))
    assert told == ["sigint"]
    assert outcomes[0].skipped == "needs a process that it may stop and start again"


def test_healthy_cameras_are_counted(rig: Rig) -> None:
    result = run_healthy(rig, 2.0)
    assert (result["not_ok"], result["mismatches"]) == ([], [])
    assert result["reports"] >= 5
    assert 0 < result["masks"] <= result["sent"]["rgb"] + 1
