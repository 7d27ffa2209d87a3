"""`sartm bench --node`: three processes, one run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_core.cli import main

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parents[2]


def test_the_node_is_timed_beside_an_echo_node(tiny_bundle, capsys):
    assert (
        main(
            ["bench", str(tiny_bundle), "--node", "--frames", "10", "--camera", "640x480", "--json"]
        )
        == 0
    )
    node = json.loads(capsys.readouterr().out)["node"]
    assert node["camera"] == [640, 480]
    stages = node["stages_p50_ms"]
    assert stages["infer"] == pytest.approx(node["model_ms"]["p50"], abs=0.01)
    assert 0 < node["internal_ms"]["p50"] < node["publish_to_mask_ms"]["p50"]
    assert node["echo_ms"]["p50"] > 0
    assert node["limit_ms"] == 3
    assert node["resident_mib"] > 50


def test_the_limit_grows_with_the_image():
    from sartm_ros.node_bench import limit_ms

    assert limit_ms(320, 240) == limit_ms(640, 480) == 3
    assert limit_ms(1920, 1080) == 8


def test_a_node_that_cannot_start_is_one_clear_line(tiny_bundle):
    command = [sys.executable, "-m", "sartm_ros.node_bench", str(tiny_bundle), "--threads", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the node ended early")
    assert "model.threads" in done.stderr
    assert len(done.stderr.splitlines()) == 1
