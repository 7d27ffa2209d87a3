"""Compressed cameras in, compressed masks out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage

from sartm_core.compressed import encode_compressed
from tests.bundles import CAR, PERSON
from tests.ros.probe import RELIABLE, Probe, rgb_image, thermal_image, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_000
PERIOD = 100_000_000


def compressed(pixels: np.ndarray, codec: Any, stamp_ns: int) -> CompressedImage:
    message = CompressedImage(header=rgb_image(stamp_ns).header)
    message.format, data = encode_compressed(pixels, codec)
    message.data = data.tobytes()
    return message


def red() -> np.ndarray:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[..., 0] = 200
    return pixels


def half_hot() -> np.ndarray:
    counts = np.full((60, 80), 28_000, np.uint16)
    counts[:, :40] = 31_000
    return counts


class Cameras:
    """Publishes on the compressed topics."""

    def __init__(self, probe: Probe) -> None:
        publish = probe.node.create_publisher
        topics = (f"{probe.namespace}/{s}/image/compressed" for s in ("rgb", "thermal"))
        self.rgb, self.thermal = (publish(CompressedImage, t, RELIABLE) for t in topics)

    def wait_until_connected(self) -> None:
        wait_for(
            lambda: self.rgb.get_subscription_count() and self.thermal.get_subscription_count(),
            "the node's subscriptions",
        )
        time.sleep(0.2)


def test_jpeg_and_16_bit_png_give_the_mask_of_raw_images(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    cameras = Cameras(probe)
    make_node(
        model__path=str(tiny_bundle),
        input__rgb_transport="compressed",
        input__thermal_transport="compressed",
    )
    cameras.wait_until_connected()
    cameras.thermal.publish(compressed(half_hot(), "png", START))
    cameras.rgb.publish(compressed(red(), "jpeg", START))
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask")
    ids = np.frombuffer(mask.data, np.uint8).reshape(60, 80)
    assert set(np.unique(ids[:, :38])) == {PERSON}
    assert set(np.unique(ids[:, 42:])) == {CAR}
    assert mask.header == rgb_image(START).header


def test_a_damaged_picture_is_counted_and_told(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    cameras = Cameras(probe)
    node = make_node(
        model__path=str(tiny_bundle),
        input__rgb_transport="compressed",
        input__thermal_transport="compressed",
    )
    cameras.wait_until_connected()
    broken = compressed(red(), "jpeg", START)
    broken.data = broken.data[: len(broken.data) // 2]
    cameras.rgb.publish(broken)
    cameras.thermal.publish(compressed(red(), "png", START))
    wait_for(lambda: node.accounts().rgb.dropped == {"truncated": 1}, "the count")
    wait_for(lambda: node.accounts().thermal.unused == {"wrong_encoding": 1}, "the other count")
    status = probe.wait_for_status("rgb input", lambda s: "truncated 1" in s.message)
    assert status.level == DiagnosticStatus.WARN


def test_the_transport_may_change_while_it_runs(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    cameras = Cameras(probe)
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    node.set_parameters([Parameter("input.rgb_transport", value="compressed")])
    wait_for(cameras.rgb.get_subscription_count, "the compressed subscription")
    time.sleep(0.2)
    probe.thermal.publish(thermal_image(START))
    cameras.rgb.publish(compressed(red(), "png", START))
    wait_for(lambda: probe.masks, "a mask")
    status = probe.wait_for_status("rgb input", lambda s: s.level == DiagnosticStatus.WARN)
    assert status is not None  # red alone: the same value everywhere
    topics = {v.key: v.value for v in status.values}
    assert topics["topic"] == f"{probe.namespace}/rgb/image/compressed"


def test_masks_as_png_and_overlays_as_jpeg(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    pictures = {
        name: probe.record(CompressedImage, f"segment/{name}/compressed")
        for name in ("mask", "overlay")
    }
    probe.wait_until_connected()
    wait_for(
        lambda: all(
            probe.node.count_publishers(f"{probe.namespace}/segment/{name}/compressed")
            for name in pictures
        ),
        "the publishers",
    )
    time.sleep(0.3)
    probe.send(START)
    wait_for(lambda: all(pictures.values()), "the pictures")
    png, jpeg = pictures["mask"][0], pictures["overlay"][0]
    ids = cv2.imdecode(np.frombuffer(png.data, np.uint8), cv2.IMREAD_UNCHANGED)
    raw = np.frombuffer(probe.masks[0].data, np.uint8).reshape(60, 80)
    np.testing.assert_array_equal(ids, raw)
    assert png.header == jpeg.header == probe.masks[0].header
    assert (png.format, jpeg.format) == ("mono8; png compressed ", "rgb8; jpeg compressed bgr8")
    assert cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)
