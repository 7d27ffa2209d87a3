"""`python -m sartm_ros.faults` on a node of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")


from sartm_ros.faults.catalogue import FAULTS
from sartm_ros.faults.command import main

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "sartm_ros.faults"]


def test_the_list_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}  (" in out for name in FAULTS)
    assert main(["--list", "bag_loop"]) == 0
    assert capsys.readouterr().out.startswith("bag_loop  (rgb + thermal)")


@pytest.mark.parametrize(
    ("words", "said"), [(["rgb_silnt"], "expected rgb_silent"), ([], "name a fault, or all")]
)
def test_wrong_use_is_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_node_of_its_own_gives_one_json_object(tiny_bundle: Path) -> None:
    words = ["thermal_nan", "--model", str(tiny_bundle), "--json"]
    done = subprocess.run([*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["outcomes"]
    assert outcome["passed"]
    assert outcome["closed"]
    assert outcome["words"].startswith("images dropped since the last report: non_finite")
