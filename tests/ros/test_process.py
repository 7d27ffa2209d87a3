"""The node as its own process, over real DDS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from tests.ros.probe import Probe, rgb_image, values, wait_for

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parent.parent.parent
START = 1_700_000_000_000_000_000


@contextmanager
def node_process(*ros_args: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sartm_ros.segment_node", "--ros-args", *ros_args],
        cwd=ROOT,
        env={**os.environ, "RCUTILS_LOGGING_USE_STDOUT": "0", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def arguments(probe: Probe, bundle: Path, *more: str) -> list[str]:
    return ["-r", f"__ns:={probe.namespace}", "-p", f"model.path:={bundle}", *more]


def _settled(account: dict[str, str], sent: int) -> bool:
    arrived = int(account["received"]) + int(account["lost_in_transport"])
    return arrived == sent and int(account["in_flight"]) == 0


def test_masks_come_out_of_another_process(probe: Probe, tiny_bundle: Path) -> None:
    remapped = ("-r", "rgb/image:=cam/rgb", "-r", "thermal/image:=cam/thermal")
    probe.rgb = probe.node.create_publisher(
        type(rgb_image(START)), f"{probe.namespace}/cam/rgb", 10
    )
    probe.thermal = probe.node.create_publisher(
        type(rgb_image(START)), f"{probe.namespace}/cam/thermal", 10
    )
    with node_process(*arguments(probe, tiny_bundle, *remapped)) as process:
        probe.wait_until_connected()
        for i in range(20):
            probe.send(START + i * 50_000_000, height=480, width=640)
            if i == 0:  # what is lost before anything arrived cannot be told from not sent
                wait_for(lambda: probe.masks, "the first mask")
            time.sleep(0.02)
        probe.wait_for_status("rgb input", lambda s: _settled(values(s), sent=20))
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    final = json.loads(re.findall(r"accounting (\{.*\})", log)[-1])
    rgb, thermal = final["rgb"], final["thermal"]
    assert rgb["received"] + rgb["lost_in_transport"] == 20
    assert sum(rgb["in_flight"].values()) == 0
    assert rgb["received"] == rgb["published"] + sum(rgb["dropped"].values())
    assert thermal["received"] == thermal["used"] + sum(thermal["unused"].values())
    assert rgb["published"] == len(probe.masks) == len(probe.infos)
    assert re.search(r"\[INFO\] .*segment\]: runtime onnxruntime\S*: ", log), "what auto took, why"
    last = values(probe.status("rgb input"))
    assert int(last["published"]) == rgb["published"], "the last report is sent before the end"
    assert int(last["in_flight"]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(probe: Probe, tiny_bundle: Path, number: int) -> None:
    with node_process(*arguments(probe, tiny_bundle)) as process:
        probe.wait_until_connected()
        process.send_signal(number)
        _, log = process.communicate(timeout=10)
    # A process that does not stop in time ends itself, with another exit code.
    assert process.returncode == 0
    assert "Traceback" not in log


def test_a_signal_during_start_ends_it_too(tiny_bundle: Path) -> None:
    with node_process("-p", f"model.path:={tiny_bundle}") as process:
        wait_for(
            lambda: "rclpy" in Path(f"/proc/{process.pid}/maps").read_text(), "the import of rclpy"
        )
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("ros_args", "said"),
    [
        # misspelt: the right name is offered
        (["-p", "sync.slop:=0.1"], "sync.slop_s"),
        # out of range
        (["-p", "output.min_confidence:=2.0"], "from 0 to 1"),
        # not one of the choices
        (["-p", "sync.mode:=fastest"], "reuse"),
        # wrong type
        (["-p", "model.threads:=many"], "whole number"),
        # two fields that do not fit
        (["-p", "sync.policy:=message_filters"], "sync.mode:=match"),
        (["-p", "thermal.contract:=kelvin", "-p", "thermal.window:=[400.0, 300.0]"], "window"),
        # ROS itself refuses
        (["--params-file", "/nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_arguments_end_it_with_one_line(ros_args: list[str], said: str) -> None:
    with node_process(*ros_args) as process:
        _, log = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "Traceback" not in log
    assert said in log


def test_an_inference_that_hangs_ends_the_process(probe: Probe, tmp_path: Path) -> None:
    from sartm_ros.faults.poison import HANGS
    from tests.bundles import write_tiny_bundle

    bundle = write_tiny_bundle(tmp_path / "b", poisoned=True)
    with node_process(*arguments(probe, bundle, "-p", "diagnostics.hang_s:=0.5")) as process:
        probe.wait_until_connected()
        probe.rgb.publish(rgb_image(START, red=HANGS))
        _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "hang_s" in log


def test_the_node_never_imports_torch(tiny_bundle: Path) -> None:
    code = f"""
import sys, rclpy
rclpy.init()
from sartm_ros.node import SegmentNode
from rclpy.parameter import Parameter
node = SegmentNode(parameter_overrides=[Parameter("model.path", value={str(tiny_bundle)!r})])
node.start()
assert node._state == "active"
node.stop()
node.destroy_node()
print(sorted(name for name in ("torch", "matplotlib", "onnx", "rosbags") if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_shipped_profile_is_used() -> None:
    """The participant maps a shared-memory segment of 64 MiB."""
    code = """
import re, rclpy
rclpy.init()
node = rclpy.create_node("segment_size")
sizes = [
    int(end, 16) - int(start, 16)
    for start, end, name in re.findall(r"(\\w+)-(\\w+) .*/dev/shm/(fastrtps_[0-9a-f]{16})\\n",
                                       open("/proc/self/maps").read())
]
print(max(sizes))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert int(done.stdout) >= 64 << 20


def test_shipped_parameter_file_is_accepted_and_holds_the_defaults(
    probe: Probe, tiny_bundle: Path, context: Any
) -> None:
    from sartm_ros.node import SegmentNode
    from sartm_ros.parameters import Parameters

    node = SegmentNode(
        context=context,
        namespace=probe.namespace,
        cli_args=["--ros-args", "--params-file", str(ROOT / "config" / "segment.yaml")],
    )
    assert node.settings.common == Parameters()
    given = set(node._parameter_overrides)
    known = set(node._parameters) - {"use_sim_time", "start_type_description_service"}
    node.stop()
    node.destroy_node()
    assert given == known
