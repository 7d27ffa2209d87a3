"""Pairing by the real ApproximateTimeSynchronizer, without what goes wrong with it alone."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")
pytest.importorskip("message_filters", reason="needs message_filters, which only a ROS 2 has")

import message_filters
from rclpy.parameter import Parameter
from rclpy.time import Time

from sartm_core.synchronizer import Synchronizer, SyncParameters
from sartm_ros.approximate_time import ApproximateTime
from tests.ros.probe import Probe, values, wait_for
from tests.streams import MS, SECOND, assert_accounted, both, camera, feed, stream

pytestmark = pytest.mark.ros_full

SLOP_S = 0.06


def guarded(**params: Any) -> Synchronizer:
    rules = SyncParameters(mode="match", policy="message_filters", slop_s=SLOP_S, **params)
    return Synchronizer(rules, ApproximateTime(SLOP_S))


def bare(messages: list[tuple[int, str, int]], queue: int) -> list[tuple[int, int]]:
    """Stamps of the pairs that the class finds by itself."""
    inputs = {name: message_filters.SimpleFilter() for name in ("rgb", "thermal")}
    synchronizer = message_filters.ApproximateTimeSynchronizer(list(inputs.values()), queue, SLOP_S)
    found: list[tuple[int, int]] = []
    synchronizer.registerCallback(
        lambda rgb, thermal: found.append(
            (rgb.header.stamp.nanoseconds, thermal.header.stamp.nanoseconds)
        )
    )
    for _, name, stamp in messages:
        header = SimpleNamespace(stamp=Time(nanoseconds=stamp))
        inputs[name].signalMessage(SimpleNamespace(header=header))
    return found


def cameras(seed: int, seconds: int = 10) -> tuple[list[int], list[int]]:
    rng = random.Random(seed)
    return camera(30, seconds, 4, rng), camera(9, seconds, 4, rng, start=1.04)


@pytest.mark.parametrize("seed", range(4))
def test_its_pairs_are_those_of_the_class(seed: int) -> None:
    messages = stream(*cameras(seed), delay_rgb=10 * MS, delay_thermal=25 * MS)
    pairs = both(feed(guarded(max_wait_s=0.12), messages))
    assert [(p.rgb_stamp_ns, p.thermal_stamp_ns) for p in pairs] == bare(messages, queue=100)
    assert len(pairs) > 80
    stamps = [pair.rgb_stamp_ns for pair in pairs]
    assert stamps == sorted(stamps)


def test_what_stays_alone_waits_for_max_wait_or_until_a_newer_image_is_paired() -> None:
    synchronizer = guarded(max_wait_s=0.1)
    assert synchronizer.add_rgb(SECOND, "passed over", 0) == []
    assert synchronizer.next_deadline_ns() == 100 * MS
    assert synchronizer.add_rgb(SECOND + 70 * MS, "paired", 70 * MS) == []
    pairs = synchronizer.add_thermal(SECOND + 61 * MS, "thermal", 80 * MS)
    assert [(pair.rgb, pair.thermal) for pair in pairs] == [
        ("passed over", None),
        ("paired", "thermal"),
    ]
    # Not with the one that has gone out.
    assert synchronizer.add_thermal(SECOND + 5 * MS, "late", 90 * MS) == []
    assert synchronizer.counters.thermal_unused == {"late": 1}
    (alone,) = (
        *synchronizer.add_rgb(SECOND + 200 * MS, "alone", 200 * MS),
        *synchronizer.poll(300 * MS),
    )
    assert (alone.rgb, alone.degraded) == ("alone", "no_thermal")


@pytest.mark.parametrize("seed", range(4))
def test_a_bag_loop_costs_at_most_one_pair(seed: int) -> None:
    lap = stream(*cameras(seed), delay_rgb=10 * MS, delay_thermal=25 * MS)
    messages = sorted(lap + [(at + 10 * SECOND, name, stamp) for at, name, stamp in lap])
    synchronizer = guarded(max_wait_s=0.12)
    alone = len(both(feed(guarded(max_wait_s=0.12), lap)))
    assert len(both(feed(synchronizer, messages))) >= 2 * alone - 1
    assert synchronizer.counters.resets == 2  # of each stream
    assert len(bare(messages, queue=10)) < 1.1 * alone, "what the class alone does"


def test_thermal_that_comes_late_is_paired_as_long_as_rgb_waits() -> None:
    rgb, thermal = cameras(0)
    messages = stream(rgb, thermal, delay_thermal=450 * MS)
    assert len(both(feed(guarded(max_wait_s=0.55), messages))) > 80
    assert len(bare(messages, queue=10)) < 40


def test_corrected_stamps_may_be_negative() -> None:
    synchronizer = guarded(thermal_offset_s=-1.0)
    synchronizer.add_thermal(500 * MS, "thermal", 0)
    synchronizer.add_rgb(MS, "rgb", 0)
    assert synchronizer.counters.rgb_waiting == 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from(["rgb", "thermal"]), st.integers(0, 200)),
        max_size=60,
    ),
    st.sampled_from(["hold", "single", "drop"]),
    st.sampled_from(["single", "drop"]),
)
def test_every_message_is_accounted_for(
    steps: list[tuple[int, str, int]], missing_thermal: str, missing_rgb: str
) -> None:
    """In any order, with jumps back in time and stamps that come twice."""
    synchronizer = guarded(
        max_wait_s=0.05,
        reset_jump_s=0.5,
        missing_thermal=missing_thermal,
        missing_rgb=missing_rgb,
    )
    now = 0
    messages = []
    for gap, name, stamp in steps:
        now += gap * MS
        messages.append((now, name, stamp * 10 * MS))
    pairs = feed(synchronizer, messages)  # asserts after each message
    used = [pair.thermal for pair in both(pairs) if not pair.degraded]
    assert len(used) == len(set(used))
    assert all(abs(p.offset_ns) < SLOP_S * SECOND for p in both(pairs) if not p.degraded)
    assert_accounted(synchronizer.counters)


def test_the_node_pairs_by_it(make_node: Any, probe: Probe, tiny_bundle: Path) -> None:
    node = make_node(model__path=str(tiny_bundle))
    changes = [
        Parameter("sync.mode", value="match"),
        Parameter("sync.policy", value="message_filters"),
    ]
    assert node.set_parameters_atomically(changes).successful
    probe.wait_until_connected()
    for i in range(3):
        probe.send(SECOND + i * 100 * MS)
        wait_for(lambda i=i: len(probe.infos) == i + 1, "the mask")
    for info in probe.infos:
        assert values(info.status[0])["modalities"] == "rgb+thermal"
