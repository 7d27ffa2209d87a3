"""Several pairs of cameras on one engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

from sartm_core.errors import SartmError
from tests.bundles import write_tiny_bundle
from tests.ros.probe import (
    LATCHED,
    RELIABLE,
    Probe,
    rgb_image,
    thermal_image,
    values,
    wait_for,
)

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_000
PERIOD = 100_000_000


class PairProbe:
    """Plays one pair's cameras and records its masks."""

    def __init__(self, probe: Probe, pair: str) -> None:
        publish = probe.node.create_publisher
        self._probe = probe
        self.masks = probe.record(Image, f"segment/{pair}/mask")
        self._rgb = publish(Image, f"{probe.namespace}/{pair}/rgb/image", RELIABLE)
        self._thermal = publish(Image, f"{probe.namespace}/{pair}/thermal/image", RELIABLE)

    def wait_until_connected(self) -> None:
        wait_for(
            lambda: self._rgb.get_subscription_count() and self._thermal.get_subscription_count(),
            "the pair's subscriptions",
        )

    def send(self, stamp_ns: int, **size: int) -> None:
        self._thermal.publish(thermal_image(stamp_ns, **size))
        self._rgb.publish(rgb_image(stamp_ns, **size))


@pytest.fixture
def front(probe: Probe) -> PairProbe:
    return PairProbe(probe, "front")


@pytest.fixture
def rear(probe: Probe) -> PairProbe:
    return PairProbe(probe, "rear")


def test_each_pair_has_topics_counters_and_statuses_of_its_own(
    make_node: MakeNode, probe: Probe, front: PairProbe, rear: PairProbe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle), pairs=["front", "rear"])
    front.wait_until_connected()
    rear.wait_until_connected()
    maps = probe.record(String, "segment/class_map", LATCHED)
    front.send(START)
    rear.send(START + 1, height=30, width=40)
    rear.send(START + PERIOD, height=30, width=40)
    wait_for(lambda: len(front.masks) == 1 and len(rear.masks) >= 1, "the masks")
    assert (front.masks[0].height, rear.masks[0].height) == (60, 30)
    wait_for(lambda: node.accounts(1).rgb.received == 2, "the rear images")
    assert node.accounts(0).rgb.received == 1
    for part in ("front rgb input", "rear thermal input", "rear pairing", "front output", "model"):
        wait_for(lambda part=part: probe.status(part), f"the status of {part}")
    assert probe.status("rgb input") is None
    assert len(maps) == 1
    assert json.loads(maps[0].data)["version"] == 1


def test_a_pair_goes_by_its_own_values(
    make_node: MakeNode, front: PairProbe, rear: PairProbe, tiny_bundle: Path
) -> None:
    node = make_node(
        model__path=str(tiny_bundle),
        pairs=["front", "rear"],
        sync__slop_s=0.05,
        rear__sync__slop_s=0.2,
    )
    assert [pair.parameters.sync.slop_s for pair in node.pairs] == [0.05, 0.2]
    node.set_parameters([Parameter("sync.slop_s", value=0.1)])
    assert [pair.parameters.sync.slop_s for pair in node.pairs] == [0.1, 0.2]
    node.set_parameters([Parameter("rear.sync.slop_s", value=0.3)])
    assert [pair.parameters.sync.slop_s for pair in node.pairs] == [0.1, 0.3]
    result = node.set_parameters([Parameter("rear.sync.slop_s", value=-1.0)])[0]
    assert not result.successful
    assert "out of range" in result.reason


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"pairs": ["front", "front"]}, "twice"),
        ({"pairs": ["sync", "rear"]}, "cannot be used; got 'sync'"),
        ({"pairs": ["front", "a/b"]}, "cannot be used; got 'a/b'"),
        ({"pairs": ["front"], "front__sync__slop": 0.1}, "expected front.sync.slop_s"),
        ({"pairs": ["front"], "front__model__path": "x"}, "unknown parameter front.model.path"),
    ],
)
def test_wrong_pairs_are_refused(
    make_node: MakeNode, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(SartmError, match=said):
        make_node(start=False, **parameters)


def test_no_pair_starves_under_overload(
    make_node: MakeNode, front: PairProbe, rear: PairProbe, tmp_path: Path
) -> None:
    """One pair sends ten times as often as the other, and more than the model can do."""
    bundle = write_tiny_bundle(tmp_path / "slow", height=160, width=192, work=6)
    node = make_node(model__path=str(bundle), model__threads=1, pairs=["front", "rear"])
    front.wait_until_connected()
    rear.wait_until_connected()
    for i in range(60):
        front.send(START + i * PERIOD)
        if i % 10 == 0:
            rear.send(START + i * PERIOD)

    def over(pair: int) -> bool:
        rgb = node.accounts(pair).rgb
        return rgb.received > 0 and not sum(rgb.in_flight.values())

    wait_for(lambda: over(0) and over(1), "the end")
    for pair in (0, 1):
        rgb = node.accounts(pair).rgb
        assert rgb.received == rgb.published + sum(rgb.dropped.values())
        assert rgb.published > 0
    assert node.accounts(0).rgb.dropped["overwritten"] > 0


def test_values_of_a_pair_stay_out_of_the_other_pairs_frames(
    make_node: MakeNode, front: PairProbe, rear: PairProbe, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(
        model__path=str(tiny_bundle),
        pairs=["front", "rear"],
        front__sync__missing_thermal="drop",
    )
    front.wait_until_connected()
    rear.wait_until_connected()
    front._rgb.publish(rgb_image(START))
    rear._rgb.publish(rgb_image(START))
    wait_for(lambda: rear.masks, "a mask of RGB alone")
    status = probe.wait_for_status(
        "front rgb input", lambda s: values(s).get("dropped.no_thermal") == "1"
    )
    assert values(status)["published"] == "0"
    assert not front.masks
