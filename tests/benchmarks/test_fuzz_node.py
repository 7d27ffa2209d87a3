"""A short run of broken messages over the wire; the long one is a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parents[2]


def test_the_node_lives_and_counts_each(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    command = [sys.executable, "-m", "benchmarks.fuzz_node", "--messages", "400"]
    command += ["--model", str(tiny_bundle), "--out", str(out), "--seed", "3"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(out.read_text())
    for transport in ("raw", "compressed"):
        rgb = result[transport]["rgb"]
        assert rgb["received"] == rgb["published"] + rgb["dropped"]
        assert rgb["dropped"] > 10
        assert rgb["dropped.truncated"] > 0
