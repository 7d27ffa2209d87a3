"""A segment node for faults alone: a process and a bundle of its own, to break at will."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sartm_core.bundle import load_bundle
from sartm_core.errors import SartmError
from sartm_ros.replay.node_process import NodeProcess
from sartm_ros.replay.session import node_command

NAMESPACE = "/sartm_faults"
TARGET = f"{NAMESPACE}/segment"
TOPICS = {stream: f"{NAMESPACE}/{stream}/image" for stream in ("rgb", "thermal")}
# A camera driver whose quality of service does not fit can only meet a node that asks for more than
# the default.
RELIABLE_THERMAL = {f"qos_overrides.{TOPICS['thermal']}.subscription.reliability": "reliable"}
# Of the default of 200 a busy machine may need more for a healthy model.
PATIENT = {"diagnostics.max_processing_ms": 800.0}
_EXIT_TIMEOUT_S = 20.0


class OwnNode:
    """Runs while the block does; may be ended and started again meanwhile.

    Args:
        model: bundle folder or shipped name; a copy of it is run.
        folder: for the copy and the logs.
        parameters: of the node, beside the model.

    Attributes:
        bundle: the copy.
        offers: which needs of faults are met.
    """

    def __init__(self, model: str, folder: Path, parameters: Mapping[str, Any]) -> None:
        self.bundle = folder / "bundle"
        self.offers = frozenset({"own", "process"})
        source = load_bundle(model)
        if find_spec("onnx") is not None:
            from sartm_ros.faults.poison import write_poisoned

            write_poisoned(source, self.bundle)
            self.offers |= {"poison"}
        else:
            shutil.copytree(source.path, self.bundle)
        self._folder = folder
        self._parameters = {
            "model.path": str(self.bundle),
            **RELIABLE_THERMAL,
            **PATIENT,
            **parameters,
        }
        self._starts = 0
        self._process: NodeProcess | None = None

    def __enter__(self) -> OwnNode:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stop()

    @property
    def process(self) -> NodeProcess:
        """The present one."""
        assert self._process is not None
        return self._process

    def start(self, *, autostart: bool = True) -> None:
        """Start a process; what ran before must have ended."""
        self._starts += 1
        parameters = {**self._parameters, "autostart": autostart}
        self._process = NodeProcess(
            node_command("sartm_ros.segment_node", NAMESPACE, parameters),
            os.environ,
            self._folder / f"node{self._starts}.log",
        )
        self._process.__enter__()

    def restart(self, *, autostart: bool = True) -> None:
        """End the process, whatever its state, and start another one."""
        self.process.stop()
        self.start(autostart=autostart)

    def end(self, number: signal.Signals) -> None:
        """End the process by a signal.

        Raises:
            SartmError: it does not end, or not with exit code 0.
        """
        self.process.send(number)
        code = self.process.wait(_EXIT_TIMEOUT_S)
        if code != 0:
            raise SartmError(
                f"the node does not end well on {number.name}",
                got="it still runs" if code is None else f"exit code {code}",
                expected="exit code 0",
            )
