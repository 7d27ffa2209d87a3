"""Camera messages in: checked, paired and left for the worker. Nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from sartm_core.errors import BadImageError
from sartm_core.orientation import Orientation
from sartm_core.synchronizer import Pair, SyncParameters
from sartm_ros.accounting import Ledger
from sartm_ros.camera_stream import SECOND, CameraImage, CameraStream, stamp_ns
from sartm_ros.health import Stream
from sartm_ros.imaging import check_rgb, decode_thermal
from sartm_ros.pairing import Pairing
from sartm_ros.parameters import InputParameters, ThermalParameters
from sartm_ros.throttle import Warnings
from sartm_ros.worker import Arrival, Job

_IDLE_PERIOD_S = 3600.0


class Intake:
    """The subscriptions of an active pair of cameras. Its methods run in the executor's thread.

    Args:
        node: who subscribes.
        prefix: before the names of the pair's topics, e.g. ``front/``.
        ledger: the pair's counters.
        put: leaves a job for the worker; returns the one that it overwrites, if any.
        pairing: the pair's synchroniser.
        warnings: where throttled log lines go.

    Attributes:
        enabled: if not, messages are counted as dropped for ``disabled``.
    """

    def __init__(
        self,
        node: Node,
        prefix: str,
        ledger: Ledger,
        put: Callable[[Job], Job | None],
        pairing: Pairing,
        warnings: Warnings,
    ) -> None:
        self._node = node
        self._ledger = ledger
        self._put = put
        self._pairing = pairing
        self._warnings = warnings
        self._orientation = Orientation()
        self._min_period_ns = 0
        self._next_admission_ns = 0
        self._rgb = CameraStream(node, "rgb", f"{prefix}rgb/image", ledger, self._on_rgb, warnings)
        self._thermal = CameraStream(
            node, "thermal", f"{prefix}thermal/image", ledger, self._on_thermal, warnings
        )
        self._timer = node.create_timer(
            _IDLE_PERIOD_S, self._on_deadline, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        self.enabled = True

    def open(self, params: InputParameters) -> None:
        """Subscribe to both cameras, anew if they are open already."""
        self._unsubscribe()
        self._rgb.open(params.rgb_transport)
        self._thermal.open(params.thermal_transport)

    @property
    def is_open(self) -> bool:
        return self._rgb.is_open

    def close(self, params: SyncParameters) -> None:
        """Unsubscribe; what was waiting for its partner is dropped, counted."""
        self._unsubscribe()
        self._timer.cancel()
        with self._ledger.lock:
            pairs = self._pairing.restart(params, "deactivated", time.monotonic_ns())
            for pair in pairs:
                self._ledger.dropped("deactivated", with_rgb=pair.rgb is not None)

    def destroy(self) -> None:
        self._unsubscribe()
        self._node.destroy_timer(self._timer)

    def streams(self) -> Mapping[str, Stream]:
        """Facts about both topics."""
        return {"rgb": self._rgb.facts(), "thermal": self._thermal.facts()}

    def set_max_rate(self, rate_hz: float) -> None:
        """Frames that come faster are dropped before the model; 0 = no limit."""
        self._min_period_ns = round(SECOND / rate_hz) if rate_hz else 0

    def set_thermal(self, params: ThermalParameters) -> None:
        """How thermal images are turned, and from when on a repeated image counts as frozen."""
        self._orientation = params.orientation()
        self._rgb.set_freeze(params.freeze_s)
        self._thermal.set_freeze(params.freeze_s)

    def set_sync(self, params: SyncParameters) -> None:
        """Pair by other rules from now on."""
        now = time.monotonic_ns()
        with self._ledger.lock:
            self._forward(self._pairing.restart(params, "parameters_changed", now))
        self._arm(now)

    def _unsubscribe(self) -> None:
        self._rgb.close()
        self._thermal.close()

    def _on_rgb(self, message: CameraImage, entered: int) -> None:
        ledger = self._ledger
        ledger.rgb_received += 1
        if not self.enabled:
            ledger.rgb_dropped["disabled"] += 1
            return
        try:
            check_rgb(message)
        except BadImageError as error:
            ledger.rgb_dropped[error.reason] += 1
            self._warnings.refused(self._rgb.topic, error)
            return
        accepted = time.monotonic_ns()
        arrival = Arrival(message, None, entered, accepted)
        self._forward(self._pairing.add_rgb(stamp_ns(message), arrival, accepted))
        self._arm(accepted)

    def _on_thermal(self, message: CameraImage, entered: int) -> None:
        ledger = self._ledger
        ledger.thermal_received += 1
        if not self.enabled:
            ledger.thermal_unused["disabled"] += 1
            return
        try:
            image = self._orientation.apply(decode_thermal(message))
        except BadImageError as error:
            ledger.thermal_unused[error.reason] += 1
            self._warnings.refused(self._thermal.topic, error)
            return
        accepted = time.monotonic_ns()
        arrival = Arrival(message, image, entered, accepted)
        self._forward(self._pairing.add_thermal(stamp_ns(message), arrival, accepted))
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
            overwritten = self._put(job)
            if overwritten is not None:
                self._ledger.dropped("overwritten", with_rgb=overwritten.with_rgb)

    def _arm(self, now_ns: int) -> None:
        """Have ``_on_deadline`` called when the synchroniser has something to do."""
        deadline = self._pairing.next_deadline_ns()
        if deadline is None or not self.is_open:
            if not self._timer.is_canceled():
                self._timer.cancel()
            return
        self._timer.timer_period_ns = max(deadline - now_ns, 1)
        self._timer.reset()
