"""What replays and benchmarks share: a ROS node of this process, and the segment node's command."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import rclpy
import yaml
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sartm_core.errors import SartmError
from sartm_core.progress import progress
from sartm_ros.replay.balance import Balance
from sartm_ros.replay.node_process import AnyNode
from sartm_ros.replay.player import Player
from sartm_ros.replay.recorder import Recorder

READY_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 8.0


def node_command(
    module: str,
    namespace: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    params_file: str | None = None,
) -> list[str]:
    """The command line of a node in a Python like this one.

    Args:
        module: what `python -m` runs, e.g. ``sartm_ros.segment_node``.
        namespace: of the node, e.g. ``/sartm_eval``.
        parameters: name -> value; they win over those of the file.
        params_file: a ROS parameter file.
    """
    command = [sys.executable, "-u", "-m", module, "--ros-args", "-r", f"__ns:={namespace}"]
    command += ["--params-file", params_file] if params_file else []
    for name, value in (parameters or {}).items():
        command += ["-p", f"{name}:={json.dumps(value)}"]
    return command


def node_parameter(text: str) -> tuple[str, Any]:
    """Name and value of a parameter given as ROS does.

    Raises:
        SartmError: not NAME:=VALUE.
    """
    name, separator, value = text.partition(":=")
    if not separator:
        raise SartmError("a parameter is not given as ROS does", got=text, expected="NAME:=VALUE")
    return name, yaml.safe_load(value)


@contextmanager
def ros_node(name: str, namespace: str) -> Iterator[Node]:
    """A node in a ROS context of its own; spin it with :func:`spinning`."""
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node(
            name,
            context=context,
            namespace=namespace,
            start_parameter_services=False,
            enable_rosout=False,
        )
        yield node
        node.destroy_node()
    finally:
        context.try_shutdown()


@contextmanager
def spinning(node: Node) -> Iterator[None]:
    """Run the node's callbacks in a thread while the block runs."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="ros", daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()


def wait_until_ready(player: Player, recorder: Recorder, process: AnyNode) -> None:
    """Wait until the node is active and every publisher has found its subscriber.

    Raises:
        SartmError: the node has ended, or is not ready after a minute.
    """

    def ready() -> bool:
        parts = recorder.diagnostics
        return (
            player.matched()
            and recorder.matched()
            and parts.get("output", {}).get("state") == "active"
            and all(parts[f"{name} input"]["publishers"] == "1" for name in ("rgb", "thermal"))
        )

    def alive() -> None:
        process.check()
        if problem := recorder.problems.get("model"):
            raise SartmError("the node cannot start", got=problem)

    with progress("waiting for the node"):
        if not recorder.wait(ready, READY_TIMEOUT_S, alive):
            raise SartmError(
                f"the node was not ready after {READY_TIMEOUT_S:.0f} s",
                got=f"its last words: {process.last_words()}",
            )


def settle(rgb_topic: str, player: Player, recorder: Recorder, process: AnyNode) -> Balance:
    """The accounting once it closes with nothing in flight, or as it stands after some seconds."""

    def balance() -> Balance:
        return Balance.of(player.sent[rgb_topic], len(recorder.masks), recorder.diagnostics)

    def settled() -> bool:
        now = balance()
        return now.closes and now.in_flight == 0

    recorder.wait(settled, SETTLE_TIMEOUT_S, process.check)
    return balance()
