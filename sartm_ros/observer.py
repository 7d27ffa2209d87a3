"""What the images of a pair tell about its cameras, beside the mask: looked at after publishing."""

from __future__ import annotations

import threading
import time

from rclpy.impl.rcutils_logger import RcutilsLogger

from sartm_core.calibration.drift import ResidualShift
from sartm_core.data.alignment import TOLERANCE
from sartm_core.flat import is_flat
from sartm_core.frames import Image, ThermalImage
from sartm_core.registration import Registration
from sartm_core.thermal import ThermalSpec, normalise
from sartm_core.thermal_contract import inspect_contract
from sartm_core.time_offset import TimeOffset, TimeOffsetEstimator
from sartm_ros.camera_stream import stamp_ns
from sartm_ros.health import Observations
from sartm_ros.worker import Result

ESTIMATE_EVERY_S = 10.0


class Observer:
    """Watches one pair. ``see`` is for the worker's thread, ``observations`` for another one.

    Args:
        pair: the pair's name, for the log.
        logger: told how thermal images are taken, once for each kind that comes.
    """

    def __init__(self, pair: str, logger: RcutilsLogger) -> None:
        self._thermal = f"{pair} thermal" if pair else "thermal"
        self._logger = logger
        self._flat: frozenset[str] = frozenset()
        self._kind: tuple[object, ...] = ()
        self._contract = ""
        self._hints: tuple[str, ...] = ()
        self._clocks = TimeOffsetEstimator()
        self._clocks_lock = threading.Lock()
        self._offset: TimeOffset | None = None
        self._next_estimate = 0.0
        self._drift = ResidualShift()
        self._registration: Registration | None = None
        self._width = 0
        self._newest: tuple[Image, ThermalImage, ThermalSpec | None] | None = None

    def see(
        self, result: Result, spec: ThermalSpec | None, registration: Registration | None
    ) -> None:
        """Look at the images of a published frame.

        Args:
            result: the frame.
            spec: what the user says of the thermal numbers.
            registration: what moved thermal onto the RGB plane.
        """
        if registration is not self._registration:
            self._registration, self._drift = registration, ResidualShift()
        if result.rgb is not None and result.thermal is not None:
            self._newest = result.rgb, result.thermal, spec
        images = {"rgb": result.rgb, "thermal": result.thermal}
        for camera, image in images.items():
            if image is not None:
                self._flat = (self._flat | {camera}) if is_flat(image) else self._flat - {camera}
        self._see_contract(result, spec)
        # The estimate takes tens of milliseconds: meanwhile images are let pass.
        if self._clocks_lock.acquire(blocking=False):
            with_rgb, with_thermal = result.job.pair.rgb, result.job.pair.thermal
            if result.rgb is not None:
                self._clocks.add_rgb(result.rgb, stamp_ns(with_rgb.message))
            if result.thermal is not None:
                self._clocks.add_thermal(result.thermal, stamp_ns(with_thermal.message))
            self._clocks_lock.release()

    def observations(self) -> Observations:
        """What was seen so far; estimates the clocks' offset now and then, which takes a moment."""
        now = time.monotonic()
        with self._clocks_lock:
            if now >= self._next_estimate:
                self._next_estimate = now + ESTIMATE_EVERY_S
                self._offset = self._clocks.estimate()
            unsure = self._clocks.unsure_because
        shift = self._shift()
        return Observations(
            flat=self._flat,
            contract=self._contract,
            hints=self._hints,
            offset=self._offset,
            unsure_because=unsure,
            shift=shift,
            shift_limit_px=TOLERANCE * self._width,
            shift_unsure_because=self._drift.unsure_because,
        )

    def _shift(self) -> tuple[float, float] | None:
        """How far thermal lies beside RGB; takes the newest frame for it, one for each report."""
        newest, self._newest = self._newest, None
        registration, drift = self._registration, self._drift
        if newest is not None:
            rgb, thermal, spec = newest
            levels = normalise(thermal, spec)
            if registration is not None:
                levels, _ = registration.apply(levels, (rgb.shape[1], rgb.shape[0]))
            drift.add(rgb, levels)
            self._width = rgb.shape[1]
        return drift.estimate()

    def _see_contract(self, result: Result, spec: ThermalSpec | None) -> None:
        image = result.thermal
        if image is None:
            return
        message = result.job.pair.thermal.message
        encoding = getattr(message, "encoding", "") or message.format
        kind = (encoding, image.dtype, spec)
        if kind == self._kind:
            return
        self._kind = kind
        report = inspect_contract(image, encoding, spec)
        self._contract, self._hints = report.reason, report.hints
        self._logger.info(f"{self._thermal}: {report.reason}")
        for hint in report.hints:
            self._logger.warning(f"{self._thermal}: {hint}")
