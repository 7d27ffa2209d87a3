"""One camera's subscription: what arrives on it, what gets lost and what does not fit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from sartm_core.freeze import FreezeDetector
from sartm_ros import qos
from sartm_ros.accounting import Ledger
from sartm_ros.health import Stream
from sartm_ros.throttle import Warnings

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

SECOND = 1_000_000_000
_DELAYS = 15
# Humble's callbacks take the message alone.
_TELLS_SEQUENCE = hasattr(Subscription, "CallbackType")

CameraImage = Image | CompressedImage
OnImage = Callable[[CameraImage, int], None]


class CameraStream:
    """The images of one camera, while it is open.

    Args:
        node: who subscribes.
        stream: ``rgb`` or ``thermal``.
        topic: its name as the node knows it, before remapping.
        ledger: where losses are counted; its lock is held while an image is taken.
        on_image: takes an image and the steady time of its arrival, nanoseconds.
        warnings: where throttled log lines go.
    """

    def __init__(
        self,
        node: Node,
        stream: str,
        topic: str,
        ledger: Ledger,
        on_image: OnImage,
        warnings: Warnings,
    ) -> None:
        self._node = node
        self._stream = stream
        self._name = topic
        self._transport = "raw"
        self._ledger = ledger
        self._loss = ledger.lost[stream]
        self._on_image = on_image
        self._warnings = warnings
        self._subscription: Subscription | None = None
        self._opened_ns = time.monotonic_ns()
        self._last_arrival_ns: int | None = None
        self._delays_ns: deque[int] = deque(maxlen=_DELAYS)
        self._mismatch = ""
        self._freeze = FreezeDetector()

    @property
    def topic(self) -> str:
        """The resolved name of what is subscribed to: with the transport, unless that is raw."""
        base = self._node.resolve_topic_name(self._name)
        return base if self._transport == "raw" else f"{base}/{self._transport}"

    def open(self, transport: str) -> None:
        """Subscribe, to ``raw`` images or to one of image_transport's compressed kinds."""
        self._transport = transport
        self._opened_ns = time.monotonic_ns()
        self._last_arrival_ns = None
        self._delays_ns.clear()
        self._mismatch = ""
        self._freeze.reset()
        self._loss.restart()
        try:
            self._subscription = self._subscribe(
                event_callbacks=SubscriptionEventCallbacks(
                    message_lost=self._on_lost, incompatible_qos=self._on_mismatch
                )
            )
        except UnsupportedEventTypeError:
            self._loss.unreported()
            self._subscription = self._subscribe()

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def set_freeze(self, freeze_s: float) -> None:
        """An image that is repeated for longer counts as frozen."""
        with self._ledger.lock:
            self._freeze.freeze_s = freeze_s

    @property
    def is_open(self) -> bool:
        return self._subscription is not None

    def facts(self) -> Stream:
        """What the diagnostics tell."""
        publishers = self._node.count_publishers(self.topic)
        with self._ledger.lock:
            now, last = time.monotonic_ns(), self._last_arrival_ns
            return Stream(
                topic=self.topic,
                publishers=publishers,
                open_s=(now - self._opened_ns) / SECOND,
                silent_s=(now - (last or self._opened_ns)) / SECOND,
                ever=last is not None,
                mismatch=self._mismatch,
                frozen_s=self._freeze.repeated_ns / SECOND if self._freeze.frozen else 0.0,
                shutter_events=self._freeze.counters.shutter_events,
                delay_s=median(self._delays_ns) / SECOND if self._delays_ns else None,
            )

    def _subscribe(self, **events: Any) -> Subscription:
        return self._node.create_subscription(
            Image if self._transport == "raw" else CompressedImage,
            self.topic,
            self._received if _TELLS_SEQUENCE else self._received_without_number,
            qos.images_in(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            **events,
        )

    def _received_without_number(self, message: CameraImage) -> None:
        self._take(message, None)

    def _received(self, message: CameraImage, info: Mapping[str, Any]) -> None:
        self._take(message, info.get("publication_sequence_number"))

    def _take(self, message: CameraImage, sequence: int | None) -> None:
        entered = time.monotonic_ns()
        with self._ledger.lock:
            self._loss.received(sequence, lambda: self._node.count_publishers(self.topic) == 1)
            self._last_arrival_ns = entered
            self._mismatch = ""
            self._delays_ns.append(entered - stamp_ns(message))
            self._freeze.add(message.data, entered)
            self._on_image(message, entered)

    def _on_lost(self, event: Any) -> None:
        with self._ledger.lock:
            self._loss.reported(event.total_count_change)

    def _on_mismatch(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._mismatch = qos.mismatch(self.topic, policy)
        self._warnings.say(f"qos {self.topic}", self._mismatch)


def stamp_ns(message: CameraImage) -> int:
    """The stamp in a message's header, nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND + int(stamp.nanosec)
