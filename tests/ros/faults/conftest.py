"""A node in this process and one in a process of its own, each with simulated cameras."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bundles import write_tiny_bundle

if TYPE_CHECKING:
    from sartm_ros.faults.rig import Rig

NAMESPACE = "/sartm_fault_test"
REPORT_PERIOD_S = 0.2
"""Of /diagnostics, instead of 1 s: a trial waits for reports most of its time."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Around a node in this process: every fault but those that end the process."""
    from rclpy.parameter import Parameter

    from sartm_ros import diagnostics
    from sartm_ros.faults.cameras import Cameras
    from sartm_ros.faults.rig import Rig
    from sartm_ros.faults.watch import Watch
    from sartm_ros.node import SegmentNode
    from sartm_ros.replay.session import ros_node, spinning

    bundle = write_tiny_bundle(tmp_path_factory.mktemp("model") / "tiny", poisoned=True)
    topics = {camera: f"{NAMESPACE}/{camera}/image" for camera in ("rgb", "thermal")}
    values = {
        "model.path": str(bundle),
        f"qos_overrides.{topics['thermal']}.subscription.reliability": "reliable",
        # How busy this machine is must not decide, nor end this process.
        "diagnostics.max_processing_ms": 800.0,
        "diagnostics.hang_s": 120.0,
    }
    with (
        pytest.MonkeyPatch.context() as patch,
        ros_node("faults", NAMESPACE) as observer,
        spinning(observer),
        Cameras(observer, topics["rgb"], topics["thermal"]) as cameras,
    ):
        patch.setattr(diagnostics, "PERIOD_S", REPORT_PERIOD_S)
        node = SegmentNode(
            context=observer.context,
            namespace=NAMESPACE,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        node.start()
        target = f"{NAMESPACE}/segment"
        with spinning(node):
            yield Rig(
                observer,
                target,
                cameras,
                Watch(observer, target),
                bundle=bundle,
                offers=frozenset({"own", "poison"}),
                pid=os.getpid(),
            )
        node.stop()
        node.destroy_node()


@pytest.fixture(scope="module")
def process_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Around a node in a process of its own, in this test run's ROS domain."""
    from sartm_ros.faults.session import own_rig

    folder: Path = tmp_path_factory.mktemp("own")
    with own_rig(str(write_tiny_bundle(folder / "tiny")), folder, {}) as rig:
        yield rig
