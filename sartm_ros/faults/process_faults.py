"""Faults that a process survives, or not: signals, a full disk, a hang, many transitions."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from std_srvs.srv import Trigger

from sartm_core.errors import SartmError
from sartm_ros.faults import alterations as alter
from sartm_ros.faults.description import Ends, Fault, Harmless, Inject
from sartm_ros.faults.leaks import Usage, endpoints_of, history
from sartm_ros.faults.own_node import OwnNode
from sartm_ros.faults.rig import Rig

CYCLES = 100
CYCLE = ("deactivate", "cleanup", "configure", "activate")


def _own(rig: Rig) -> OwnNode:
    assert rig.own is not None
    return rig.own


@contextmanager
def _disk_full(rig: Rig) -> Iterator[None]:
    pid = _own(rig).process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    with TemporaryDirectory() as folder, rig.client.with_parameters({"output.save_folder": folder}):
        # Every write to a file fails, the log's too, as it does on a full disk.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            if not (answer := rig.client.reload()).success:
                raise SartmError("no model is loaded while the disk is full", got=answer.message)
            saved = rig.client.call(Trigger, "save_frame", Trigger.Request())
            if saved.success or "cannot be saved" not in saved.message:
                raise SartmError("a frame is saved on a full disk", got=saved.message)
            rig.notes["save_frame"] = saved.message
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def _hangs(rig: Rig) -> Iterator[None]:
    from sartm_ros.faults import poison

    rig.client.set_parameters({"diagnostics.hang_s": 1.0})
    with rig.cameras.altered(alter.poisoned(poison.HANGS), "rgb"):
        yield
    _own(rig).restart()


def _ended_by(number: signal.Signals) -> Inject:
    """The signal in each state that the node can wait in; while it is active comes last."""

    @contextmanager
    def inject(rig: Rig) -> Iterator[None]:
        own = _own(rig)
        for state, transitions in (
            ("inactive", ("deactivate",)),
            ("unconfigured", ()),
            ("finalized", ("shutdown",)),
        ):
            for transition in transitions:
                rig.client.transition(transition)
            begin = time.monotonic()
            own.end(number)
            rig.notes[f"ended_s.{state}"] = round(time.monotonic() - begin, 2)
            own.start(autostart=state == "finalized")
            rig.client.wait_until_it_answers()
        rig.wait_until_healthy()
        own.process.send(number)
        yield
        own.start()

    return inject


@contextmanager
def _lifecycle_cycles(rig: Rig) -> Iterator[None]:
    begin, usages = time.monotonic(), [_usage(rig)]
    for _ in range(2):
        for _ in range(CYCLES // 2):
            for transition in CYCLE:
                rig.client.transition(transition)
        usages.append(_usage(rig))
    rig.notes |= {"seconds": round(time.monotonic() - begin, 1), **history(usages)}
    # The allocator takes its fill in the first half.
    if leaks := usages[2].leaks(usages[1]):
        raise SartmError("the second half of the cycles leaks", got="; ".join(leaks))
    yield


def _usage(rig: Rig) -> Usage:
    assert rig.pid is not None
    return Usage.of(rig.pid, endpoints_of(rig.target, rig.node))


_PROCESS = frozenset({"own", "process"})

FAULTS = (
    Fault(
        name="lifecycle_cycles",
        does=f"{CYCLES} times: {', '.join(CYCLE)}",
        expected=Harmless(),
        inject=_lifecycle_cycles,
        needs=frozenset({"own"}),
        reconnects=True,
    ),
    Fault(
        name="disk_full",
        does="no file can be written; meanwhile the model is loaded again, a frame is to be saved",
        expected=Harmless(),
        inject=_disk_full,
        needs=_PROCESS,
    ),
    Fault(
        name="inference_hangs",
        does="an inference does not return (diagnostics.hang_s is 1); the node is started again",
        expected=Ends(1, "ending the process"),
        inject=_hangs,
        needs=_PROCESS | {"poison"},
        reconnects=True,
    ),
    Fault(
        name="sigint",
        does="SIGINT while inactive, unconfigured, finalized and active; started again each time",
        expected=Ends(0, "accounting"),
        inject=_ended_by(signal.SIGINT),
        needs=_PROCESS,
        reconnects=True,
    ),
    Fault(
        name="sigterm",
        does="SIGTERM while inactive, unconfigured, finalized and active; started again each time",
        expected=Ends(0, "accounting"),
        inject=_ended_by(signal.SIGTERM),
        needs=_PROCESS,
        reconnects=True,
    ),
)
