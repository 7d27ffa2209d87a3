"""Camera messages in: checked, paired and left for the worker. Nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from sartm_core.errors import BadImageError
from sartm_core.synchronizer import Pair, SyncParameters
from sartm_ros import qos
from sartm_ros.accounting import Ledger
from sartm_ros.imaging import check_rgb, decode_thermal
from sartm_ros.mailbox import Mailbox
from sartm_ros.pairing import Pairing
from sartm_ros.throttle import Warnings
from sartm_ros.worker import Arrival, Job

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

SECOND = 1_000_000_000
_IDLE_PERIOD_S = 3600.0
# Humble's callbacks take the message alone.
_TELLS_SEQUENCE = hasattr(Subscription, "CallbackType")


class Intake:
    """The subscriptions of an active node. Its methods run in the executor's thread.

    Attributes:
        enabled: if not, messages are counted as dropped for ``disabled``.
        last_arrival_ns: steady time of the last message per stream, ``rgb`` and ``thermal``.
    """

    def __init__(
        self,
        node: Node,
        ledger: Ledger,
        mailbox: Mailbox[Job],
        pairing: Pairing,
        warnings: Warnings,
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._mailbox = mailbox
        self._pairing = pairing
        self._warnings = warnings
        self._min_period_ns = 0
        self._next_admission_ns = 0
        self._subscriptions: list[Subscription] = []
        self._timer = node.create_timer(
            _IDLE_PERIOD_S, self._on_deadline, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        self.enabled = True
        self.last_arrival_ns: dict[str, int | None] = {"rgb": None, "thermal": None}

    def open(self) -> None:
        """Subscribe to both cameras."""
        self.last_arrival_ns = {"rgb": None, "thermal": None}
        self._subscriptions.append(self._subscribe("rgb", self._on_rgb))
        self._subscriptions.append(self._subscribe("thermal", self._on_thermal))

    def close(self, params: SyncParameters) -> None:
        """Unsubscribe; what was waiting for its partner or for the worker is dropped, counted."""
        self._unsubscribe()
        self._timer.cancel()
        with self._ledger.lock:
            pairs = self._pairing.restart(params, "deactivated", time.monotonic_ns())
            for pair in pairs:
                self._ledger.dropped("deactivated", with_rgb=pair.rgb is not None)
            waiting = self._mailbox.clear()
            if waiting is not None:
                self._ledger.dropped("deactivated", with_rgb=waiting.with_rgb)

    def destroy(self) -> None:
        self._unsubscribe()
        self._node.destroy_timer(self._timer)

    def set_max_rate(self, rate_hz: float) -> None:
        """Frames that come faster are dropped before the model; 0 = no limit."""
        self._min_period_ns = round(SECOND / rate_hz) if rate_hz else 0

    def set_sync(self, params: SyncParameters) -> None:
        """Pair by other rules from now on."""
        now = time.monotonic_ns()
        with self._ledger.lock:
            self._forward(self._pairing.restart(params, "parameters_changed", now))
        self._arm(now)

    def _unsubscribe(self) -> None:
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _subscribe(self, stream: str, callback: Callable[[Image], None]) -> Subscription:
        topic = self._node.resolve_topic_name(f"{stream}/image")

        loss = self._ledger.lost[stream]
        loss.restart()

        def received(message: Image, info: Mapping[str, Any]) -> None:
            with self._ledger.lock:
                loss.received(
                    info.get("publication_sequence_number"),
                    lambda: self._node.count_publishers(topic) == 1,
                )
                callback(message)

        def subscribe(**events: Any) -> Subscription:
            return self._node.create_subscription(
                Image,
                f"{stream}/image",
                received if _TELLS_SEQUENCE else callback,
                qos.images_in(),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                **events,
            )

        def on_lost(event: Any) -> None:
            with self._ledger.lock:
                loss.reported(event.total_count_change)

        def on_mismatch(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._warnings.say(f"qos {stream}", qos.mismatch(topic, policy))

        try:
            return subscribe(
                event_callbacks=SubscriptionEventCallbacks(
                    message_lost=on_lost, incompatible_qos=on_mismatch
                )
            )
        except UnsupportedEventTypeError:
            loss.unreported()
            return subscribe()

    def _on_rgb(self, message: Image) -> None:
        entered = time.monotonic_ns()
        ledger = self._ledger
        with ledger.lock:
            ledger.rgb_received += 1
            self.last_arrival_ns["rgb"] = entered
            if not self.enabled:
                ledger.rgb_dropped["disabled"] += 1
                return
            try:
                check_rgb(message)
            except BadImageError as error:
                ledger.rgb_dropped[error.reason] += 1
                self._warnings.refused("rgb/image", error)
                return
            accepted = time.monotonic_ns()
            arrival = Arrival(message, None, entered, accepted)
            self._forward(self._pairing.add_rgb(_stamp_ns(message), arrival, accepted))
        self._arm(accepted)

    def _on_thermal(self, message: Image) -> None:
        entered = time.monotonic_ns()
        ledger = self._ledger
        with ledger.lock:
            ledger.thermal_received += 1
            self.last_arrival_ns["thermal"] = entered
            if not self.enabled:
                ledger.thermal_unused["disabled"] += 1
                return
            try:
                image = decode_thermal(message)
            except BadImageError as error:
                ledger.thermal_unused[error.reason] += 1
                self._warnings.refused("thermal/image", error)
                return
            accepted = time.monotonic_ns()
            arrival = Arrival(message, image, entered, accepted)
            self._forward(self._pairing.add_thermal(_stamp_ns(message), arrival, accepted))
        self._arm(accepted)

    def _on_deadline(self) -> None:
        now = time.monotonic_ns()
        with self._ledger.lock:
            self._forward(self._pairing.poll(now))
        self._arm(now)

    def _forward(self, pairs: list[Pair]) -> None:
        """Leave pairs for the worker; hold the ledger's lock."""
        now = time.monotonic_ns()
        for pair in pairs:
            job = Job(pair, now)
            if now < self._next_admission_ns:
                self._ledger.dropped("rate_limit", with_rgb=job.with_rgb)
                continue
            # From the slot that was missed by little, not from now: jitter must not lower the rate.
            missed_by = now - self._next_admission_ns
            slot = self._next_admission_ns if missed_by < self._min_period_ns else now
            self._next_admission_ns = slot + self._min_period_ns
            overwritten = self._mailbox.put(job)
            if overwritten is not None:
                self._ledger.dropped("overwritten", with_rgb=overwritten.with_rgb)

    def _arm(self, now_ns: int) -> None:
        """Have ``_on_deadline`` called when the synchroniser has something to do."""
        deadline = self._pairing.next_deadline_ns()
        if deadline is None or not self._subscriptions:
            if not self._timer.is_canceled():
                self._timer.cancel()
            return
        self._timer.timer_period_ns = max(deadline - now_ns, 1)
        self._timer.reset()


def _stamp_ns(message: Image) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND + int(stamp.nanosec)
