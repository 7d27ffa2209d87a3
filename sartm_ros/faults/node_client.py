"""The services of a segment node: its parameters, its states, its model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from std_srvs.srv import Trigger

from sartm_core.errors import SartmError

ANSWER_TIMEOUT_S = 20.0
START_TIMEOUT_S = 60.0
_TRY_S = 1.0


class NodeClient:
    """Calls services and waits for the answers.

    Args:
        node: the ROS node that asks; it is spun by someone else, in another thread.
        target: the full name of the node that is asked.
    """

    def __init__(self, node: Node, target: str) -> None:
        self._node = node
        self.target = target

    def call(self, kind: type, name: str, request: Any, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """Call a service of the node.

        Raises:
            SartmError: it does not answer.
        """
        client = self._node.create_client(kind, f"{self.target}/{name}")
        try:
            if not client.wait_for_service(timeout_s):
                raise SartmError(f"no service {self.target}/{name}")
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _: answered.set())
            if not answered.wait(timeout_s):
                raise SartmError(f"{self.target}/{name} does not answer")
            return future.result()
        finally:
            self._node.destroy_client(client)

    def wait_until_it_answers(self) -> None:
        """Wait for a node that has just been started.

        Raises:
            SartmError: it does not answer.
        """
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                # The first answers of a new node may be lost: its client is not found at once.
                self.call(GetParameters, "get_parameters", GetParameters.Request(), _TRY_S)
                return
            except SartmError:
                if time.monotonic() > end:
                    raise

    def reload(self) -> Trigger.Response:
        """Have the node load its bundle again."""
        return self.call(Trigger, "reload_model", Trigger.Request())

    def transition(self, name: str) -> None:
        """Ask for a lifecycle transition, e.g. ``deactivate``.

        Raises:
            SartmError: the node refuses.
        """
        request = ChangeState.Request()
        request.transition.label = name
        if not self.call(ChangeState, "change_state", request).success:
            raise SartmError(f"{self.target} refuses to {name}")

    def parameters(self, *names: str) -> dict[str, Any]:
        """The node's values; empty if one of the names is not declared."""
        answer = self.call(GetParameters, "get_parameters", GetParameters.Request(names=names))
        return dict(zip(names, map(parameter_value_to_python, answer.values), strict=False))

    def set_parameters(self, values: Mapping[str, Any]) -> list[str]:
        """Set them one by one; returns the reasons for which some were refused."""
        request = SetParameters.Request(
            parameters=[
                Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
            ]
        )
        results = self.call(SetParameters, "set_parameters", request).results
        return [result.reason for result in results if not result.successful]

    @contextmanager
    def with_parameters(self, values: Mapping[str, Any]) -> Iterator[None]:
        """Other values of these parameters while the block runs.

        Raises:
            SartmError: one is refused.
        """
        before = self.parameters(*values)
        if refused := self.set_parameters(values):
            raise SartmError("a parameter is refused", got="; ".join(refused))
        try:
            yield
        finally:
            self.set_parameters(before)
