"""Nodes shut down in each state, again and again.

The four other transitions are a fault of their own: `lifecycle_cycles`.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from rclpy.context import Context
from rclpy.parameter import Parameter

from sartm_ros.faults.leaks import Usage, history
from sartm_ros.node import SegmentNode

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NODES = 100
WAYS = ((), ("configure",), ("configure", "activate"))
"""To each state that a node can be shut down in."""


def shut_down(context: Context, bundle: Path, way: tuple[str, ...]) -> None:
    node = SegmentNode(
        context=context, parameter_overrides=[Parameter("model.path", value=str(bundle))]
    )
    for transition in (*way, "shutdown"):
        assert getattr(node, f"trigger_{transition}")().name == "SUCCESS"
    node.stop()
    node.destroy_node()


def test_a_hundred_nodes_leave_nothing_behind(context: Context, tiny_bundle: Path) -> None:
    """Each is alone in its context: a participant that outlives rclpy's nodes keeps 0.1 MiB of
    each, of empty ones too."""
    usages = []
    for i in range(NODES):
        shut_down(context, tiny_bundle, WAYS[i % len(WAYS)])
        if i + 1 in (NODES // 2, NODES):
            gc.collect()
            usages.append(Usage.of(os.getpid(), endpoints=0))
    print(history(usages))
    assert usages[1].leaks(usages[0]) == []
