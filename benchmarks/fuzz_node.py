"""Broken camera messages over the wire: does the node live, count each, and see right afterwards?

    python -m benchmarks.fuzz_node [--messages 20000] [--seed 0] [--model sartm-demo]

Half of the messages are raw images, half compressed ones, and among them broken CameraInfo. Fails
if the node ends or hangs, if its accounting does not close, or if a good pair afterwards does not
give the mask that it gave before, bit by bit.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from benchmarks.fuzz_images import Message, good_messages, spoil
from sartm_core.compressed import encode_compressed
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.progress import progress
from sartm_ros.imaging import to_message
from sartm_ros.replay.node_process import NodeProcess, ended_by_signals, isolate_this_process
from sartm_ros.replay.recorder import Recorder
from sartm_ros.replay.session import READY_TIMEOUT_S, node_command, ros_node, spinning

RESULT = Path(__file__).parent / "results" / "fuzz_node.json"
NAMESPACE = "/sartm_fuzz"
TARGET = f"{NAMESPACE}/segment"
SECOND = 1_000_000_000
ANSWER_WITHIN_S = 20.0
PAUSE_S = 0.002
REPORT_EVERY_S = 1.0
CAMERA_INFO_SHARE = 0.05


@dataclass
class Wire:
    """The cameras' side: publishers of one transport, and what the node answers."""

    node: Node
    process: NodeProcess
    transport: str

    def __post_init__(self) -> None:
        self._masks: dict[int, bytes] = {}
        self._kind = Image if self.transport == "raw" else CompressedImage
        suffix = "" if self.transport == "raw" else f"/{self.transport}"
        self._publishers = {
            camera: self.node.create_publisher(
                self._kind, f"{NAMESPACE}/{camera}/image{suffix}", QoSProfile(depth=10)
            )
            for camera in ("rgb", "thermal")
        }
        self._info = self.node.create_publisher(
            CameraInfo, f"{NAMESPACE}/rgb/camera_info", QoSProfile(depth=10)
        )
        self.recorder = Recorder(self.node, TARGET, self._keep)
        self._stamp_ns = SECOND

    def wait_until_ready(self) -> None:
        """Until both ends know each other."""
        publishers = self._publishers.values()
        self._wait(
            lambda: all(p.get_subscription_count() for p in publishers) and self.recorder.matched(),
            READY_TIMEOUT_S,
            "the node was never ready",
        )
        time.sleep(0.5)

    def good_mask(self) -> bytes:
        """The mask of the good pair, sent again until it is answered."""
        rng = np.random.default_rng(1)
        rgb = rng.integers(0, 256, (48, 64, 3), np.uint8)
        thermal = rng.integers(0, 256, (48, 64), np.uint8)
        end = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < end:
            self._stamp_ns += SECOND
            stamp = self._stamp_ns
            header = Header()
            header.stamp.sec, header.stamp.nanosec = divmod(stamp, SECOND)
            self._publishers["thermal"].publish(self._message(thermal, "mono8", header))
            self._publishers["rgb"].publish(self._message(rgb, "rgb8", header))
            if self.recorder.wait(lambda stamp=stamp: stamp in self._masks, 2.0, self._alive):
                return self._masks[stamp]
        raise SartmError("a good pair gets no mask", got=self.process.last_words())

    def send(self, count: int, rng: random.Random) -> None:
        """Publish ``count`` broken messages, besides those that the middleware itself refuses."""
        goods = [message for message in good_messages() if isinstance(message, self._kind)]
        sent = 0
        with progress(f"{self.transport} messages", count) as bar:
            while sent < count:
                self._alive()
                if rng.random() < CAMERA_INFO_SHARE:
                    self._info.publish(_broken_info(rng))
                else:
                    try:
                        message = spoil(rng.choice(goods), rng)
                        self._publishers[rng.choice(("rgb", "thermal"))].publish(message)
                    except Exception:  # its refusals have no kind in common
                        continue
                sent += 1
                bar.advance()
                time.sleep(PAUSE_S)

    def closed_accounts(self) -> dict[str, Any]:
        """What became of the messages, once nothing is in flight.

        Raises:
            SartmError: the equations do not hold.
        """
        parts = self.recorder.diagnostics
        # A report that closes may be one from before.
        time.sleep(2 * REPORT_EVERY_S)

        def settled() -> bool:
            rgb, thermal = parts["rgb input"], parts["thermal input"]
            return int(rgb["in_flight"]) == 0 and not _missing(rgb, thermal)

        self._wait(settled, ANSWER_WITHIN_S, "the accounting does not close")
        return {
            name: {
                key: int(value)
                for key, value in parts[f"{name} input"].items()
                if value.isdecimal() and key not in ("publishers", "shutter_events")
            }
            for name in ("rgb", "thermal")
        }

    def _wait(self, condition: Any, timeout_s: float, problem: str) -> None:
        if not self.recorder.wait(condition, timeout_s, self._alive):
            raise SartmError(problem, got=self.process.last_words())

    def _alive(self) -> None:
        self.process.check()

    def _keep(self, topic: str, kind: str, raw: bytes) -> None:
        if topic.endswith("/mask"):
            from rclpy.serialization import deserialize_message

            mask = deserialize_message(raw, Image)
            stamp = mask.header.stamp
            self._masks[stamp.sec * SECOND + stamp.nanosec] = bytes(mask.data)

    def _message(self, pixels: Any, encoding: str, header: Header) -> Message:
        if self._kind is Image:
            return to_message(pixels, encoding, header)
        format, data = encode_compressed(pixels, "png")
        return CompressedImage(header=header, format=format, data=data.tobytes())


