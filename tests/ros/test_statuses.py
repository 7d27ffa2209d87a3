"""What the diagnostics make of a node's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus

from sartm_core.synchronizer import Synchronizer, SyncParameters
from sartm_ros.accounting import Accounts, RgbAccount
from sartm_ros.diagnostics import statuses
from sartm_ros.health import Health, PairHealth, Stream
from sartm_ros.parameters import Parameters

pytestmark = pytest.mark.ros

NO_SYNC = Synchronizer(SyncParameters()).counters
BEFORE = Accounts(sync=NO_SYNC)


def stream(**facts: Any) -> Stream:
    return Stream(
        **{"topic": "/t", "publishers": 1, "open_s": 9, "silent_s": 0, "ever": True, **facts}
    )


def pair(accounts: Accounts = BEFORE, **facts: Any) -> PairHealth:
    streams = {"rgb": stream(), "thermal": stream()}
    return PairHealth(
        **{
            "name": "",
            "parameters": Parameters(),
            "accounts": accounts,
            "streams": streams,
            **facts,
        }
    )


def report(of: PairHealth, **facts: Any) -> dict[str, DiagnosticStatus]:
    now = Health(state="active", parameters=of.parameters, pairs=[of], **facts)
    return {s.name.partition(": ")[2]: s for s in statuses("segment", now, {"": BEFORE}, 1.0)}


def test_rgb_images_that_come_out_of_order_are_told() -> None:
    late = replace(BEFORE, rgb=RgbAccount(received=10, published=5, dropped={"late": 5}))
    status = report(pair(late))["rgb input"]
    assert status.level == DiagnosticStatus.WARN
    assert "late 5; remedy: they come out of order" in status.message


def test_what_was_dropped_in_good_order_is_no_fault() -> None:
    dropped = {"overwritten": 3, "rate_limit": 2, "disabled": 1}
    status = report(pair(replace(BEFORE, rgb=RgbAccount(received=6, dropped=dropped))))["rgb input"]
    assert (status.level, status.message) == (DiagnosticStatus.OK, "receiving")


@pytest.mark.parametrize(
    ("open_s", "level"), [(1.4, DiagnosticStatus.OK), (1.6, DiagnosticStatus.WARN)]
)
def test_pairing_is_not_judged_while_the_subscription_is_new(open_s: float, level: bytes) -> None:
    """The first RGB image's partner may have gone by before."""
    alone = replace(BEFORE, sync=replace(NO_SYNC, rgb_received=1, rgb_single=1))
    streams = {"rgb": stream(open_s=open_s), "thermal": stream(open_s=open_s, ever=False)}
    assert report(pair(alone, streams=streams))["pairing"].level == level


def test_a_mask_that_takes_long_is_told_before_it_is_done() -> None:
    status = report(pair(), busy_s=0.9)["output"]
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith("a mask has been in the making for 900 ms")
    slow = report(pair(slowest_ms=950.0), busy_s=0.9)["output"]
    assert slow.message.startswith("a mask took 950 ms")
    assert report(pair(slowest_ms=150.0), busy_s=0.1)["output"].level == DiagnosticStatus.OK
