"""The RGB camera's calibration beside the masks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from sartm_ros.camera_info import resized
from tests.ros.probe import RELIABLE, Probe, rgb_image, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_000
K = [80.0, 0.0, 40.0, 0.0, 60.0, 30.0, 0.0, 0.0, 1.0]
P = [80.0, 0.0, 40.0, -8.0, 0.0, 60.0, 30.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def camera_info() -> CameraInfo:
    info = CameraInfo(width=80, height=60, k=K, p=P, distortion_model="plumb_bob")
    info.header.frame_id = "another_frame"
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    return info


def test_focal_lengths_and_centre_scale_with_the_image() -> None:
    info = resized(camera_info(), 160, 30, Header(frame_id="f"))
    assert list(info.k) == [160.0, 0.0, 80.0, 0.0, 30.0, 15.0, 0.0, 0.0, 1.0]
    assert list(info.p) == [160.0, 0.0, 80.0, -16.0, 0.0, 30.0, 15.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert (info.width, info.height, info.header.frame_id) == (160, 30, "f")
    assert list(info.d) == list(camera_info().d)


def test_a_mask_comes_with_the_calibration_of_its_image(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle), output__size="network")
    topic = f"{probe.namespace}/rgb/camera_info"
    publisher = probe.node.create_publisher(CameraInfo, topic, RELIABLE)
    infos = probe.record(CameraInfo, "segment/camera_info")
    probe.wait_until_connected()
    wait_for(publisher.get_subscription_count, "the subscription")
    publisher.publish(camera_info())
    time.sleep(0.3)
    probe.send(START)
    info = wait_for(lambda: infos and infos[0], "a camera_info")
    assert info.header == rgb_image(START).header
    assert (info.width, info.height) == (128, 96)
    assert info.k[0] == pytest.approx(80 * 128 / 80)
