"""A segment node that runs already: where its camera topics are, told by its diagnostics."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rclpy.node import Node

from sartm_core.errors import SartmError
from sartm_ros.faults.node_client import NodeClient
from sartm_ros.faults.watch import Watch

FIND_TIMEOUT_S = 10.0
_DISCOVERY_S = 1.0
_ENCODINGS = {"auto": "mono16", "agc8": "mono8", "raw16": "mono16", "kelvin": "32FC1"}


def find_topics(node: Node, watch: Watch, target: str, pair: str) -> dict[str, str]:
    """Camera -> its topic, which nobody publishes on yet.

    Args:
        node: of this process.
        watch: of the node ``target``.
        target: full name of the live node, e.g. ``/robot/segment``.
        pair: name of its pair of cameras; empty = it has one pair without a name.

    Raises:
        SartmError: there is no such node, two of them, no such pair, cameras that run already or
            whose images are to come compressed; or it is not active.
    """
    _refuse_namesakes(node, watch, target)
    parts = watch.reports[-1].parts
    if "rgb input" not in parts:
        raise _no_such_pair(NodeClient(node, target), pair)
    if (state := parts["output"].values["state"]) != "active":
        raise SartmError(f"{target} is not active", got=state, remedy="activate it first")
    topics = {camera: parts[f"{camera} input"].values["topic"] for camera in ("rgb", "thermal")}
    for topic in topics.values():
        if topic.rsplit("/", 1)[-1].startswith("compressed"):
            raise SartmError(
                f"{target} expects compressed images",
                got=topic,
                remedy="set input.rgb_transport and input.thermal_transport to raw meanwhile",
            )
    _refuse_other_cameras(node, topics.values())
    return topics


def thermal_encoding(client: NodeClient, pair: str) -> str:
    """What a thermal camera of this pair has to send for the node's ``thermal.contract``."""
    common, own = "thermal.contract", f"{pair}.thermal.contract"
    values = client.parameters(own) or client.parameters(common)
    return _ENCODINGS[next(iter(values.values()))]


def _refuse_namesakes(node: Node, watch: Watch, target: str) -> None:
    """Reports carry a node's name, not its namespace: there must be one of that name."""
    name = target.rsplit("/", 1)[-1]
    heard = watch.wait(lambda: watch.reports, FIND_TIMEOUT_S)
    if target not in (names := _names(node)) or not heard:
        raise SartmError(
            f"no segment node {target} is heard on /diagnostics",
            got=f"nodes here: {', '.join(names) or 'none'}",
            remedy="give its full name, and set ROS_DOMAIN_ID as it has it",
        )
    namesakes = [full for full in names if full.rsplit("/", 1)[-1] == name]
    if namesakes != [target]:
        raise SartmError(
            "it cannot be told which reports on /diagnostics come from which node",
            got=f"nodes of that name: {', '.join(namesakes)}",
            expected=f"{target} alone",
            remedy="stop the others, or give one of them another name",
        )


def _no_such_pair(client: NodeClient, pair: str) -> SartmError:
    names = ", ".join(filter(None, client.parameters("pairs")["pairs"]))
    what = f"no pair of cameras named {pair}" if pair else "several pairs of cameras"
    return SartmError(
        f"{client.target} has {what}",
        got=f"the pairs {names}" if names else "one pair without a name",
        remedy="name one of them with --pair" if names else "leave --pair out",
    )


def _refuse_other_cameras(node: Node, topics: Iterable[str]) -> None:
    time.sleep(_DISCOVERY_S)
    for topic in topics:
        others = [
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in node.get_publishers_info_by_topic(topic)
        ]
        if others:
            raise SartmError(
                f"there is a publisher on {topic} already",
                got=", ".join(others),
                expected="no cameras: this tool simulates them",
                remedy="stop the camera driver or the bag player first, or leave --node out",
            )


def _names(node: Node) -> list[str]:
    return sorted(
        f"{namespace.rstrip('/')}/{name}"
        for name, namespace in node.get_node_names_and_namespaces()
        if (name, namespace) != (node.get_name(), node.get_namespace())
    )
