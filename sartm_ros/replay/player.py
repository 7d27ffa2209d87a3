"""The camera side of a replay: publishes a bag's images on the node's inputs, as raw CDR bytes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from sartm_core.data.bags import (
    CAMERA_TYPES,
    DEPTH_TRANSPORT,
    IMAGE_TYPE,
    TRANSPORT,
    BagMessage,
    BagReader,
    BagTopics,
    find_topics,
    frame_stem,
    with_stamp,
)
from sartm_core.errors import SartmError


@dataclass(frozen=True, slots=True)
class Survey:
    """What a bag holds.

    Attributes:
        topics: which of its topics are the cameras.
        rgb_log_ns: reception times of the RGB images, ascending.
        transports: camera topic -> how its images come: ``raw``, ``compressed`` or
            ``compressedDepth``.
        stems: RGB stamp -> name of the frame, from the topic /frame where there is one.
    """

    topics: BagTopics
    rgb_log_ns: tuple[int, ...]
    transports: Mapping[str, str]
    stems: Mapping[int, str]

    def stem(self, stamp_ns: int) -> str:
        """The name of the frame with this RGB stamp; without one in the bag, the stamp itself."""
        return self.stems.get(stamp_ns, str(stamp_ns))

    def rate_factor(self, rate_hz: float | None) -> float:
        """By how much to speed up so that RGB images come at ``rate_hz``; 1 for None."""
        if rate_hz is None or len(self.rgb_log_ns) < 2:
            return 1.0
        span = self.rgb_log_ns[-1] - self.rgb_log_ns[0]
        return rate_hz * span / 1e9 / (len(self.rgb_log_ns) - 1)


def survey(bag: BagReader, *, rgb_topic: str | None, thermal_topic: str | None) -> Survey:
    """Read a bag once, without its thermal images.

    Args:
        bag: the bag.
        rgb_topic, thermal_topic: its camera topics; None = told by their names.

    Raises:
        SartmError: a camera cannot be told, has no images or is not a sensor_msgs/Image.
    """
    topics = find_topics(bag, rgb=rgb_topic, thermal=thermal_topic)
    for topic in (topics.rgb, topics.thermal):
        if bag.topics[topic] not in CAMERA_TYPES or not bag.counts[topic]:
            raise SartmError(
                f"{bag.path} has no images on {topic} that can be played",
                got=f"{bag.counts[topic]} x {bag.topics[topic]}",
                expected=" or ".join(CAMERA_TYPES),
            )
    rgb_log_ns: list[int] = []
    stems: dict[int, str] = {}
    for message in bag.messages({topics.rgb, topics.frame} - {None}):
        if message.topic == topics.rgb:
            rgb_log_ns.append(message.log_ns)
        else:
            stems[message.stamp_ns] = frame_stem(message)
    transports = {topic: _transport(bag, topic) for topic in (topics.rgb, topics.thermal)}
    return Survey(topics, tuple(rgb_log_ns), transports, stems)


def _transport(bag: BagReader, topic: str) -> str:
    if bag.topics[topic] == IMAGE_TYPE:
        return "raw"
    return "compressedDepth" if topic.endswith(DEPTH_TRANSPORT) else "compressed"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message of the replay.

    Attributes:
        due_ns: when to publish it, nanoseconds after the start of the replay.
        topic: its topic in the bag.
        stamp_ns: its header stamp, as published.
        raw: its CDR bytes.
        source_ns: its header stamp in the bag.
        loop: which pass over the bag it belongs to, from 0.
    """

    due_ns: int
    topic: str
    stamp_ns: int
    raw: bytes
    source_ns: int
    loop: int

    def without_bytes(self) -> Outgoing:
        """The same without its CDR bytes."""
        return replace(self, raw=b"")


def timeline(
    read: Callable[[], Iterable[BagMessage]],
    *,
    rate_factor: float = 1.0,
    loops: int | None = 1,
    keep_stamps: bool = False,
) -> Iterator[Outgoing]:
    """Messages with the times at which a real-time replay publishes them.

    The first pass keeps the stamps of the bag. Later ones continue them, one typical image
    interval after the last message, or jump back with ``keep_stamps``.

    Args:
        read: gives the messages of one pass in the order of their reception times.
        rate_factor: 2 plays twice as fast; stamps stay as they are.
        loops: number of passes, None for no end.
        keep_stamps: repeat the original stamps in every pass.
    """
    shift = 0
    loop = 0
    while loops is None or loop < loops:
        first: int | None = None
        newest = 0
        count: Counter[str] = Counter()
        for message in read():
            first = message.log_ns if first is None else first
            newest = max(newest, message.log_ns)
            count[message.topic] += 1
            stamp = message.stamp_ns if keep_stamps else message.stamp_ns + shift
            yield Outgoing(
                due_ns=round((message.log_ns - first + shift) / rate_factor),
                topic=message.topic,
                stamp_ns=stamp,
                raw=message.raw if stamp == message.stamp_ns else with_stamp(message.raw, stamp),
                source_ns=message.stamp_ns,
                loop=loop,
            )
        if first is None:
            return
        span = newest - first
        shift += span + span // max(1, max(count.values()) - 1)
        loop += 1


class Player:
    """Publishers for the bag's image topics, with the counts of what was sent.

    Args:
        node: the ROS node that publishes.
        inputs: topic in the bag -> input topic of the segment node.
        depth: how many unsent messages a publisher keeps.
        reliable: publishes reliable, which serves readers of both kinds.
    """

    def __init__(
        self, node: Node, inputs: dict[str, str], *, depth: int = 10, reliable: bool = True
    ) -> None:
        qos = QoSProfile(
            depth=depth,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        self._publishers: dict[str, Publisher] = {
            topic: node.create_publisher(_kind(target), target, qos)
            for topic, target in inputs.items()
        }
        self.sent: Counter[str] = Counter(dict.fromkeys(inputs, 0))

    def matched(self) -> bool:
        """Whether every publisher has a subscriber."""
        return all(p.get_subscription_count() > 0 for p in self._publishers.values())

    def publish(self, message: Outgoing) -> int:
        """Send one message now; returns the steady time (ns) just before."""
        now = time.monotonic_ns()
        self._publishers[message.topic].publish(message.raw)
        self.sent[message.topic] += 1
        return now

    def publish_at(self, message: Outgoing, start_ns: int) -> int:
        """Send one message when it is due; returns the steady time (ns) just before."""
        while (wait := start_ns + message.due_ns - time.monotonic_ns()) > 0:
            time.sleep(wait / 1e9)
        return self.publish(message)


def _kind(topic: str) -> type:
    """What an input of the segment node takes, by its transport."""
    return CompressedImage if topic.endswith((TRANSPORT, DEPTH_TRANSPORT)) else Image
