"""The model is changed while the node runs: loaded beside the one in service, then swapped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from sartm_core.segmenter import Segmenter
from tests.bundles import write_tiny_bundle
from tests.ros.probe import Probe, values, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_000
PERIOD = 100_000_000


class Gate:
    """Holds every model that warms up until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = threading.Event()
        self.waiting = 0
        warm_up = Segmenter.warm_up

        def wait(segmenter: Segmenter) -> None:
            self.waiting += 1
            assert self._open.wait(20)
            warm_up(segmenter)

        monkeypatch.setattr(Segmenter, "warm_up", wait)

    def open(self) -> None:
        self._open.set()


def change(node: Any, **values: Any) -> list[Any]:
    return node.set_parameters(
        [Parameter(f"model.{name}", value=value) for name, value in values.items()]
    )


def test_masks_go_on_while_the_new_model_is_loaded(
    make_node: MakeNode, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (write_tiny_bundle(tmp_path / n, name=n) for n in ("old", "new"))
    node = make_node(model__path=str(old))
    probe.wait_until_connected()
    gate = Gate(monkeypatch)
    assert change(node, path=str(new))[0].successful
    wait_for(lambda: gate.waiting, "the load")
    probe.send(START)
    info = wait_for(lambda: probe.infos and probe.infos[0], "a mask of the old model")
    assert values(info.status[0])["model"] == "old"
    probe.wait_for_status("model", lambda s: "being loaded" in s.message)

    gate.open()
    probe.wait_for_status("model", lambda s: values(s).get("name") == "new")
    probe.send(START + PERIOD)
    info = wait_for(lambda: len(probe.infos) == 2 and probe.infos[1], "a mask of the new model")
    assert values(info.status[0])["model"] == "new"
    assert values(info.status[0])["class_list_version"] == "2"


def test_masks_go_on_while_reload_is_awaited(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    gate = Gate(monkeypatch)
    client = probe.node.create_client(Trigger, f"{probe.namespace}/segment/reload_model")
    assert client.wait_for_service(10.0)
    answer = client.call_async(Trigger.Request())
    wait_for(lambda: gate.waiting, "the load")
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask meanwhile")
    assert not answer.done()
    gate.open()
    wait_for(answer.done, "the answer")
    assert answer.result().success


def test_a_change_that_fails_is_set_back_and_said(
    make_node: MakeNode, probe: Probe, tmp_path: Path
) -> None:
    good = write_tiny_bundle(tmp_path / "good", name="good")
    node = make_node(model__path=str(good))
    probe.wait_until_connected()
    assert change(node, path=str(tmp_path / "none"))[0].successful
    status = probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.ERROR)
    assert "none" in status.message
    assert "the old model stays in service" in status.message
    wait_for(
        lambda: node.get_parameter("model.path").value == str(good), "the parameter to be set back"
    )
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask of the old model")
    probe.wait_for_status("model", lambda s: s.level == DiagnosticStatus.OK)


def test_of_several_changes_the_last_one_counts(
    make_node: MakeNode, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [write_tiny_bundle(tmp_path / n, name=n) for n in "abcd"]
    node = make_node(model__path=str(bundles[0]))
    probe.wait_until_connected()
    gate = Gate(monkeypatch)
    for bundle in bundles[1:]:
        change(node, path=str(bundle))
    gate.open()
    probe.wait_for_status("model", lambda s: values(s).get("name") == "d")
    assert gate.waiting == 2, "the one between is not loaded at all"


def test_a_model_that_comes_after_cleanup_is_given_back(
    make_node: MakeNode, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node(model__path=str(write_tiny_bundle(tmp_path / "b")))
    probe.wait_until_connected()
    gate = Gate(monkeypatch)
    closed: list[Segmenter] = []
    close = Segmenter.close
    monkeypatch.setattr(Segmenter, "close", lambda s: (closed.append(s), close(s)))
    change(node, threads=1)
    wait_for(lambda: gate.waiting, "the load")
    node.trigger_deactivate()
    node.trigger_cleanup()
    wait_for(lambda: len(closed) == 1, "the old model to be closed")
    gate.open()
    wait_for(lambda: len(closed) == 2, "the late model to be closed")


def test_reload_needs_a_configured_node(make_node: MakeNode, probe: Probe) -> None:
    make_node(start=False)
    answer = probe.call(Trigger, "reload_model", Trigger.Request())
    assert not answer.success
    assert "unconfigured; remedy: configure it first" in answer.message
