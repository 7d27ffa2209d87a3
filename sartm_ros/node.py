"""The managed node ``segment``: its states, parameters and services. See docs/ros.md."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from sartm_core import segmenter as core
from sartm_core.errors import SartmError
from sartm_ros import parameters, qos
from sartm_ros.accounting import Accounts, Ledger
from sartm_ros.diagnostics import Health, Latencies, Monitor, Stream, statuses
from sartm_ros.intake import SECOND, Intake
from sartm_ros.mailbox import Mailbox
from sartm_ros.outputs import Outputs
from sartm_ros.pairing import Pairing
from sartm_ros.throttle import Warnings
from sartm_ros.worker import Job, Result, Worker

FINISH_WITHIN_S = 1.0
"""How long a transition waits for the mask in the making."""


class SegmentNode(LifecycleNode):
    """RGB and thermal images in, semantic masks out.

    Raises:
        SartmError: an unknown parameter, or a value that is not allowed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("segment", **options)
        self._autostart = self.declare_parameter(
            "autostart",
            True,
            ParameterDescriptor(
                description="configure and activate at start; false under a lifecycle manager",
                read_only=True,
            ),
        ).value
        try:
            self.parameters = parameters.declare(self)
        except SartmError:
            self.destroy_node()
            raise
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._state = "unconfigured"
        self._problem = ""
        self._built: float | None = None
        self._active_since_ns = 0
        self._ledger = Ledger()
        self._pairing = Pairing(self.parameters.sync)
        self._mailbox: Mailbox[Job] = Mailbox(self._ledger.lock)
        self._latencies = Latencies()
        self._warnings = Warnings(self.get_logger())
        self._worker: Worker | None = None
        self._outputs: Outputs | None = None
        self._intake: Intake | None = None
        self._model: dict[str, str] = {}
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/reload_model", self._on_reload)
        self._report_lock = threading.Lock()
        self._reported = self.accounts()
        self._reported_at = time.monotonic()
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", qos.diagnostics_out()
        )
        self._monitor = Monitor(self._report)

    def start(self) -> None:
        """Configure and activate, unless ``autostart`` is off. A failure leaves the node alive."""
        if not self._autostart:
            self.get_logger().info("autostart is off: waiting to be configured")
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def stop(self) -> None:
        """Finish the mask in the making, give the final accounting and free everything."""
        self._monitor.stop()
        if self._state != "finalized":
            self.trigger_shutdown()

    def accounts(self) -> Accounts:
        """Where every message went so far."""
        with self._ledger.lock:
            in_flight = {
                "mailbox": _counts(self._mailbox.waiting),
                "model": _counts(self._mailbox.in_hand),
            }
            return self._ledger.accounts(self._pairing.counters, in_flight)

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configuring", "inactive", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_activate(state)
        return self._transition("activating", "active", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._transition("deactivating", "inactive", self._deactivate)
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("cleaning up", "unconfigured", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._state == "active":
            self._transition("deactivating", "inactive", self._deactivate)
            super().on_shutdown(state)
        return self._transition("shutting down", "finalized", self._release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("recovering", "unconfigured", self._release)

    def _transition(
        self, during: str, after: str, step: Callable[[], None]
    ) -> TransitionCallbackReturn:
        """Run ``step``; rclpy would swallow its exceptions without a word."""
        before, self._state = self._state, during
        try:
            step()
        except SartmError as error:
            self._state, self._problem = before, str(error)
            self.get_logger().error(f"{during} failed: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self._state, self._problem = before, f"{during} failed: {error}"
            self.get_logger().error(f"{during} failed:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        self._state = after
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._problem = ""
        if not self.parameters.model.path:
            self.get_logger().warning(
                f"no model.path given: using {parameters.DEMO_BUNDLE}, trained on synthetic "
                "scenes only"
            )
        segmenter = self._load()
        self._mailbox = Mailbox(self._ledger.lock)
        self._outputs = Outputs(self)
        self._worker = Worker(
            self._mailbox,
            self._ledger,
            publish=self._publish,
            refused=lambda error: self._warnings.refused("rgb/image", error),
            failed=self._on_failure,
        )
        self._intake = Intake(self, self._ledger, self._mailbox, self._pairing, self._warnings)
        self._use(segmenter)

    def _activate(self) -> None:
        assert self._intake is not None
        self._active_since_ns = time.monotonic_ns()
        self._intake.open()
        for stream in ("rgb", "thermal"):
            self.get_logger().info(
                f"{stream} images expected on {self.resolve_topic_name(f'{stream}/image')}"
            )

    def _deactivate(self) -> None:
        assert self._intake is not None
        self._intake.close(self.parameters.sync)
        self._mailbox.wait_until_idle(FINISH_WITHIN_S)
        self._report()
        self._diagnostics.wait_for_all_acked(Duration(seconds=0.2))
        self.get_logger().info(f"accounting {json.dumps(self.accounts().as_json())}")

    def _release(self) -> None:
        if self._intake is not None:
            self._intake.destroy()
        if self._worker is not None:
            self._worker.close(FINISH_WITHIN_S)
        if self._outputs is not None:
            self._outputs.destroy()
        self._intake = self._worker = self._outputs = None
        self._model = {}

    # Model

    def _load(self) -> core.Segmenter:
        model = self.parameters.model
        try:
            segmenter = core.load(
                model.bundle,
                model.runtime,
                precision=model.precision,
                threads=model.thread_count,
                engine_cache=model.engine_folder,
                allow_build=model.allow_build,
                on_progress=self._on_progress,
                thermal=self.parameters.thermal.spec(),
                min_confidence=self.parameters.output.min_confidence,
            )
        finally:
            self._built = None
        try:
            segmenter.warm_up()
        except BaseException:
            segmenter.close()
            raise
        return segmenter

    def _on_progress(self, share: float) -> None:
        """An engine is being built: the diagnostics, which have their own thread, tell how far."""
        self._built = share

    def _use(self, segmenter: core.Segmenter) -> None:
        """Run ``segmenter`` from the next job on."""
        assert self._worker is not None
        assert self._outputs is not None
        bundle, runtime = segmenter.bundle, segmenter.runtime
        sha256 = bundle.sha256(runtime.precision)
        self._worker.segmenter = segmenter
        self._outputs.announce(bundle, sha256)
        self._model = {
            "name": bundle.name,
            "path": str(bundle.path),
            "sha256": sha256,
            "runtime": runtime.name,
            "device": runtime.device,
            "precision": runtime.precision,
            "threads": str(self.parameters.model.thread_count),
        }
        self.get_logger().info(
            f"model {bundle.name} ({sha256[:12]}, {runtime.precision}) on {runtime.name} "
            f"{runtime.device}"
        )
        self._apply(self.parameters)

    # Parameters and services

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            new = parameters.changed(
                self.parameters, changes, configured=self._state != "unconfigured"
            )
        except SartmError as error:
            return SetParametersResult(successful=False, reason=str(error))
        old, self.parameters = self.parameters, new
        if new.sync != old.sync:
            if self._intake is not None:
                self._intake.set_sync(new.sync)
            else:
                with self._ledger.lock:
                    self._pairing.restart(new.sync, "parameters_changed", time.monotonic_ns())
        self._apply(new)
        return SetParametersResult(successful=True)

    def _apply(self, new: parameters.Parameters) -> None:
        if self._worker is not None and self._worker.segmenter is not None:
            self._worker.segmenter.thermal = new.thermal.spec()
            self._worker.segmenter.min_confidence = new.output.min_confidence
            self._worker.segmenter.output_size = new.output.size
        if self._intake is not None:
            self._intake.set_max_rate(new.output.max_rate_hz)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._intake is None:
            response.message = f"the node is {self._state}; remedy: configure it first"
            return response
        self._intake.enabled = request.data
        response.success = True
        response.message = "enabled" if request.data else "disabled: images are dropped"
        return response

    async def _on_reload(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._worker is None:
            response.message = f"the node is {self._state}; remedy: configure it first"
            return response
        outcome: Any = Future(executor=self.executor)
        # A finished future alone does not wake the executor that awaits it.
        outcome.add_done_callback(lambda _: self.executor.wake())
        self._mailbox.call(lambda: outcome.set_result(self._reload()))
        problem = await outcome
        response.success = not problem
        response.message = problem or f"model {self._model['name']} reloaded"
        return response

    def _reload(self) -> str:
        """Load the model again, in the worker; returns what went wrong (the old one stays then)."""
        assert self._worker is not None
        old = self._worker.segmenter
        try:
            self._use(self._load())
        except Exception as error:
            self.get_logger().error(f"reload failed, the old model stays in service: {error}")
            return str(error)
        if old is not None:
            old.close()
        return ""

    # Worker's callbacks

    def _publish(self, result: Result) -> None:
        assert self._outputs is not None
        self._latencies.add(self._outputs.publish(result))

    def _on_failure(self, error: Exception) -> None:
        self._problem = f"the model failed: {error}"
        self._warnings.say(
            "failure", f"no mask for this frame: {''.join(traceback.format_exception(error))}"
        )

    # Diagnostics

    def _report(self) -> None:
        """Publish /diagnostics; called from the monitor's thread and on deactivation."""
        with self._report_lock:
            now = time.monotonic()
            health = self._health()
            message = DiagnosticArray()
            message.header.stamp = self.get_clock().now().to_msg()
            message.status = statuses(
                self.get_name(), health, self._reported, max(now - self._reported_at, 1e-3)
            )
            self._diagnostics.publish(message)
            self._reported, self._reported_at = health.accounts, now
            if health.model:
                self._problem = ""
        if health.busy_s > self.parameters.diagnostics.hang_s:
            self._end_process(health.busy_s)

    def _health(self) -> Health:
        since = self._mailbox.in_hand_since_ns
        inferring = since is not None and self._mailbox.in_hand is not None
        return Health(
            state=self._state,
            parameters=self.parameters,
            accounts=self.accounts(),
            streams={stream: self._stream(stream) for stream in ("rgb", "thermal")},
            enabled=self._intake is None or self._intake.enabled,
            problem=self._problem,
            built=self._built,
            model=self._model,
            latencies_ms=self._latencies.summary(),
            slowest_ms=self._latencies.take_slowest_ms(),
            busy_s=(time.monotonic_ns() - since) / SECOND if inferring and since else 0.0,
        )

    def _stream(self, stream: str) -> Stream:
        topic = self.resolve_topic_name(f"{stream}/image")
        last = self._intake.last_arrival_ns[stream] if self._intake is not None else None
        return Stream(
            topic=topic,
            publishers=self.count_publishers(topic),
            silent_s=(time.monotonic_ns() - (last or self._active_since_ns)) / SECOND,
            ever=last is not None,
        )

    def _end_process(self, busy_s: float) -> None:
        """A hung engine cannot be freed: only a new process helps."""
        self.get_logger().fatal(
            f"an inference has not returned for {busy_s:.1f} s (diagnostics.hang_s "
            f"{self.parameters.diagnostics.hang_s:g}): ending the process"
        )
        self._diagnostics.wait_for_all_acked(Duration(seconds=0.2))
        os._exit(1)


def _counts(job: Job | None) -> int:
    return int(job is not None and job.with_rgb)
