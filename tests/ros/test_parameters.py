"""Parameters at start and at run time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

from sartm_core.errors import SartmError
from sartm_ros.node import SegmentNode
from sartm_ros.parameters import Parameters
from sartm_ros.settings import table
from tests.ros.probe import Probe, rgb_image, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
CONFIG = Path(__file__).resolve().parents[2] / "config"
SEGMENT = CONFIG / "segment.yaml"
PRESETS = sorted((CONFIG / "cameras").glob("*.yaml"))
START = 1_700_000_000_000_000_000


def change(node: Any, name: str, value: Any) -> Any:
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_every_parameter_is_described(make_node: MakeNode) -> None:
    node = make_node(start=False)
    for group in fields(Parameters):
        for spec in fields(getattr(node.settings.common, group.name)):
            descriptor = node.describe_parameter(f"{group.name}.{spec.name}")
            assert descriptor.description
            if "choices" in spec.metadata:
                assert str(spec.metadata["choices"][0]) in descriptor.additional_constraints
            if "range" in spec.metadata:
                assert descriptor.floating_point_range or descriptor.integer_range


def test_a_whole_number_is_taken_for_a_float(make_node: MakeNode) -> None:
    node = make_node(start=False, diagnostics__max_silence_s=2)
    assert node.settings.common.diagnostics.max_silence_s == 2.0
    assert change(node, "sync.slop_s", 1).successful
    assert node.settings.common.sync.slop_s == 1.0


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("sync.mode", "fastest", "reuse, match"),
        ("sync.slop_s", -1.0, "out of range"),
        ("sync.slop_s", float("nan"), "range"),
        ("output.min_confidence", "high", "a number from 0 to 1"),
        ("thermal.window", [1.0, 2.0, 3.0], "2 numbers"),
        ("sync.policy", "message_filters", "sync.mode match"),
        ("thermal.window", [280.0, 320.0], "set thermal.contract, too"),
        ("pairs", ["front"], "read-only"),
        ("autostart", False, "read-only"),
    ],
)
def test_a_wrong_change_is_refused_with_the_reason(
    make_node: MakeNode, tiny_bundle: Path, name: str, value: Any, reason: str
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    before = node.settings.common
    result = change(node, name, value)
    assert not result.successful
    assert reason in result.reason
    assert node.settings.common == before


def test_an_unknown_parameter_is_refused_naming_the_nearest(make_node: MakeNode) -> None:
    with pytest.raises(SartmError, match=r"sync\.slop; expected sync\.slop_s"):
        make_node(start=False, sync__slop=0.1)


@pytest.mark.skipif(find_spec("message_filters") is not None, reason="message_filters is there")
def test_message_filters_is_refused_where_it_is_not_installed(make_node: MakeNode) -> None:
    said = "needs the ROS package message_filters.*apt install ros-.*sync.policy:=nearest"
    with pytest.raises(SartmError, match=said):
        make_node(start=False, sync__mode="match", sync__policy="message_filters")
    node = make_node(start=False, sync__mode="match")
    assert "message_filters" in change(node, "sync.policy", "message_filters").reason
    assert node.settings.common.sync.policy == "nearest"


def test_the_model_may_be_changed_while_unconfigured(
    make_node: MakeNode, tiny_bundle: Path
) -> None:
    node = make_node(start=False)
    assert change(node, "model.path", str(tiny_bundle)).successful
    assert node.trigger_configure().name == "SUCCESS"


def test_changes_apply_to_the_next_frame(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    assert change(node, "output.size", "network").successful
    assert change(node, "output.min_confidence", 0.9).successful
    probe.send(START)
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask")
    assert mask.height == 96
    assert set(mask.data) == {255}

    assert change(node, "sync.missing_thermal", "drop").successful
    probe.rgb.publish(rgb_image(START + 1_000_000_000))
    wait_for(lambda: node.accounts().rgb.dropped == {"no_thermal": 1}, "the drop")
    rgb, thermal = node.accounts().rgb, node.accounts().thermal
    assert (rgb.received, rgb.published) == (2, 1)
    assert (thermal.received, thermal.used) == (1, 1), "counters survive the change"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_camera_preset_is_taken_by_the_node(preset: Path) -> None:
    """As a user gives it, beside the node's own file; a wrong name or value would be refused."""
    wanted = yaml.safe_load(preset.read_text(encoding="utf-8"))["/**"]["ros__parameters"]
    files = ["--params-file", str(SEGMENT), "--params-file", str(preset)]
    context = Context()
    rclpy.init(args=["--ros-args", *files, "-p", "autostart:=false"], context=context)
    node = SegmentNode(context=context)
    try:
        for group, values in wanted.items():
            for name, value in values.items():
                assert getattr(getattr(node.settings.common, group), name) == value
    finally:
        node.stop()
        node.destroy_node()
        context.try_shutdown()


def test_the_documented_table_is_the_one_in_the_code() -> None:
    documentation = Path(__file__).parent.parent.parent / "docs" / "ros.md"
    assert table() in documentation.read_text(encoding="utf-8")
