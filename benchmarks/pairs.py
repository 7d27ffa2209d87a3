"""Four pairs of cameras on one engine, faster than it can: does each get its quarter?

    python -m benchmarks.pairs [--model sartm-demo] [--seconds 20]

Fails unless every pair's masks come within 10 % of a quarter of them all, and all together at 90 %
of what one pair alone can get.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rclpy.node import Node

from sartm_core.data.bags import with_stamp
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import progress
from sartm_ros.node_bench import HEIGHT, WIDTH, noise_pair
from sartm_ros.replay.node_process import NodeProcess, ended_by_signals, isolate_this_process
from sartm_ros.replay.player import Outgoing, Player
from sartm_ros.replay.recorder import Recorder
from sartm_ros.replay.session import READY_TIMEOUT_S, node_command, ros_node, spinning

RESULT = Path(__file__).parent / "results" / "pairs.json"
NAMESPACE = "/sartm_pairs"
PAIRS = ("front", "rear", "left", "right")
OVERLOAD = 1.5
SHARE_TOLERANCE = 0.1
LEAST_OF_CAPACITY = 0.9


class Cameras:
    """Publishes noise for some of the pairs at a rate, and counts the masks of each."""

    def __init__(self, node: Node, process: NodeProcess) -> None:
        self._raw = noise_pair(WIDTH, HEIGHT)
        streams = [f"{pair}/{stream}" for pair in PAIRS for stream in self._raw]
        self._player = Player(node, {name: f"{NAMESPACE}/{name}/image" for name in streams})
        self._recorders = {
            pair: Recorder(node, f"{NAMESPACE}/segment/{pair}", lambda topic, kind, raw: None)
            for pair in PAIRS
        }
        self._process = process
        self._stamp_ns = 0

    def wait_until_ready(self) -> None:
        first = self._recorders[PAIRS[0]]
        first.wait(self._player.matched, READY_TIMEOUT_S, self._process.check)

    def rates_hz(self, pairs: tuple[str, ...], rate_hz: float, seconds: float) -> dict[str, float]:
        """Masks per second of each pair while images of ``pairs`` come at ``rate_hz`` each."""
        before = {pair: len(recorder.masks) for pair, recorder in self._recorders.items()}
        start, sent = time.monotonic(), 0
        while (now := time.monotonic() - start) < seconds:
            if sent > now * rate_hz:
                time.sleep(0.001)
                continue
            self._stamp_ns += 1_000_000_000
            for pair in pairs:
                for stream in ("thermal", "rgb"):
                    raw = with_stamp(self._raw[stream], self._stamp_ns)
                    name = f"{pair}/{stream}"
                    self._player.publish(Outgoing(0, name, self._stamp_ns, raw, self._stamp_ns, 0))
            sent += 1
        return {
            pair: (len(recorder.masks) - before[pair]) / seconds
            for pair, recorder in self._recorders.items()
        }


def measure(model: str, seconds: float, logs: Path) -> dict[str, Any]:
    parameters = {"model.path": model, "pairs": list(PAIRS)}
    command = node_command("sartm_ros.segment_node", NAMESPACE, parameters)
    with (
        NodeProcess(command, os.environ, logs / "node.log") as process,
        ros_node("cameras", NAMESPACE) as node,
    ):
        cameras = Cameras(node, process)
        with spinning(node), progress("one pair, then four", 2) as bar:
            cameras.wait_until_ready()
            cameras.rates_hz(PAIRS[:1], 30.0, 2.0)
            slow = cameras.rates_hz(PAIRS[:1], 30.0, seconds / 2)[PAIRS[0]]
            alone = cameras.rates_hz(PAIRS[:1], OVERLOAD * slow, seconds)[PAIRS[0]]
            bar.advance()
            rates = cameras.rates_hz(PAIRS, OVERLOAD * alone / len(PAIRS), seconds)
            bar.advance()
    quarter = sum(rates.values()) / len(PAIRS)
    checks = {
        "each within 10 % of a quarter": all(
            abs(rate - quarter) <= SHARE_TOLERANCE * quarter for rate in rates.values()
        ),
        "together 90 % of one pair alone": sum(rates.values()) >= LEAST_OF_CAPACITY * alone,
    }
    return {
        "model": model,
        "seconds": seconds,
        "input_hz": round(OVERLOAD * alone, 2),
        "one_pair_hz": round(alone, 2),
        "pairs_hz": {pair: round(rate, 2) for pair, rate in rates.items()},
        "checks": checks,
        "passed": all(checks.values()),
        "machine": describe_machine(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="sartm-demo")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    isolate_this_process()
    with ended_by_signals(), tempfile.TemporaryDirectory() as logs:
        result = measure(options.model, options.seconds, Path(logs))
    write_json_atomic(options.out, result)
    print(json.dumps(result, indent=2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
