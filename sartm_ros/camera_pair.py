"""One RGB and one thermal camera on their way through the node: its topics, counters and times."""

from __future__ import annotations

import time
from pathlib import Path

from rclpy.lifecycle import LifecycleNode

from sartm_core.bundle import Bundle
from sartm_core.data.saved_frames import save_frame
from sartm_core.errors import BadImageError, SartmError
from sartm_core.registration import Registration
from sartm_core.segmenter import Segmenter
from sartm_core.thermal_levels import LevelSmoothing
from sartm_ros.accounting import Accounts, Ledger
from sartm_ros.camera_info import CameraInfoTopic
from sartm_ros.camera_stream import SECOND, stamp_ns
from sartm_ros.health import Latencies, PairHealth
from sartm_ros.intake import Intake
from sartm_ros.mailbox import Mailbox
from sartm_ros.observer import Observer
from sartm_ros.outputs import Outputs
from sartm_ros.pairing import Pairing
from sartm_ros.parameters import Parameters
from sartm_ros.tf_registration import TfRegistration
from sartm_ros.throttle import Warnings
from sartm_ros.worker import Job, Result


class CameraPair:
    """What a node has once for each pair of cameras; its counters live as long as the node.

    Args:
        node: whose topics.
        name: before the names of its topics; empty = a pair without a name.
        slot: its place in the mailbox.
        parameters: what holds for it.
        ledger: its counters; all pairs of a node share one lock.
        warnings: where throttled log lines go.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        slot: int,
        parameters: Parameters,
        ledger: Ledger,
        warnings: Warnings,
    ) -> None:
        self.name = name
        self.slot = slot
        self.parameters = parameters
        self.ledger = ledger
        self._prefix = f"{name}/" if name else ""
        self._node = node
        self._warnings = warnings
        self._pairing = Pairing(parameters.sync)
        self._rgb_info = CameraInfoTopic(node, f"{self._prefix}rgb/camera_info")
        self._latencies = Latencies()
        self._observer = Observer(name, node.get_logger())
        self.smoothing = _smoothing(parameters)
        self._registration: Registration | None = None
        self._tf: TfRegistration | None = None
        self._segmenter: Segmenter | None = None
        self._register()
        self._last: Result | None = None
        self._mailbox: Mailbox[Job] | None = None
        self._intake: Intake | None = None
        self._outputs: Outputs | None = None

    def configure(self, mailbox: Mailbox[Job]) -> None:
        """Make the publishers; jobs will go to ``mailbox``."""
        self._mailbox = mailbox
        self._outputs = Outputs(self._node, self.name)
        self._register()
        self._intake = Intake(
            self._node,
            self._prefix,
            self.ledger,
            lambda job: mailbox.put(job, self.slot),
            self._pairing,
            self._warnings,
        )
        self._intake.set_max_rate(self.parameters.output.max_rate_hz)
        self._intake.set_thermal(self.parameters.thermal)

    def open(self) -> None:
        """Subscribe to both cameras."""
        assert self._intake is not None
        self._intake.open(self.parameters.input)
        self._rgb_info.open()
        for stream, facts in self._intake.streams().items():
            self._node.get_logger().info(f"{stream} images expected on {facts.topic}")

    def close(self) -> None:
        """Unsubscribe; what waits for its partner or for the worker is dropped, counted."""
        assert self._intake is not None
        assert self._mailbox is not None
        self._intake.close(self.parameters.sync)
        self._rgb_info.close()
        with self.ledger.lock:
            waiting = self._mailbox.clear(self.slot)
            if waiting is not None:
                self.ledger.dropped("deactivated", with_rgb=waiting.with_rgb)

    def destroy(self) -> None:
        """Free the topics."""
        self._rgb_info.close()
        self._close_tf()
        if self._intake is not None:
            self._intake.destroy()
        if self._outputs is not None:
            self._outputs.destroy()
        self._intake = self._outputs = self._mailbox = self._segmenter = None

    def enable(self, enabled: bool) -> None:
        """Whether images are taken at all; else they count as dropped for ``disabled``."""
        assert self._intake is not None
        self._intake.enabled = enabled

    def set_parameters(self, new: Parameters) -> None:
        """Go by other values from the next image on."""
        old, self.parameters = self.parameters, new
        if new.thermal.smoothing_s != old.thermal.smoothing_s:
            self.smoothing = _smoothing(new)
        if new.registration != old.registration:
            self._register()
        if self._intake is not None:
            self._intake.set_max_rate(new.output.max_rate_hz)
            self._intake.set_thermal(new.thermal)
            if new.input != old.input and self._intake.is_open:
                self._intake.open(new.input)
        self._instruct()
        if new.sync == old.sync:
            return
        if self._intake is not None:
            self._intake.set_sync(new.sync)
        else:
            with self.ledger.lock:
                self._pairing.restart(new.sync, "parameters_changed", time.monotonic_ns())

    def segmenter(self, model: Segmenter) -> Segmenter:
        """A segmenter on ``model``'s engine that goes by this pair's parameters."""
        self._segmenter = Segmenter(model.bundle, model.runtime)
        self._instruct()
        return self._segmenter

    def _instruct(self) -> None:
        """Have the segmenter go by the present parameters."""
        segmenter = self._segmenter
        if segmenter is None:
            return
        segmenter.thermal = self.parameters.thermal.spec()
        segmenter.min_confidence = self.parameters.output.min_confidence
        segmenter.output_size = self.parameters.output.size
        segmenter.registration = self._registration

    def _register(self) -> None:
        """Take the registration of the file, or wait for that of the cameras' own topics."""
        self._close_tf()
        params = self.parameters.registration
        self._registration = params.load()
        if self._registration is None and params.depth_m and self._outputs is not None:
            self._tf = TfRegistration(
                self._node, self._prefix, params.depth_m, self._take_registration, self._warnings
            )

    def _take_registration(self, registration: Registration) -> None:
        self._registration = registration
        self._instruct()

    def _close_tf(self) -> None:
        if self._tf is not None:
            self._tf.close()
            self._tf = None

    def use(self, bundle: Bundle, sha256: str, class_list_version: int) -> None:
        """Masks come from this model from now on."""
        assert self._outputs is not None
        self._outputs.use(bundle, sha256, class_list_version)

    def publish(self, result: Result) -> None:
        assert self._outputs is not None
        self._latencies.add(self._outputs.publish(result, self._rgb_info.newest))
        self._observer.see(result, self.parameters.thermal.spec(), self._registration)
        if result.rgb is not None and result.thermal is not None:
            self._last = result

    def refuse(self, error: BadImageError) -> None:
        self._warnings.refused(f"{self._prefix}rgb/image", error)

    def save(self) -> Path:
        """Write the last pair and its mask in ``folder`` layout; returns the folder.

        Raises:
            SartmError: there is none yet, or it cannot be written.
        """
        last = self._last
        if last is None:
            raise SartmError(
                "there is no frame of both cameras yet",
                remedy="wait for the first mask made of RGB and thermal",
            )
        assert last.rgb is not None
        assert last.thermal is not None
        folder = self.parameters.output.folder / self.name
        stamp = stamp_ns(last.job.leading.message)
        save_frame(
            folder,
            f"{stamp // SECOND}_{stamp % SECOND:09d}",
            rgb=last.rgb,
            thermal=last.thermal,
            mask=last.segmentation.mask,
            classes=last.classes,
        )
        return folder

    def accounts(self) -> Accounts:
        """Where every message went so far."""
        with self.ledger.lock:
            waiting, in_hand = None, None
            if self._mailbox is not None:
                waiting = self._mailbox.waiting(self.slot)
                slot, job = self._mailbox.in_hand or (None, None)
                in_hand = job if slot == self.slot else None
            in_flight = {"mailbox": _counts(waiting), "model": _counts(in_hand)}
            return self.ledger.accounts(self._pairing.counters, in_flight)

    def health(self) -> PairHealth:
        """Facts for the diagnostics; the slowest mask is told once."""
        streams = {} if self._intake is None else self._intake.streams()
        return PairHealth(
            name=self.name,
            parameters=self.parameters,
            accounts=self.accounts(),
            streams=streams,
            latencies_ms=self._latencies.summary(),
            slowest_ms=self._latencies.take_slowest_ms(),
            seen=self._observer.observations(),
        )


def _smoothing(parameters: Parameters) -> LevelSmoothing | None:
    seconds = parameters.thermal.smoothing_s
    return LevelSmoothing(seconds) if seconds else None


def _counts(job: Job | None) -> int:
    return int(job is not None and job.with_rgb)
