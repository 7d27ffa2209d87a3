"""`python -m sartm_ros.node_bench BUNDLE`: what the node adds to the model.

Publisher, segment node and echo node are three processes. Every frame goes to the segment node,
then to the echo node, each time with the answer awaited, so both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from sartm_core.data.bags import with_stamp
from sartm_core.errors import SartmError
from sartm_core.progress import progress
from sartm_core.timing import percentiles
from sartm_ros.imaging import to_message
from sartm_ros.replay.node_process import NodeProcess, ended_by_signals, isolate_this_process
from sartm_ros.replay.player import Outgoing, Player
from sartm_ros.replay.recorder import Recorder
from sartm_ros.replay.session import (
    READY_TIMEOUT_S,
    node_command,
    ros_node,
    spinning,
    wait_until_ready,
)

WIDTH, HEIGHT = 640, 480
WARM_UP = 10
PERIOD_NS = 100_000_000
ANSWER_TIMEOUT_S = 10.0
TRIES = 3
SEGMENT, ECHO = "/sartm_bench", "/sartm_echo"


def noise_pair(width: int, height: int) -> dict[str, bytes]:
    """CDR bytes of an ``rgb`` (rgb8) and a ``thermal`` (mono8) image of noise."""
    noise = np.random.default_rng(0)
    images = {
        "rgb": (noise.integers(0, 256, (height, width, 3), np.uint8), "rgb8"),
        "thermal": (noise.integers(0, 256, (height, width), np.uint8), "mono8"),
    }
    return {
        stream: serialize_message(to_message(image, encoding, Header(frame_id="camera")))
        for stream, (image, encoding) in images.items()
    }


class Camera:
    """Publishes RGB-thermal pairs of noise into one namespace and awaits the mask of each."""

    def __init__(
        self,
        node: Node,
        namespace: str,
        target: str,
        process: NodeProcess,
        size: tuple[int, int],
    ) -> None:
        self._raw = noise_pair(*size)
        self.player = Player(node, {s: f"{namespace}/{s}/image" for s in self._raw})
        self.recorder = Recorder(node, target, lambda topic, kind, raw: None)
        self.process = process

        self.stamp_ns = 0

    def wake(self) -> None:
        """Send pairs until one is answered: then both ends know of each other.

        Raises:
            SartmError: the node has ended, or never answers.
        """
        end = time.monotonic() + READY_TIMEOUT_S
        while self._ask(within_s=0.5) is None:
            if time.monotonic() > end:
                raise SartmError("a node does not answer", got=self.process.last_words())

    def ask(self) -> float:
        """Send one pair; returns the milliseconds from publishing RGB to the mask's arrival.

        A pair that is lost on its way, as best-effort images may be, is sent again.

        Raises:
            SartmError: the node has ended, or does not answer.
        """
        for _ in range(TRIES):
            if (latency_ms := self._ask(within_s=ANSWER_TIMEOUT_S)) is not None:
                return latency_ms
        raise SartmError(f"no mask for {TRIES} images", got=self.process.last_words())

    def _ask(self, within_s: float) -> float | None:
        self.stamp_ns += PERIOD_NS
        self._publish("thermal")
        time.sleep(0.005)  # the pair must not wait for its thermal half
        sent = self._publish("rgb")
        masks = self.recorder.masks
        answered = self.recorder.wait(
            lambda: masks and masks[-1].stamp_ns == self.stamp_ns, within_s, self.process.check
        )
        return (masks[-1].arrived_ns - sent) / 1e6 if answered else None

    def _publish(self, stream: str) -> int:
        stamp = self.stamp_ns
        raw = with_stamp(self._raw[stream], stamp)
        return self.player.publish(Outgoing(0, stream, stamp, raw, stamp, 0))


def limit_ms(width: int, height: int) -> float:
    """What the node may add at most: 3 ms at 640x480, 8 ms at 1920x1080, by pixels between."""
    small, large = 640 * 480, 1920 * 1080
    return 3.0 + 5.0 * max(0, width * height - small) / (large - small)


def measure(
    parameters: dict[str, Any], size: tuple[int, int], frames: int, logs: Path
) -> dict[str, Any]:
    """Times in milliseconds, and the node's peak memory; see docs/benchmarks.md.

    ``size`` is the cameras' width and height.
    """
    segment = node_command("sartm_ros.segment_node", SEGMENT, parameters)
    echo = node_command("sartm_ros.echo_node", ECHO)
    latency_ms: dict[int, float] = {}
    echo_ms: list[float] = []
    with (
        NodeProcess(segment, os.environ, logs / "node.log") as segment_process,
        NodeProcess(echo, os.environ, logs / "echo.log") as echo_process,
        ros_node("bench", SEGMENT) as node,
    ):
        model = Camera(node, SEGMENT, f"{SEGMENT}/segment", segment_process, size)
        floor = Camera(node, ECHO, f"{ECHO}/echo", echo_process, size)
        with spinning(node), progress("timing the node", WARM_UP + frames) as bar:
            wait_until_ready(model.player, model.recorder, segment_process)
            floor.wake()
            for index in range(WARM_UP + frames):
                answers = model.ask(), floor.ask()
                if index >= WARM_UP:
                    latency_ms[model.stamp_ns] = answers[0]
                    echo_ms.append(answers[1])
                bar.advance()
            model.recorder.wait(
                lambda: model.recorder.infos[-1].stamp_ns == model.stamp_ns,
                ANSWER_TIMEOUT_S,
                segment_process.check,
            )
        memory = segment_process.resident_mib()
    infos = [info for info in model.recorder.infos if info.stamp_ns in latency_ms]
    model_ms = [info.model_ms for info in infos]
    internal_ms = [info.total_ms - info.model_ms for info in infos]
    beyond = [
        whole - network - rest
        for whole, network, rest in zip(latency_ms.values(), model_ms, echo_ms, strict=True)
    ]
    return {
        "camera": list(size),
        "frames": frames,
        "model_ms": percentiles(model_ms),
        "internal_ms": percentiles(internal_ms),
        "limit_ms": round(limit_ms(*size), 3),
        "stages_p50_ms": {
            stage: round(float(np.median([info.stages_ms[stage] for info in infos])), 3)
            for stage in infos[0].stages_ms
        },
        "publish_to_mask_ms": percentiles(list(latency_ms.values())),
        "echo_ms": percentiles(echo_ms),
        "publish_to_mask_minus_model_minus_echo_ms": percentiles(beyond),
        "resident_mib": memory,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: one JSON object on stdout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sartm_ros.node_bench", description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--camera", type=int, nargs=2, default=(WIDTH, HEIGHT))
    options = parser.parse_args(arguments)
    isolate_this_process()
    parameters = {
        "model.path": options.bundle,
        "model.runtime": options.runtime,
        "model.precision": options.precision,
        "model.threads": options.threads,
    }
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory() as logs:
            result = measure(parameters, tuple(options.camera), options.frames, Path(logs))
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
