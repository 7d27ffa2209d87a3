"""A ROS domain of one's own, and a probe that plays the cameras and the robot."""

from __future__ import annotations

import array
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

# Before rclpy is initialised: tests must not meet a live robot, nor another test run.
os.environ["ROS_DOMAIN_ID"] = str(20 + os.getpid() % 80)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(
    Path(__file__).parent.parent.parent / "config" / "fastdds.xml"
)

rclpy = pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from sartm_ros.node import SegmentNode  # noqa: E402

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


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(args=[], context=context)
    yield context
    context.try_shutdown()


@pytest.fixture
def spin(context: Context) -> Iterator[Callable[[Node], None]]:
    """Spins a node in a thread of its own until the test ends."""
    running: list[tuple[SingleThreadedExecutor, threading.Thread]] = []

    def start(node: Node) -> None:
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)

        def run() -> None:
            try:
                executor.spin()
            except ExternalShutdownException:
                return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        running.append((executor, thread))

    yield start
    for executor, thread in running:
        executor.shutdown()
        thread.join()


@pytest.fixture
def namespace() -> str:
    return "/sartm_test"


@pytest.fixture
def probe(context: Context, spin: Callable[[Node], None], namespace: str) -> Probe:
    node = Node("probe", context=context)
    probe = Probe(node, namespace)
    spin(node)
    return probe


@pytest.fixture
def make_node(
    context: Context, spin: Callable[[Node], None], namespace: str
) -> Iterator[Callable[..., SegmentNode]]:
    """Makes and spins a segment node in this process; ``start=False`` leaves it unconfigured."""
    nodes: list[SegmentNode] = []

    def make(*, start: bool = True, **parameters: Any) -> SegmentNode:
        overrides = [
            rclpy.parameter.Parameter(name.replace("__", "."), value=value)
            for name, value in parameters.items()
        ]
        node = SegmentNode(context=context, namespace=namespace, parameter_overrides=overrides)
        nodes.append(node)
        if start:
            node.start()
        spin(node)
        return node

    yield make
    for node in nodes:
        node.stop()
