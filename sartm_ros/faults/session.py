"""A rig around a node of one's own or around one that runs already, and what is done in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sartm_ros.faults import live_node, trial
from sartm_ros.faults.cameras import Cameras
from sartm_ros.faults.description import Fault
from sartm_ros.faults.node_client import NodeClient
from sartm_ros.faults.own_node import NAMESPACE, TARGET, TOPICS, OwnNode
from sartm_ros.faults.rig import Rig
from sartm_ros.faults.trial import Outcome
from sartm_ros.faults.watch import Watch
from sartm_ros.replay.session import ros_node, spinning


@contextmanager
def own_rig(model: str, folder: Path, parameters: Mapping[str, Any]) -> Iterator[Rig]:
    """A rig around a node of our own; call it in a process whose environment is isolated.

    Args:
        model: bundle folder or shipped name.
        folder: for its copy and the node's logs.
        parameters: of the node.

    Raises:
        SartmError: the model is missing or damaged.
    """
    with (
        OwnNode(model, folder, parameters) as own,
        ros_node("faults", NAMESPACE) as node,
        spinning(node),
        Cameras(node, TOPICS["rgb"], TOPICS["thermal"]) as cameras,
    ):
        yield Rig(
            node,
            TARGET,
            cameras,
            Watch(node, TARGET),
            own=own,
            bundle=own.bundle,
            offers=own.offers,
        )


@contextmanager
def live_rig(target: str, pair: str) -> Iterator[Rig]:
    """A rig around the node ``target``, which goes on running.

    Raises:
        SartmError: see :func:`live_node.find_topics`.
    """
    with ros_node("sartm_faults", "/") as node, spinning(node):
        watch = Watch(node, target, pair)
        topics = live_node.find_topics(node, watch, target, pair)
        encoding = live_node.thermal_encoding(NodeClient(node, target), pair)
        with Cameras(node, topics["rgb"], topics["thermal"], thermal_encoding=encoding) as cameras:
            yield Rig(node, target, cameras, watch)


def run_all(
    faults: Iterable[Fault], rig: Rig, *, told: Callable[[Fault, Outcome], None]
) -> list[Outcome]:
    """Do one fault after the other.

    Args:
        faults: what to do.
        rig: to which node. After a failure one of our own is started again, and a live one is left
            alone unless it is healthy.
        told: called with each outcome.
    """
    outcomes = []
    for fault in faults:
        outcome = trial.attempt(fault, rig)
        outcomes.append(outcome)
        told(fault, outcome)
        if outcome.problems and rig.own is not None:
            rig.restart()
        elif outcome.problems and outcome.recovered_s is None:
            break
    return outcomes


def run_healthy(rig: Rig, seconds: float) -> dict[str, Any]:
    """Run healthy cameras for some time: how often a status was not OK, and whether books close.

    Raises:
        SartmError: the node is not healthy to begin with, or ends.
    """
    rig.wait_until_healthy()
    rig.close_books()
    rig.wait_until_healthy()
    begin, masks, sent = time.monotonic_ns(), rig.watch.masks, rig.cameras.sent
    end = begin + round(seconds * 1e9)
    rig.watch.wait(lambda: time.monotonic_ns() >= end, seconds, rig.alive)
    reports = rig.watch.since(begin)
    return {
        "seconds": seconds,
        "reports": len(reports),
        "masks": rig.watch.masks - masks,
        "sent": {name: count - sent[name] for name, count in rig.cameras.sent.items()},
        "stalls": rig.cameras.stalls,
        "not_ok": [
            {"after_s": round((report.arrived_ns - begin) / 1e9, 1), "status": line}
            for report in reports
            for line in report.troubles
        ],
        "mismatches": rig.close_books(),
    }
