"""Simulated cameras: real messages over real DDS, altered where a fault says so."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from sartm_core.encodings import Pixels
from sartm_core.errors import SartmError
from sartm_ros.faults.alterations import Alteration, MakeAlteration, Shot, untouched

RATE_HZ = 15.0
"""Of both cameras."""
WIDTH, HEIGHT = 160, 120
LEAST_RED = 64
"""No picture of the RGB camera has less: lower values are left to poisoned ones."""
CONNECT_TIMEOUT_S = 20.0

_PERIOD_S = 1.0 / RATE_HZ
_PICTURES = 16
_STALL_S = 0.25
_DISCOVERY_S = 0.3
_THERMAL_PIXELS = {
    "mono8": (40, 220, np.uint8),
    "mono16": (28000, 31000, np.uint16),
    "32FC1": (280, 310, np.float32),
}


class Camera:
    """One camera: its pictures, its publisher and what happens to its images.

    Args:
        node: who publishes.
        topic: resolved name.
        pictures: shown in turn.
        encoding: of the images.

    Attributes:
        alter: what becomes of each shot.
        publisher: None = unplugged.
        last_due: when the last of its images is to be published, steady time in seconds.
        sent: how many images were published while somebody was there to receive them.
    """

    def __init__(self, node: Node, topic: str, pictures: list[Pixels], encoding: str) -> None:
        self.topic = topic
        self.alter: Alteration = untouched
        self.publisher: Publisher | None = None
        self.last_due = 0.0
        self.sent = 0
        self._node = node
        self._encoding = encoding
        self._pictures = itertools.cycle(pictures)

    def connect(self, *, reliable: bool = True) -> None:
        """Make the publisher."""
        self.publisher = self._node.create_publisher(Image, self.topic, profile(reliable))

    def disconnect(self) -> None:
        """Take the publisher away."""
        if self.publisher is not None:
            publisher, self.publisher = self.publisher, None
            self._node.destroy_publisher(publisher)

    @property
    def matched(self) -> bool:
        """Whether somebody receives the images."""
        return self.publisher is not None and self.publisher.get_subscription_count() > 0

    def shot(self, stamp_ns: int) -> Shot:
        """The next picture."""
        return Shot(next(self._pictures), self._encoding, stamp_ns, "sartm_fault_camera")

    def publish(self, message: Image) -> None:
        if self.publisher is not None:
            self.sent += self.matched
            self.publisher.publish(message)


class Cameras:
    """Both cameras, synchronised, in a thread of their own while the block runs.

    Args:
        node: who publishes.
        rgb_topic, thermal_topic: resolved names.
        thermal_encoding: ``mono8``, ``mono16`` or ``32FC1``.

    Attributes:
        stalls: how often this machine kept the thread from running in time.
    """

    def __init__(
        self,
        node: Node,
        rgb_topic: str,
        thermal_topic: str,
        *,
        thermal_encoding: str = "mono16",
    ) -> None:
        noise = np.random.default_rng(0)
        shape = (_PICTURES, HEIGHT, WIDTH)
        low, high, kind = _THERMAL_PIXELS[thermal_encoding]
        thermal = noise.integers(low, high, shape).astype(kind)
        rgb = noise.integers(LEAST_RED, 256, (*shape, 3), np.uint8)
        self.node = node
        self.rgb = Camera(node, rgb_topic, list(rgb), "rgb8")
        self.thermal = Camera(node, thermal_topic, list(thermal), thermal_encoding)
        self.stalls = 0
        self._changed = threading.Condition()
        self._pending: list[tuple[float, int, Camera, Image]] = []
        self._order = itertools.count()
        self._paused = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)

    def __enter__(self) -> Cameras:
        self.rgb.connect()
        self.thermal.connect()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        self.rgb.disconnect()
        self.thermal.disconnect()

    def of(self, name: str) -> Camera:
        """``rgb`` or ``thermal``."""
        return {"rgb": self.rgb, "thermal": self.thermal}[name]

    @property
    def sent(self) -> dict[str, int]:
        """By camera."""
        return {"rgb": self.rgb.sent, "thermal": self.thermal.sent}

    @contextmanager
    def altered(self, make: MakeAlteration, *names: str) -> Iterator[None]:
        """Alter the images of these cameras; what is still withheld at the end is lost."""
        self._alter({name: make() for name in names})
        try:
            yield
        finally:
            self._alter(dict.fromkeys(names, untouched))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Publish nothing, so that what was sent can be counted."""
        self._pause(True)
        try:
            yield
        finally:
            self._pause(False)

    @contextmanager
    def unplugged(self, name: str) -> Iterator[None]:
        """Without this camera's publisher."""
        with self._changed:
            self.of(name).disconnect()
        try:
            yield
        finally:
            self.plug_in(name)

    def plug_in(self, name: str, *, reliable: bool = True) -> None:
        """Replace this camera's publisher; returns when somebody has found it."""
        camera = self.of(name)
        with self._changed:
            camera.disconnect()
            camera.connect(reliable=reliable)
            publisher = camera.publisher
        if reliable and publisher is not None:
            wait_until_matched(publisher)

    def wait_until_matched(self) -> None:
        """Wait until somebody receives the images of both cameras; see the function."""
        for camera in (self.rgb, self.thermal):
            assert camera.publisher is not None
            wait_until_matched(camera.publisher)

    def _alter(self, alterations: dict[str, Alteration]) -> None:
        cameras = {self.of(name): alter for name, alter in alterations.items()}
        with self._changed:
            for camera, alter in cameras.items():
                camera.alter = alter
                camera.last_due = 0.0
            self._pending = [entry for entry in self._pending if entry[2] not in cameras]
            heapq.heapify(self._pending)

    def _pause(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def _run(self) -> None:
        tick = time.monotonic()
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if now >= tick:
                    self.stalls += now - tick > _STALL_S
                    # From here on, not in a burst, if the machine was busy.
                    tick = max(tick, now - _PERIOD_S) + _PERIOD_S
                    if not self._paused:
                        self._shoot(now)
                while self._pending and self._pending[0][0] <= time.monotonic():
                    _, _, camera, message = heapq.heappop(self._pending)
                    camera.publish(message)
                due = min(tick, self._pending[0][0]) if self._pending else tick
                self._changed.wait(max(0.0, due - time.monotonic()))

    def _shoot(self, now: float) -> None:
        stamp_ns = time.time_ns()
        for camera in (self.thermal, self.rgb):  # so that RGB need not wait
            for delay_s, message in camera.alter(camera.shot(stamp_ns)):
                # One does not overtake another on its way.
                camera.last_due = max(camera.last_due, now + delay_s)
                entry = (camera.last_due, next(self._order), camera, message)
                heapq.heappush(self._pending, entry)


def wait_until_matched(publisher: Publisher) -> None:
    """Wait until somebody receives what is published.

    Raises:
        SartmError: nobody does.
    """
    if publisher.get_subscription_count():
        return
    end = time.monotonic() + CONNECT_TIMEOUT_S
    while not publisher.get_subscription_count():
        if time.monotonic() > end:
            raise SartmError(f"nobody subscribes to {publisher.topic_name}")
        time.sleep(0.02)
    time.sleep(_DISCOVERY_S)  # both ends must know of each other; only one can be asked


def profile(reliable: bool) -> QoSProfile:
    """The quality of service of a camera driver."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=10, reliability=reliability)
