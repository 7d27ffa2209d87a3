"""What RViz and Foxglove are told to show is what a real node sends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticArray

from tests.ros.probe import Probe, wait_for

pytestmark = pytest.mark.ros

CONFIG = Path(__file__).parent.parent.parent / "config"
RVIZ = yaml.safe_load((CONFIG / "segment.rviz").read_text())
FOXGLOVE = json.loads((CONFIG / "foxglove.json").read_text())
PANELS = FOXGLOVE["configById"]
# A message path of Foxglove, as far as the layout uses them: a value of a status by its key.
PATH = re.compile(
    r'(?P<topic>/[\w/]+)\.status(?:\[0\]|\[:\]\{name=="(?P<name>[^"]+)"\})'
    r'\.values\[:\]\{key=="(?P<key>\w+)"\}\.value'
)


def rviz_topics() -> dict[str, str]:
    """Topic -> the reliability asked for."""
    displays = RVIZ["Visualization Manager"]["Displays"]
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
    return {d["Topic"]["Value"]: d["Topic"]["Reliability Policy"] for d in displays}


def foxglove_paths() -> Iterator[re.Match[str]]:
    for name, panel in PANELS.items():
        for path in panel.get("paths", ()):
            match = PATH.fullmatch(path["value"])
            assert match, f"{name}: {path['value']}"
            yield match


def foxglove_topics() -> dict[str, set[str]]:
    """Type of message -> the topics."""
    images = {p["imageMode"]["imageTopic"] for p in PANELS.values() if "imageMode" in p}
    arrays = {match["topic"] for match in foxglove_paths()}
    arrays |= {p["topicToRender"] for p in PANELS.values() if "topicToRender" in p}
    return {"sensor_msgs/msg/Image": images, "diagnostic_msgs/msg/DiagnosticArray": arrays}


def test_every_topic_is_one_of_the_node(
    make_node: Callable[..., Any], namespace: str, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    graph = (node.get_name(), namespace)
    known = dict(node.get_publisher_names_and_types_by_node(*graph))
    known |= dict(node.get_subscriber_names_and_types_by_node(*graph))
    shown = {"sensor_msgs/msg/Image": set(rviz_topics())}
    for topics in (shown, foxglove_topics()):
        for kind, names in topics.items():
            for name in names:
                full = name if name == "/diagnostics" else f"{namespace}{name}"
                assert known.get(full) == [kind], name


def test_both_show_the_masks_and_the_cameras() -> None:
    pictures = {"/segment/overlay", "/segment/mask_color", "/rgb/image", "/thermal/image"}
    assert set(rviz_topics()) == foxglove_topics()["sensor_msgs/msg/Image"] == pictures
    # Drivers are often best effort, and a reliable subscription then gets nothing.
    assert {t for t, policy in rviz_topics().items() if policy == "Best Effort"} == {
        "/rgb/image",
        "/thermal/image",
    }


def test_every_plotted_value_is_there(
    make_node: Callable[..., Any], probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.send(1_700_000_000_000_000_000)
    wait_for(lambda: probe.infos, "a frame_info")
    wait_for(lambda: probe.status("output"), "the diagnostics")
    messages = {"/segment/frame_info": probe.infos[-1], "/diagnostics": probe.reports[-1]}
    for match in foxglove_paths():
        assert _values(messages[match["topic"]], match), match[0]
    summary = PANELS["DiagnosticSummary!all"]
    assert (summary["minLevel"], summary["hardwareIdFilter"]) == (0, ""), "all statuses"


def _values(message: DiagnosticArray, path: re.Match[str]) -> list[str]:
    return [
        pair.value
        for status in message.status
        if path["name"] in (None, status.name)
        for pair in status.values
        if pair.key == path["key"]
    ]


def test_every_panel_of_the_layout_has_a_configuration() -> None:
    def panels(tree: Any) -> Iterator[str]:
        if isinstance(tree, str):
            yield tree
            return
        assert tree["direction"] in ("row", "column")
        assert 0 < tree["splitPercentage"] < 100
        yield from panels(tree["first"])
        yield from panels(tree["second"])

    placed = list(panels(FOXGLOVE["layout"]))
    assert sorted(placed) == sorted(PANELS)


def test_rviz_places_every_picture() -> None:
    window = RVIZ["Window Geometry"]
    state = bytes.fromhex(window["QMainWindow State"])
    for display in RVIZ["Visualization Manager"]["Displays"]:
        assert display["Name"].encode("utf-16-be") in state
        assert window[display["Name"]] == {"collapsed": False}
    # RViz reads them without a default.
    assert {"Hide Left Dock", "Hide Right Dock"} <= window.keys()
