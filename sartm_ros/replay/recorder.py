"""The robot side of a replay: records what the segment node publishes, and when it arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from sartm_core.data.bags import header_stamp

RELIABLE = QoSProfile(depth=50)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One mask: its stamp and the steady time at which it arrived, nanoseconds."""

    stamp_ns: int
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Info:
    """One frame_info: the stamp of its mask and its key-value pairs."""

    stamp_ns: int
    values: dict[str, str]

    @property
    def stages_ms(self) -> dict[str, float]:
        """How long each stage took."""
        return {
            key.removeprefix("time_").removesuffix("_ms"): float(value)
            for key, value in self.values.items()
            if key.startswith("time_")
        }

    @property
    def model_ms(self) -> float:
        """How long the network took."""
        return self.stages_ms["infer"]

    @property
    def total_ms(self) -> float:
        """From the entry of the image's callback to the return of the mask's publish."""
        return self.stages_ms["total"]


@dataclass
class Recorder:
    """Subscribes to the masks, frame infos and diagnostics of one segment node.

    Attributes:
        masks: every mask, in the order of arrival.
        infos: every frame_info, in the order of arrival.
        diagnostics: part of the node, e.g. ``rgb input`` -> its latest key-value pairs.
        problems: part of the node -> what its diagnostics call an error now.

    Args:
        node: the ROS node that subscribes; it is spun by someone else, in another thread.
        target: the segment node's full name, e.g. ``/sartm_demo/segment``.
        keep: called with (topic, message type, CDR bytes) of every message, in the spinning thread.
        pair: whose masks to take, of a node with several pairs of cameras.
    """

    node: Node
    target: str
    keep: Callable[[str, str, bytes], None]
    pair: str = ""
    masks: list[Arrival] = field(default_factory=list)
    infos: list[Info] = field(default_factory=list)
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._name = self.target.rsplit("/", 1)[-1]
        outputs = f"{self.target}/{self.pair}" if self.pair else self.target
        self._subscriptions = [
            self._subscribe(f"{outputs}/mask", Image, self._on_mask),
            self._subscribe(f"{outputs}/frame_info", DiagnosticArray, self._on_info),
            self._subscribe("/diagnostics", DiagnosticArray, self._on_diagnostics),
        ]

    def matched(self) -> bool:
        """Whether every subscription has a publisher."""
        return all(self.node.count_publishers(s.topic_name) > 0 for s in self._subscriptions)

    def wait(
        self, condition: Callable[[], Any], timeout_s: float, alive: Callable[[], None]
    ) -> bool:
        """Wait for something that a message brings.

        Args:
            condition: checked after every message, and now and then without one.
            timeout_s: how long to wait at most.
            alive: called meanwhile; raises if waiting has become pointless.

        Returns:
            Whether the condition came true in time.
        """
        end = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                alive()
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.1))
        return True

    def _subscribe(
        self, topic: str, kind: type, on_raw: Callable[[bytes, int], None]
    ) -> Subscription:
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"

        def receive(raw: bytes) -> None:
            arrived = time.monotonic_ns()
            self.keep(topic, name, raw)
            with self._changed:
                on_raw(raw, arrived)
                self._changed.notify_all()

        return self.node.create_subscription(kind, topic, receive, RELIABLE, raw=True)

    def _on_mask(self, raw: bytes, arrived: int) -> None:
        self.masks.append(Arrival(header_stamp(raw), arrived))

    def _on_info(self, raw: bytes, arrived: int) -> None:
        for status in deserialize_message(raw, DiagnosticArray).status:
            self.infos.append(Info(header_stamp(raw), _key_values(status)))

    def _on_diagnostics(self, raw: bytes, arrived: int) -> None:
        for status in deserialize_message(raw, DiagnosticArray).status:
            node, _, part = status.name.partition(": ")
            if node == self._name:
                self.diagnostics[part] = _key_values(status)
                if status.level == DiagnosticStatus.ERROR:
                    self.problems[part] = status.message
                else:
                    self.problems.pop(part, None)


def _key_values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