def _missing(rgb: dict[str, str], thermal: dict[str, str]) -> bool:
    count = {key: int(rgb[key]) for key in ("received", "published", "dropped", "in_flight")}
    used = {key: int(thermal[key]) for key in ("received", "used", "unused", "buffered")}
    return (
        count["received"] != count["published"] + count["dropped"] + count["in_flight"]
        or used["received"] != used["used"] + used["unused"] + used["buffered"]
    )


def _broken_info(rng: random.Random) -> CameraInfo:
    numbers = (0.0, -1.0, 1e300, float("nan"), float("inf"), 5e-324)
    info = CameraInfo(height=rng.choice((0, 1, 480, (1 << 32) - 1)), width=rng.choice((0, 640)))
    info.distortion_model = rng.choice(("", "plumb_bob", "?" * 1000))
    info.k = [rng.choice(numbers) for _ in range(9)]
    info.p = [rng.choice(numbers) for _ in range(12)]
    info.d = [rng.choice(numbers) for _ in range(rng.choice((0, 1, 5, 1000)))]
    return info


@contextmanager
def wire(model: str, transport: str, logs: Path) -> Iterator[Wire]:
    """A node and the cameras that are connected to it."""
    parameters = {
        "model.path": model,
        "input.rgb_transport": transport,
        "input.thermal_transport": transport,
        "sync.allow_zero_stamps": True,
    }
    command = node_command("sartm_ros.segment_node", NAMESPACE, parameters)
    with (
        NodeProcess(command, os.environ, logs / f"{transport}.log") as process,
        ros_node("cameras", NAMESPACE) as node,
    ):
        # Somebody looks, so that the calibration is used.
        node.create_subscription(CameraInfo, f"{TARGET}/camera_info", lambda _: None, 5)
        cameras = Wire(node, process, transport)
        with spinning(node):
            cameras.wait_until_ready()
            yield cameras


def fuzz(model: str, messages: int, seed: int, logs: Path) -> dict[str, Any]:
    """Send ``messages`` broken messages, half of them to a node for each transport.

    Raises:
        SartmError: the node ended, hung, lost count, or sees something else afterwards.
    """
    result: dict[str, Any] = {"model": model, "messages": messages, "seed": seed}
    for transport in ("raw", "compressed"):
        with wire(model, transport, logs) as cameras:
            before = cameras.good_mask()
            cameras.send(messages // 2, random.Random(f"{seed} {transport}"))
            after = cameras.good_mask()
            if before != after:
                raise SartmError("a good pair gives another mask after the broken messages")
            accounts = cameras.closed_accounts()
            memory = cameras.process.resident_mib()
        result[transport] = {"resident_mib": memory, **accounts}
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="sartm-demo")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    isolate_this_process()
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory() as logs:
            result = fuzz(options.model, options.messages, options.seed, Path(logs))
    except SartmError as error:
        print(f"fault: {error}", file=sys.stderr)
        return 1
    write_json_atomic(options.out, {**result, "machine": describe_machine()})
    for transport in ("raw", "compressed"):
        print(f"{transport}: {result[transport]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
