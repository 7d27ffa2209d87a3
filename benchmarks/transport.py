"""How many best-effort images reach the node, with and without the DDS profile of sartm.

    python -m benchmarks.transport [--seconds 60] [--model sartm-demo]

Publisher and node are two processes; RGB at the full rate, thermal (half the size) at 9 Hz.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sartm_core.data.bags import with_stamp
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console
from sartm_ros.node_bench import noise_pair
from sartm_ros.replay.node_process import NodeProcess, isolated_environment
from sartm_ros.replay.player import Outgoing, Player
from sartm_ros.replay.recorder import Recorder
from sartm_ros.replay.session import node_command, ros_node, spinning, wait_until_ready

RESULT = Path(__file__).parent / "results" / "transport.json"
NAMESPACE = "/sartm_transport"
CASES = (
    {"width": 640, "height": 480, "rate_hz": 30.0},
    {"width": 1920, "height": 1080, "rate_hz": 15.0},
)
THERMAL_HZ = 9.0
LAST_WORD_S = 3.0
"""After the last image: long enough for two more reports of the node."""


def run(case: dict[str, Any], seconds: float, model: str, logs: Path) -> dict[str, Any]:
    """Publish for a while; returns the counts of the RGB and the thermal topic."""
    width, height, rate_hz = case["width"], case["height"], case["rate_hz"]
    rgb = noise_pair(width, height)["rgb"]
    thermal = noise_pair(width // 2, height // 2)["thermal"]
    topics = {stream: f"{NAMESPACE}/{stream}/image" for stream in ("rgb", "thermal")}
    command = node_command("sartm_ros.segment_node", NAMESPACE, {"model.path": model})
    schedule = sorted(
        [(i / rate_hz, "rgb", rgb) for i in range(round(seconds * rate_hz))]
        + [(i / THERMAL_HZ, "thermal", thermal) for i in range(round(seconds * THERMAL_HZ))],
        key=lambda entry: entry[0],
    )
    with (
        NodeProcess(command, os.environ, logs / "node.log") as process,
        ros_node("camera", NAMESPACE) as node,
    ):
        recorder = Recorder(node, f"{NAMESPACE}/segment", lambda topic, kind, raw: None)
        player = Player(node, topics, reliable=False)
        with spinning(node):
            wait_until_ready(player, recorder, process)
            start = time.monotonic_ns()
            first_stamp = time.time_ns()
            for at, stream, raw in schedule:
                process.check()
                due = round(at * 1e9)
                stamp = first_stamp + due
                message = Outgoing(due, stream, stamp, with_stamp(raw, stamp), stamp, 0)
                player.publish_at(message, start)
            took = (time.monotonic_ns() - start) / 1e9
            recorder.wait(lambda: False, LAST_WORD_S, process.check)
            counts = {
                stream: _counts(player.sent[stream], recorder.diagnostics[f"{stream} input"])
                for stream in topics
            }
    return {**case, "seconds": round(took, 1), **counts}


def _counts(sent: int, diagnostics: dict[str, str]) -> dict[str, Any]:
    received = int(diagnostics["received"])
    return {
        "sent": sent,
        "received": received,
        "lost": sent - received,
        "lost_percent": round(100 * (sent - received) / sent, 2),
        "lost_in_transport": diagnostics["lost_in_transport"],
    }


def _in_its_own_process(case: dict[str, Any], profile: bool, options: Any) -> dict[str, Any]:
    """DDS reads its profile once per process."""
    command = [sys.executable, "-m", "benchmarks.transport", "--case", json.dumps(case)]
    command += ["--seconds", str(options.seconds), "--model", options.model]
    done = subprocess.run(
        command, env=isolated_environment(profile=profile), stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SartmError("the benchmark failed", got=f"exit code {done.returncode}")
    return {"profile": profile, **json.loads(done.stdout)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="sartm-demo")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.case:
            with tempfile.TemporaryDirectory() as logs:
                result = run(options.case, options.seconds, options.model, Path(logs))
            print(json.dumps(result))
            return 0
        rows = [
            _in_its_own_process(case, profile, options)
            for case in CASES
            for profile in (True, False)
        ]
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_json_atomic(options.out, {"runs": rows, "machine": describe_machine()})
    print(f"{'best effort':<16}{'Hz':>4}  {'profile':<8}{'sent':>6}{'received':>10}{'lost':>8}")
    for row in rows:
        size, rgb = f"{row['width']}x{row['height']}", row["rgb"]
        print(
            f"{size:<16}{row['rate_hz']:>4.0f}  {'sartm' if row['profile'] else 'none':<8}"
            f"{rgb['sent']:>6}{rgb['received']:>10}{rgb['lost_percent']:>7.2f}%"
        )
    console.print(f"written to {options.out}")
    good = all(row["rgb"]["lost_percent"] < 1 for row in rows if row["profile"])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
