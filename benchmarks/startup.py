"""From process start to the first mask, and the node's memory.

    python -m benchmarks.startup [--model sartm-s] [--runs 5]

The cameras publish 640x480 at 10 Hz before the node starts, as on a robot.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.data.bags import with_stamp
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import console
from sartm_ros.node_bench import HEIGHT, WIDTH, noise_pair
from sartm_ros.replay.node_process import NodeProcess, isolate_this_process
from sartm_ros.replay.player import Outgoing, Player
from sartm_ros.replay.recorder import Recorder
from sartm_ros.replay.session import node_command, ros_node, spinning

RESULT = Path(__file__).parent / "results" / "startup.json"
NAMESPACE = "/sartm_startup"
PERIOD_S = 0.1
MASKS = 50
TIMEOUT_S = 60.0
LIMIT_S, LIMIT_MIB = 3.0, 400.0


def run(model: str, logs: Path) -> tuple[float, float]:
    """Seconds from process start to the first mask, and peak MiB after ``MASKS`` masks."""
    raw = noise_pair(WIDTH, HEIGHT)
    command = node_command("sartm_ros.segment_node", NAMESPACE, {"model.path": model})
    stop = threading.Event()
    with ros_node("camera", NAMESPACE) as node:
        recorder = Recorder(node, f"{NAMESPACE}/segment", lambda topic, kind, data: None)
        player = Player(node, {stream: f"{NAMESPACE}/{stream}/image" for stream in raw})

        def publish() -> None:
            while not stop.wait(PERIOD_S):
                stamp = time.time_ns()
                for stream in ("thermal", "rgb"):
                    data = with_stamp(raw[stream], stamp)
                    player.publish(Outgoing(0, stream, stamp, data, stamp, 0))

        camera = threading.Thread(target=publish)
        with spinning(node), NodeProcess(command, os.environ, logs / "node.log") as process:
            camera.start()
            try:
                if not recorder.wait(
                    lambda: len(recorder.masks) >= MASKS, TIMEOUT_S, process.check
                ):
                    raise SartmError("too few masks", got=process.last_words())
                memory = process.resident_mib()
            finally:
                stop.set()
                camera.join()
    return (recorder.masks[0].arrived_ns - process.started_ns) / 1e9, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="sartm-s")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    isolate_this_process()
    try:
        with tempfile.TemporaryDirectory() as logs:
            runs = [run(options.model, Path(logs)) for _ in range(options.runs)]
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    seconds, memory = zip(*runs, strict=True)
    result: dict[str, Any] = {
        "model": options.model,
        "first_mask_s": [round(value, 2) for value in seconds],
        "first_mask_median_s": round(float(np.median(seconds)), 2),
        "resident_peak_mib": max(memory),
        "passed": max(seconds) <= LIMIT_S and max(memory) < LIMIT_MIB,
        "machine": describe_machine(),
    }
    write_json_atomic(options.out, result)
    print(json.dumps({key: result[key] for key in result if key != "machine"}))
    console.print(f"written to {options.out}")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
