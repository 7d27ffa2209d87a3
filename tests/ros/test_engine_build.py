"""The node on a fake TensorRT: what it says while an engine is built, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus
from std_srvs.srv import Trigger

from sartm_core.segmenter import Segmenter
from tests.core.runtime.tensorrt.machine import Machine, write_whole_bundle
from tests.ros.probe import Probe, values, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
NOTHING = DiagnosticStatus()
START = 1_700_000_000_000_000_000


@pytest.fixture
def settings(machine: Machine, tmp_path: Path) -> dict[str, Any]:
    return {
        "model__path": str(write_whole_bundle(tmp_path / "tiny").path),
        "model__runtime": "tensorrt",
        "model__engine_cache": str(machine.cache),
    }


def test_the_share_that_is_built_is_in_the_diagnostics(
    machine: Machine, make_node: MakeNode, probe: Probe, settings: dict[str, Any]
) -> None:
    """A worker builds: the node is active meanwhile, and answers."""
    machine.faults.add("slow")
    node = make_node(model__allow_build=True, **settings)
    probe.wait_until_connected()
    probe.send(START)
    wait_for(lambda: node.accounts().rgb.dropped == {"no_model": 1}, "an image without a model")
    assert not machine.engines()
    wait_for(lambda: values(probe.status("model") or NOTHING).get("runtime"), "the model")
    probe.send(START + 100_000_000)
    wait_for(lambda: probe.masks, "a mask")
    reports = [{s.name: s for s in report.status} for report in probe.reports]
    building = [r for r in reports if "building" in r["segment: model"].message]
    assert building
    shares = [r["segment: model"].message.split()[-1] for r in building]
    assert all(share.endswith("%") for share in shares)
    assert any(share not in ("0%", "100%") for share in shares)
    assert {r["segment: model"].level for r in building} == {DiagnosticStatus.WARN}
    assert {values(r["segment: output"])["state"] for r in building} == {"active"}
    assert (machine.built, len(machine.engines())) == (1, 1)


def test_an_engine_gives_masks_and_is_given_back(
    machine: Machine, make_node: MakeNode, probe: Probe, settings: dict[str, Any]
) -> None:
    node = make_node(model__allow_build=True, **settings)
    probe.wait_until_connected()
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask")
    probe.wait_for_status("model", lambda s: values(s).get("runtime") == "tensorrt")
    node.trigger_deactivate()
    assert machine.driver.held > 0
    node.trigger_cleanup()
    wait_for(lambda: machine.driver.held == 0, "the memory of the GPU")


def test_a_model_that_does_not_warm_up_is_given_back(
    machine: Machine,
    make_node: MakeNode,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: Segmenter) -> None:
        raise RuntimeError("too hot")

    monkeypatch.setattr(Segmenter, "warm_up", fail)
    make_node(model__allow_build=True, **settings)
    wait_for(lambda: machine.built, "the engine")
    wait_for(lambda: machine.driver.held == 0, "the memory of the GPU")


def test_without_permission_it_fails_at_once_with_the_command(
    machine: Machine, make_node: MakeNode, probe: Probe, settings: dict[str, Any]
) -> None:
    make_node(**settings)
    status = probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.ERROR)
    assert "remedy: sartm build-engine" in status.message
    assert status.message.endswith(f"--engine-cache {machine.cache}")
    assert machine.built == 0


def test_a_build_that_fails_says_why(
    machine: Machine, make_node: MakeNode, probe: Probe, settings: dict[str, Any]
) -> None:
    machine.faults.add("no plan")
    make_node(model__allow_build=True, **settings)
    status = probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.ERROR)
    assert "could not build an engine" in status.message
    assert values(probe.status("output"))["state"] == "active"

    machine.faults.clear()
    assert probe.call(Trigger, "reload_model", Trigger.Request()).success
    probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.OK)
