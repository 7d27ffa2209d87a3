"""`python -m sartm_ros.faults`, on a node of its own and on one that runs already."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")


from sartm_core.errors import SartmError
from sartm_ros.faults.catalogue import FAULTS
from sartm_ros.faults.command import main
from sartm_ros.faults.session import live_rig
from tests.ros.probe import Probe, wait_for

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "sartm_ros.faults"]
NODE = "/sartm_test/segment"
PATIENT = {"diagnostics__max_processing_ms": 2000.0}
MakeNode = Callable[..., Any]


def refusal(target: str = NODE, pair: str = "") -> str:
    """Why a live node is left alone."""
    with pytest.raises(SartmError) as error, live_rig(target, pair):
        pass
    return str(error.value)


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


def test_a_live_node_is_found_and_an_interrupt_leaves_it_healthy(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle), **PATIENT)
    for publisher in (probe.rgb, probe.thermal):
        probe.node.destroy_publisher(publisher)
    words = ["sim_pause", "rgb_zero_stamps", "both_silent", "--node", NODE]
    with subprocess.Popen(
        [*COMMAND, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        probe.wait_for_status("rgb input", lambda s: "whether the driver sends" in s.message)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    first, second = out.splitlines()
    assert first == "skipped  sim_pause: needs a node of its own, in a ROS domain of its own"
    assert second.startswith("ok       rgb_zero_stamps: rgb input WARN after ")
    probe.wait_for_status("rgb input", lambda s: "; 0 publishers" in s.message)
    again = Probe(probe.node, probe.namespace)
    again.wait_until_connected()
    again.send(1)
    wait_for(lambda: again.masks, "a mask after that")


def test_cameras_that_run_already_are_left_alone(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    said = refusal()
    assert said.startswith("there is a publisher on /sartm_test/rgb/image already; got /probe")


def test_compressed_cameras_are_refused(make_node: MakeNode, tiny_bundle: Path) -> None:
    make_node(model__path=str(tiny_bundle), input__rgb_transport="compressed")
    assert "expects compressed images; got /sartm_test/rgb/image/compressed" in refusal()
