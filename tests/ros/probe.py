"""Plays both cameras and the robot: publishes images, records what the node says."""

from __future__ import annotations

import array
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def image(
    pixels: npt.NDArray[Any], encoding: str, stamp_ns: int, frame_id: str = "camera"
) -> Image:
    message = Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=pixels.shape[1] * pixels[0, 0].nbytes,
        is_bigendian=0,
    )
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.header.frame_id = frame_id
    message.data = array.array("B", pixels.tobytes())
    return message


def rgb_image(stamp_ns: int, height: int = 60, width: int = 80, red: int = 200) -> Image:
    """All of it red: class car."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = red
    return image(pixels, "rgb8", stamp_ns, "rgb_optical_frame")


def thermal_image(stamp_ns: int, height: int = 60, width: int = 80) -> Image:
    """The left half hot: class person."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, : width // 2] = 250
    return image(pixels, "mono8", stamp_ns, "thermal_optical_frame")


def values(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"timed out waiting for {what}")


class Probe:
    """Plays both cameras and records what the node says. Topics live in ``namespace``."""

    def __init__(self, node: Node, namespace: str) -> None:
        self.node = node
        self.namespace = namespace
        self.rgb = node.create_publisher(Image, f"{namespace}/rgb/image", RELIABLE)
        self.thermal = node.create_publisher(Image, f"{namespace}/thermal/image", RELIABLE)
        self.masks = self.record(Image, "segment/mask")
        self.infos = self.record(DiagnosticArray, "segment/frame_info")
        self.reports = self.record(DiagnosticArray, "/diagnostics")

    def record(self, kind: type, topic: str, profile: QoSProfile = RELIABLE) -> list[Any]:
        """A list that grows with the messages on ``topic``."""
        received: list[Any] = []
        name = topic if topic.startswith("/") else f"{self.namespace}/{topic}"
        self.node.create_subscription(kind, name, received.append, profile)
        return received

    def wait_until_connected(self) -> None:
        wait_for(
            lambda: (
                self.rgb.get_subscription_count()
                and self.thermal.get_subscription_count()
                and self.node.count_publishers(f"{self.namespace}/segment/mask")
                and self.node.count_publishers(f"{self.namespace}/segment/frame_info")
            ),
            "the node's endpoints",
        )
        time.sleep(0.2)  # both ends must know of each other; only one can be asked

    def send(self, stamp_ns: int, **size: int) -> None:
        """One fresh pair, thermal first, so that the RGB image need not wait."""
        self.thermal.publish(thermal_image(stamp_ns, **size))
        self.rgb.publish(rgb_image(stamp_ns, **size))

    def status(self, part: str, since: int = 0) -> Any:
        """The latest status of a part, e.g. "rgb input", in the reports from ``since`` on."""
        for report in reversed(self.reports[since:]):
            for status in report.status:
                if status.name == f"segment: {part}":
                    return status
        return None

    def wait_for_status(self, part: str, condition: Callable[[Any], bool]) -> Any:
        def found() -> Any:
            status = self.status(part)
            return status if status is not None and condition(status) else None

        return wait_for(found, f"a status of '{part}'")

    def call(self, kind: type, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, f"{self.namespace}/segment/{name}")
        assert client.wait_for_service(10.0)
        future = client.call_async(request)
        wait_for(future.done, f"the answer of {name}")
        return future.result()
