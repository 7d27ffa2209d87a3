"""Faults around the node: who listens to it, who sets its parameters, its clock and its model."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from sartm_core.errors import SartmError
from sartm_ros.faults import alterations as alter
from sartm_ros.faults.description import Fault, Harmless, Told
from sartm_ros.faults.rig import Rig
from sartm_ros.replay.node_process import NodeProcess

_STORM_HZ = 100.0
_CLOCK_HZ = 20.0
_READY_TIMEOUT_S = 30.0
_LAST_MASKS_S = 10.0
_SAFE = ("output.min_confidence", "output.max_rate_hz", "thermal.contract", "sync.slop_s")
_REFUSED = {"output.min_confidence": 7.0, "sync.mode": "fastest", "no.such.parameter": 1}


@contextmanager
def _deaf_subscriber(rig: Rig) -> Iterator[None]:
    command = [sys.executable, "-m", "sartm_ros.faults.deaf_subscriber", rig.target]
    with (
        TemporaryDirectory() as folder,
        NodeProcess(command, os.environ, Path(folder) / "log") as process,
    ):
        end = time.monotonic() + _READY_TIMEOUT_S
        while "ready" not in process.last_words():
            process.check()
            if time.monotonic() > end:
                raise SartmError("the subscriber finds no publisher", got=process.last_words())
            time.sleep(0.05)
        process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send(signal.SIGCONT)


@contextmanager
def _parameter_storm(rig: Rig) -> Iterator[None]:
    values = rig.client.parameters(*_SAFE)
    over = threading.Event()
    count = 0

    def storm() -> None:
        nonlocal count
        while not over.wait(1.0 / _STORM_HZ):
            rig.client.set_parameters(values)
            if len(rig.client.set_parameters(_REFUSED)) != len(_REFUSED):
                raise SartmError("the node took a parameter that is not allowed")
            count += 1

    thread = threading.Thread(target=storm, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        rig.notes["changes"] = count * (len(values) + len(_REFUSED))


@contextmanager
def _sim_pause(rig: Rig) -> Iterator[None]:
    publisher = rig.node.create_publisher(Clock, "/clock", QoSProfile(depth=1))
    paused, over = threading.Event(), threading.Event()

    def tick() -> None:
        while not over.wait(1.0 / _CLOCK_HZ):
            if not paused.is_set():
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(time.time_ns(), 10**9)
                publisher.publish(message)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        with rig.client.with_parameters({"use_sim_time": True}):
            with rig.cameras.altered(alter.silent, "rgb", "thermal"):
                paused.set()
                yield
            paused.clear()
    finally:
        over.set()
        thread.join()
        rig.node.destroy_publisher(publisher)


@contextmanager
def _qos_mismatch(rig: Rig) -> Iterator[None]:
    rig.cameras.plug_in("thermal", reliable=False)
    try:
        yield
    finally:
        rig.cameras.plug_in("thermal")


@contextmanager
def _model_file_deleted(rig: Rig) -> Iterator[None]:
    with _model_file(rig) as path:
        path.unlink()
        yield


@contextmanager
def _broken_reload(rig: Rig) -> Iterator[None]:
    with _model_file(rig) as path:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        if rig.client.reload().success:
            raise SartmError("the node has loaded a damaged model")
        yield
    if not (answer := rig.client.reload()).success:
        raise SartmError("the node does not load the repaired model", got=answer.message)


@contextmanager
def _model_file(rig: Rig) -> Iterator[Path]:
    """The bundle's model file; at the end it is as before."""
    assert rig.bundle is not None
    path = rig.bundle / "model.onnx"
    content = path.read_bytes()
    try:
        yield path
    finally:
        path.write_bytes(content)


@contextmanager
def _raises_once(rig: Rig) -> Iterator[None]:
    from sartm_ros.faults import poison

    with rig.cameras.altered(alter.poisoned_once(poison.RAISES), "rgb"):
        yield


@contextmanager
def _raises_always(rig: Rig) -> Iterator[None]:
    from sartm_ros.faults import poison

    with rig.cameras.altered(alter.poisoned(poison.RAISES), "rgb"):
        yield


@contextmanager
def _dawdles(rig: Rig) -> Iterator[None]:
    from sartm_ros.faults import poison

    with rig.cameras.altered(alter.poisoned(poison.DAWDLES), "rgb"):
        yield
    # It lasts until the mask in the making and the one that waits are made.
    masks = rig.watch.masks
    rig.watch.wait(lambda: rig.watch.masks > masks + 2, _LAST_MASKS_S, rig.alive)


FAULTS = (
    Fault(
        name="deaf_subscriber",
        does="a subscriber of every output is stopped (SIGSTOP): it reads and acknowledges nothing",
        expected=Harmless(),
        inject=_deaf_subscriber,
    ),
    Fault(
        name="parameter_storm",
        does="parameters are set without a pause, to what they are and to what is refused",
        expected=Harmless(),
        inject=_parameter_storm,
    ),
    Fault(
        name="sim_pause",
        does="with use_sim_time, /clock stands still and no image comes",
        cameras=("rgb", "thermal"),
        expected=Told("rgb input", "ERROR", "/clock stands still"),
        inject=_sim_pause,
        needs=frozenset({"own"}),
    ),
    Fault(
        name="qos_mismatch",
        does="the thermal driver offers best effort where the node is set to ask for reliable",
        cameras=("thermal",),
        expected=Told("thermal input", "WARN", "offers a reliability"),
        inject=_qos_mismatch,
        needs=frozenset({"own"}),
        reconnects=True,
    ),
    Fault(
        name="model_file_deleted",
        does="model.onnx of the model in service is deleted",
        expected=Harmless(),
        inject=_model_file_deleted,
        needs=frozenset({"own"}),
    ),
    Fault(
        name="broken_reload",
        does="~/reload_model meets a damaged model.onnx",
        expected=Told("model", "ERROR", "the old model stays in service"),
        inject=_broken_reload,
        needs=frozenset({"own"}),
    ),
    Fault(
        name="engine_raises_once",
        does="the engine raises an exception for one image",
        expected=Told("model", "ERROR", "the model failed"),
        inject=_raises_once,
        needs=frozenset({"own", "poison"}),
    ),
    Fault(
        name="engine_raises_always",
        does="the engine raises an exception for every image",
        expected=Told("model", "ERROR", "the model failed"),
        inject=_raises_always,
        needs=frozenset({"own", "poison"}),
    ),
    Fault(
        name="slow_inference",
        does="every inference takes a second",
        expected=Told("output", "WARN", "diagnostics.max_processing_ms"),
        inject=_dawdles,
        needs=frozenset({"own", "poison"}),
    ),
)
