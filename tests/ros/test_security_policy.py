"""The SROS 2 policy allows what a real node does, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from rclpy.node import Node

from tests.ros.probe import wait_for

pytestmark = pytest.mark.ros

FILE = Path(__file__).parent.parent.parent / "config" / "security" / "segment.policy.xml"
# Rule of the policy -> what the graph calls it.
RULES: dict[str, Callable[[Node, str, str], Any]] = {
    "publish": Node.get_publisher_names_and_types_by_node,
    "subscribe": Node.get_subscriber_names_and_types_by_node,
    "reply": Node.get_service_names_and_types_by_node,
    "request": Node.get_client_names_and_types_by_node,
}


@pytest.fixture
def namespace() -> str:
    """Its own: the graph may still hold a node of an earlier test."""
    return "/sartm_policy"


def allowed(rule: str, name: str, namespace: str) -> set[str]:
    """Full names that the policy allows a node ``name`` in ``namespace``."""
    (profile,) = ElementTree.parse(FILE).getroot().iter("profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", name)
    found = set()
    for group in profile:
        assert set(group.attrib.values()) == {"ALLOW"}, "everything else is denied anyway"
        if rule in group.attrib:
            found |= {str(entry.text) for entry in group}
    return {
        entry
        if entry.startswith("/")
        else f"{namespace}/{name}{entry[1:]}"
        if entry.startswith("~")
        else f"{namespace}/{entry}"
        for entry in found
    }


def test_the_policy_allows_exactly_what_the_node_does(
    make_node: Callable[..., Any], namespace: str, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle), use_sim_time=True)
    optional = set()
    if find_spec("vision_msgs") is None:
        optional.add(f"{namespace}/segment/label_info")
    if find_spec("type_description_interfaces") is None:  # Humble
        optional.add(f"{namespace}/segment/get_type_description")
    for rule, names_and_types in RULES.items():
        listed = allowed(rule, node.get_name(), namespace)

        def graph(names_and_types: Any = names_and_types) -> set[str]:
            return {name for name, _ in names_and_types(node, node.get_name(), namespace)}

        with suppress(AssertionError):  # the graph learns of the node a moment later
            wait_for(lambda listed=listed, graph=graph: listed - graph() <= optional, "it", 5.0)
        there = graph()
        assert there - listed == set(), f"{rule}: missing in {FILE.name}"
        assert listed - there <= optional, f"{rule}: {FILE.name} allows more than is there"


def test_the_policy_has_the_form_of_sros2() -> None:
    policy = ElementTree.parse(FILE).getroot()
    assert (policy.tag, policy.get("version")) == ("policy", "0.2.0")
    (enclave,) = policy.findall("enclaves/enclave")
    assert enclave.get("path") == "/segment"
    for group in enclave.findall("profiles/profile/*"):
        assert group.tag in ("topics", "services")
        assert {entry.tag for entry in group} == {group.tag[:-1]}
        names = [entry.text for entry in group]
        assert len(names) == len(set(names))
