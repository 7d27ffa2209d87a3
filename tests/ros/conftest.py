"""A ROS domain of one's own, and the two ends of a test: the node and the probe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    from sartm_ros.node import SegmentNode
    from tests.ros.probe import Probe

# Before rclpy is initialised: tests must not meet a live robot, nor another test run.
os.environ["ROS_DOMAIN_ID"] = str(20 + os.getpid() % 80)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(
    Path(__file__).parent.parent.parent / "config" / "fastdds.xml"
)


@pytest.fixture
def context() -> Iterator[Context]:
    import rclpy
    from rclpy.context import Context

    context = Context()
    rclpy.init(args=[], context=context)
    yield context
    context.try_shutdown()


@pytest.fixture
def spin(context: Context) -> Iterator[Callable[[Node], None]]:
    """Spins a node in a thread of its own until the test ends."""
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    running: list[tuple[Node, SingleThreadedExecutor, threading.Thread]] = []

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
        running.append((node, executor, thread))

    yield start
    # Fast DDS waits for ever when the garbage collector frees a node after its context.
    for node, executor, thread in running:
        executor.shutdown()
        thread.join()
        node.destroy_node()


@pytest.fixture
def namespace() -> str:
    return "/sartm_test"


@pytest.fixture
def probe(context: Context, spin: Callable[[Node], None], namespace: str) -> Probe:
    from rclpy.node import Node

    from tests.ros.probe import Probe

    node = Node("probe", context=context)
    probe = Probe(node, namespace)
    spin(node)
    return probe


@pytest.fixture
def make_node(
    context: Context, spin: Callable[[Node], None], namespace: str
) -> Iterator[Callable[..., SegmentNode]]:
    """Makes and spins a segment node in this process; ``start=False`` leaves it unconfigured."""
    from rclpy.parameter import Parameter

    from sartm_ros.node import SegmentNode

    nodes: list[SegmentNode] = []

    def make(*, start: bool = True, **parameters: Any) -> SegmentNode:
        overrides = [
            Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()
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
