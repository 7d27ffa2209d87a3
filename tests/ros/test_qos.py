"""Publishers whose quality of service does not fit the node's subscription."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from tests.ros.probe import Probe, wait_for

pytestmark = pytest.mark.ros

START = 1_700_000_000_000_000_000


def test_a_mismatch_is_told_survived_and_forgotten(
    make_node: Callable[..., Any], probe: Probe, tiny_bundle: Path
) -> None:
    topic = f"{probe.namespace}/rgb/image"
    make_node(
        model__path=str(tiny_bundle),
        diagnostics__max_silence_s=0.2,
        **{f"qos_overrides__{topic}__subscription__reliability": "reliable"},
    )
    probe.wait_until_connected()
    probe.node.destroy_publisher(probe.rgb)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    probe.rgb = probe.node.create_publisher(Image, topic, best_effort)
    status = probe.wait_for_status("rgb input", lambda s: "offers a reliability" in s.message)
    assert status.level == DiagnosticStatus.ERROR
    assert "subscription.reliability:=best_effort" in status.message

    probe.node.destroy_publisher(probe.rgb)
    probe.rgb = probe.node.create_publisher(Image, topic, 1)
    probe.wait_until_connected()
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask")
    probe.wait_for_status("rgb input", lambda s: "whether the driver sends" in s.message)
