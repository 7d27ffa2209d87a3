"""The managed node ``segment``: its states, parameters and services. See docs/ros.md."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from sartm_core import segmenter as core
from sartm_core.errors import MissingEngineError, SartmError
from sartm_ros import qos, settings
from sartm_ros.accounting import Accounts, Ledger
from sartm_ros.camera_pair import CameraPair
from sartm_ros.camera_stream import SECOND
from sartm_ros.class_map import ClassMap
from sartm_ros.diagnostics import Monitor, statuses
from sartm_ros.health import Health
from sartm_ros.mailbox import Mailbox
from sartm_ros.model_loader import ModelLoader
from sartm_ros.parameters import DEMO_BUNDLE, ModelParameters
from sartm_ros.throttle import Warnings
from sartm_ros.worker import Job, Worker

FINISH_WITHIN_S = 1.0
"""How long a transition waits for the mask in the making."""


class SegmentNode(LifecycleNode):
    """RGB and thermal images in, semantic masks out, for one pair of cameras or several.

    Raises:
        SartmError: an unknown parameter, or a value that is not allowed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("segment", **options)
        self._autostart = self.declare_parameter("autostart", True, settings.AUTOSTART).value
        try:
            self.settings = settings.declare(self)
        except SartmError:
            self.destroy_node()
            raise
        self._state = "unconfigured"
        self._problem = ""
        self._built: float | None = None
        self._enabled = True
        self._lock = threading.RLock()
        self._warnings = Warnings(self.get_logger())
        self.pairs = [
            CameraPair(self, name, slot, self.settings.of(name), Ledger(self._lock), self._warnings)
            for slot, name in enumerate(self.settings.pairs)
        ]
        self._mailbox: Mailbox[Job] = Mailbox(self._lock, len(self.pairs))
        self._worker: Worker | None = None
        self._loader: ModelLoader | None = None
        self._class_map: ClassMap | None = None
        self._model: dict[str, str] = {}
        self._in_service: ModelParameters | None = None
        self._wanted = self.settings.common.model
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.create_service(SetBool, "~/enable", self._on_enable)
        # These wait for other threads; images, in the node's own group, must not wait with them.
        waiting = ReentrantCallbackGroup()
        for name, callback in (
            ("reload_model", self._on_reload),
            ("save_frame", self._on_save_frame),
        ):
            self.create_service(Trigger, f"~/{name}", callback, callback_group=waiting)
        self._report_lock = threading.Lock()
        self._reported = {pair.name: pair.accounts() for pair in self.pairs}
        self._reported_at = time.monotonic()
        self._clock_read_ns = 0
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", qos.diagnostics_out()
        )
        self._monitor = Monitor(self._report, self._on_report_failed)

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

    def accounts(self, pair: int = 0) -> Accounts:
        """Where every message of a pair of cameras went so far."""
        return self.pairs[pair].accounts()

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
        model = self._wanted = self.settings.common.model
        if not model.path:
            self.get_logger().warning(
                f"no model.path given: using {DEMO_BUNDLE}, trained on synthetic scenes only"
            )
        segmenter = self._load_without_build(model)
        self._mailbox = Mailbox(self._lock, len(self.pairs))
        self._class_map = ClassMap(self)
        for pair in self.pairs:
            pair.configure(self._mailbox)
            pair.enable(self._enabled)
        self._worker = Worker(self._mailbox, self.pairs, failed=self._on_failure)
        self._loader = ModelLoader(self._load)
        if segmenter is not None:
            self._use(model, segmenter)
        else:
            self._request(model)

    def _activate(self) -> None:
        for pair in self.pairs:
            pair.open()

    def _deactivate(self) -> None:
        for pair in self.pairs:
            pair.close()
        self._mailbox.wait_until_idle(FINISH_WITHIN_S)
        self._report()
        self._diagnostics.wait_for_all_acked(Duration(seconds=0.2))
        named = {pair.name: pair.accounts().as_json() for pair in self.pairs}
        self.get_logger().info(f"accounting {json.dumps(named.get('', named))}")

    def _release(self) -> None:
        if self._loader is not None:
            self._loader.close()
        if self._worker is not None:
            self._worker.close(FINISH_WITHIN_S)
        for pair in self.pairs:
            pair.destroy()
        if self._class_map is not None:
            self._class_map.destroy()
        self._worker = self._loader = self._class_map = self._in_service = None
        self._model = {}

    # Model

    def _load_without_build(self, model: ModelParameters) -> core.Segmenter | None:
        """The model, or None if an engine must be built first, and may be."""
        try:
            return self._load(replace(model, allow_build=False))
        except MissingEngineError:
            if not model.allow_build:
                raise
            return None

    def _load(self, model: ModelParameters) -> core.Segmenter:
        try:
            segmenter = core.load(
                model.bundle,
                model.runtime,
                precision=model.precision,
                threads=model.thread_count,
                engine_cache=model.engine_folder,
                allow_build=model.allow_build,
                on_progress=self._on_progress,
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

    def _request(
        self,
        model: ModelParameters,
        answer: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """Load ``model`` beside the one in service, then take it; ``answer`` is told what failed.

        Both run in other threads than the executor's.
        """
        assert self._loader is not None
        self._wanted = model
        loader, mailbox = self._loader, self._mailbox

        def take(segmenter: core.Segmenter) -> None:
            if loader.closed:
                segmenter.close()
                answer("the node was cleaned up meanwhile")
                return
            self._use(model, segmenter)
            answer("")

        def loaded(segmenter: core.Segmenter) -> None:
            if not mailbox.call(lambda: take(segmenter)):
                take(segmenter)

        def fail(error: Exception) -> None:
            self._on_load_failed(model, error)
            answer(str(error))

        loader.request(model, loaded=loaded, failed=fail)

    def _use(self, model: ModelParameters, segmenter: core.Segmenter) -> None:
        """Run ``segmenter`` from the next job on; called between two jobs, or before the first."""
        assert self._worker is not None
        assert self._class_map is not None
        old = self._worker.segmenters
        bundle, runtime = segmenter.bundle, segmenter.runtime
        sha256 = bundle.sha256(runtime.precision)
        self._worker.segmenters = [pair.segmenter(segmenter) for pair in self.pairs]
        self._class_map.publish(bundle.classes)
        for pair in self.pairs:
            pair.use(bundle, sha256, self._class_map.version)
        self._in_service = model
        self._problem = ""
        self._model = {
            "name": bundle.name,
            "path": str(bundle.path),
            "sha256": sha256,
            "runtime": runtime.name,
            "device": runtime.device,
            "precision": runtime.precision,
            "threads": str(model.thread_count),
        }
        self.get_logger().info(
            f"model {bundle.name} ({sha256[:12]}, {runtime.precision}) on {runtime.name} "
            f"{runtime.device}"
        )
        if old:
            old[0].close()

    def _on_load_failed(self, model: ModelParameters, error: Exception) -> None:
        service = self._in_service
        stays = "; the old model stays in service" if service else ""
        text = str(error) if isinstance(error, SartmError) else f"{type(error).__name__}: {error}"
        self._problem = f"the model was not loaded: {text}{stays}"
        self.get_logger().error(self._problem)
        if service is None or self._wanted != model or service == model:
            return
        self._wanted = service
        if self.executor is not None:
            self.executor.create_task(self._set_back, service)

    def _set_back(self, model: ModelParameters) -> None:
        """The parameters name the model in service again."""
        self.set_parameters(
            [
                Parameter(f"model.{name}", value=value)
                for name, value in asdict(model).items()
                if value != getattr(self.settings.common.model, name)
            ]
        )

    # Parameters and services

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            new = settings.changed(self.settings, changes)
        except SartmError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.settings = new
        for pair in self.pairs:
            pair.set_parameters(new.of(pair.name))
        if self._loader is not None and new.common.model != self._wanted:
            self._request(new.common.model)
        return SetParametersResult(successful=True)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._worker is None:
            response.message = f"the node is {self._state}; remedy: configure it first"
            return response
        self._enabled = request.data
        for pair in self.pairs:
            pair.enable(request.data)
        response.success = True
        response.message = "enabled" if request.data else "disabled: images are dropped"
        return response

    async def _on_reload(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._loader is None:
            response.message = f"the node is {self._state}; remedy: configure it first"
            return response
        outcome = self._outcome()
        self._request(self.settings.common.model, outcome.set_result)
        problem = await outcome
        response.success = not problem
        response.message = problem or f"model {self._model.get('name', '')} loaded"
        return response

    async def _on_save_frame(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._worker is None:
            response.message = f"the node is {self._state}; remedy: configure it first"
            return response
        outcome = self._outcome()
        self._mailbox.call(lambda: outcome.set_result(self._save()))
        response.success, response.message = await outcome
        return response

    def _save(self) -> tuple[bool, str]:
        """Write each pair's last frame; whether all went well, and what to say."""
        said = []
        for pair in self.pairs:
            try:
                said.append((True, f"saved in {pair.save()}"))
            except SartmError as error:
                said.append((False, f"{pair.name or 'the pair'}: {error}"))
        return all(done for done, _ in said), "; ".join(text for _, text in said)

    def _outcome(self) -> Any:
        """A future that another thread may finish while a service awaits it."""
        outcome: Any = Future(executor=self.executor)
        # A finished future alone does not wake the executor that awaits it.
        outcome.add_done_callback(lambda _: self.executor.wake())
        return outcome

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
            self._reported = {pair.name: pair.accounts for pair in health.pairs}
            self._reported_at = now
            if health.model and self._problem is health.problem:
                self._problem = ""
        if health.busy_s > health.parameters.diagnostics.hang_s:
            self._end_process(health.busy_s)

    def _on_report_failed(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        self._warnings.say("diagnostics", f"no diagnostics: {text}")

    def _health(self) -> Health:
        since = self._mailbox.in_hand_since_ns
        inferring = since is not None and self._mailbox.in_hand is not None
        steady_ns, clock_ns = time.monotonic_ns(), self.get_clock().now().nanoseconds
        stands, self._clock_read_ns = clock_ns == self._clock_read_ns, clock_ns
        return Health(
            state=self._state,
            parameters=self.settings.common,
            pairs=[pair.health() for pair in self.pairs],
            enabled=self._enabled,
            problem=self._problem,
            loading=self._loader is not None and self._loader.busy,
            built=self._built,
            model=self._model,
            busy_s=(steady_ns - since) / SECOND if inferring and since else 0.0,
            clock_ahead_s=(clock_ns - steady_ns) / SECOND,
            clock_stands=stands,
        )

    def _end_process(self, busy_s: float) -> None:
        """A hung engine cannot be freed: only a new process helps."""
        self.get_logger().fatal(
            f"an inference has not returned for {busy_s:.1f} s (diagnostics.hang_s "
            f"{self.settings.common.diagnostics.hang_s:g}): ending the process"
        )
        self._diagnostics.wait_for_all_acked(Duration(seconds=0.2))
        os._exit(1)
