"""Bags without ROS: reading (rosbag2 and ROS 1), writing, and an order for repeatable replay."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sartm_core.compressed import encode_compressed
from sartm_core.data.bag_messages import (
    CAMERA_TYPES,
    COMPRESSED_TYPE,
    FRAME_TOPIC,
    GROUND_TRUTH_TOPIC,
    IMAGE_TYPE,
    RGB_TOPIC,
    SECOND,
    STRING_TYPE,
    THERMAL_TOPIC,
    BagMessage,
    frame_about,
    frame_stem,
    from_ros1,
    has_header,
    header_stamp,
    pixels_of,
    refuse,
    same_in_ros1,
    typestore,
    with_stamp,
)
from sartm_core.encodings import Pixels, encode_image
from sartm_core.errors import SartmError
from sartm_core.files import atomic_path

__all__ = [
    "CAMERA_TYPES",
    "COMPRESSED_TYPE",
    "FRAME_TOPIC",
    "GROUND_TRUTH_TOPIC",
    "IMAGE_TYPE",
    "RGB_TOPIC",
    "SECOND",
    "STRING_TYPE",
    "THERMAL_TOPIC",
    "BagMessage",
    "BagReader",
    "BagTopics",
    "BagWriter",
    "find_topics",
    "frame_about",
    "frame_stem",
    "header_stamp",
    "pixels_of",
    "replay_order",
    "with_stamp",
]

TRANSPORT, DEPTH_TRANSPORT = "/compressed", "/compressedDepth"
"""What image_transport appends to the topic of the raw images."""

LOOK_AHEAD_NS = SECOND
"""How much later than its RGB image a thermal image may stand in a bag and still pair with it."""


class BagReader:
    """The messages of a bag.

    Args:
        path: an .mcap, .db3 or (ROS 1) .bag file, or the folder that ``ros2 bag record`` writes.

    Attributes:
        topics: name -> message type.
        counts: name -> number of messages.

    Raises:
        SartmError: no bag, or one that is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise SartmError(
                "no such bag", got=self.path, expected="a .mcap, .db3 or .bag file, a folder"
            )
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        with self._open() as reader:
            for connection in reader.connections:
                self.topics[connection.topic] = connection.msgtype
                counted = self.counts.get(connection.topic, 0) + connection.msgcount
                self.counts[connection.topic] = counted

    def messages(
        self,
        topics: Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[BagMessage]:
        """The messages of some topics (None = all) in the order in which they were recorded.

        Args:
            topics: names; those that the bag lacks give nothing.
            start_ns, stop_ns: only messages recorded from ``start_ns`` to before ``stop_ns``.

        Raises:
            SartmError: the file is damaged.
        """
        with self._open() as reader:
            wanted = [c for c in reader.connections if topics is None or c.topic in topics]
            found = reader.messages(wanted, start_ns, stop_ns) if wanted else ()
            for connection, log_ns, raw in found:
                yield self._message(connection.topic, connection.msgtype, log_ns, raw)

    def _message(self, topic: str, kind: str, log_ns: int, raw: bytes) -> BagMessage:
        if self._is_ros1:
            if not same_in_ros1(kind):
                return BagMessage(topic, kind, log_ns, log_ns, raw)
            raw = from_ros1(raw, kind)
        return BagMessage(
            topic, kind, header_stamp(raw) if has_header(kind) else log_ns, log_ns, raw
        )

    @property
    def _is_ros1(self) -> bool:
        return self.path.suffix == ".bag"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        from rosbags import rosbag1, rosbag2

        kind: Any = rosbag1 if self._is_ros1 else rosbag2
        with refuse(f"{self.path} cannot be read as a bag"), kind.Reader(self.path) as reader:
            yield reader


@dataclass(frozen=True, kw_only=True)
class BagTopics:
    """Which topics of a bag are what; ground truth and frame names may be missing."""

    rgb: str
    thermal: str
    ground_truth: str | None = None
    frame: str | None = None


def find_topics(
    bag: BagReader,
    *,
    rgb: str | None = None,
    thermal: str | None = None,
    ground_truth: str | None = None,
    frame: str | None = None,
) -> BagTopics:
    """Tell a bag's topics by their types and names; a topic that is given is taken.

    Raises:
        SartmError: a given topic is not there, or a camera cannot be told by its name.
    """
    for given in (rgb, thermal, ground_truth, frame):
        if given is not None and given not in bag.topics:
            raise SartmError(
                f"{bag.path} has no topic {given}", expected=", ".join(sorted(bag.topics))
            )
    images = _image_topics(bag)
    texts = [topic for topic, kind in bag.topics.items() if kind == STRING_TYPE]
    truths = [topic for topic in images if _has_word(topic, _TRUTH_WORDS)]
    cameras = [topic for topic in images if topic not in truths]
    thermals = [topic for topic in cameras if _has_word(topic, _THERMAL_WORDS)]
    others = [t for t in cameras if t not in thermals and not t.endswith(DEPTH_TRANSPORT)]
    colours = [topic for topic in others if _has_word(topic, _RGB_WORDS)]
    return BagTopics(
        rgb=rgb or _only(bag, "rgb", RGB_TOPIC, colours or others),
        thermal=thermal or _only(bag, "thermal", THERMAL_TOPIC, thermals),
        ground_truth=ground_truth or _preferred(GROUND_TRUTH_TOPIC, truths),
        frame=frame or (FRAME_TOPIC if FRAME_TOPIC in texts else None),
    )


_THERMAL_WORDS = ("thermal", "lwir", "ir", "infrared", "flir", "boson", "lepton", "optris", "seek")
_RGB_WORDS = ("rgb", "color", "colour", "visible", "vis", "rgbd")
_TRUTH_WORDS = ("gt", "truth", "label", "labels")


def _image_topics(bag: BagReader) -> list[str]:
    """Raw and compressed image topics: one for each camera, raw if there is."""
    images = [topic for topic, kind in bag.topics.items() if kind in CAMERA_TYPES]
    best: dict[str, str] = {}
    for topic in sorted(images, key=lambda t: (t.endswith(DEPTH_TRANSPORT), t.endswith(TRANSPORT))):
        best.setdefault(_base_topic(topic), topic)
    return [topic for topic in images if topic in best.values()]


def _base_topic(topic: str) -> str:
    return topic.removesuffix(TRANSPORT).removesuffix(DEPTH_TRANSPORT)


def _has_word(topic: str, words: Collection[str]) -> bool:
    return any(word in words for word in re.split(r"[/_\-\d]+", topic.lower()))


def _preferred(usual: str, choices: list[str]) -> str | None:
    named = [topic for topic in choices if _base_topic(topic) == usual] or choices
    return named[0] if len(named) == 1 else None


def _only(bag: BagReader, camera: str, usual: str, choices: list[str]) -> str:
    topic = _preferred(usual, choices)
    if topic is None:
        raise SartmError(
            f"{bag.path}: cannot tell which topic is the {camera} camera",
            got=", ".join(f"{name} ({kind})" for name, kind in sorted(bag.topics.items())),
            expected=f"one topic of {' or '.join(CAMERA_TYPES)} that says so, e.g. {usual}",
            remedy=f"name it with --{camera}-topic",
        )
    return topic


def replay_order(
    messages: Iterable[BagMessage],
    *,
    rgb_topic: str = RGB_TOPIC,
    slop_s: float = 0.06,
    thermal_offset_s: float = 0.0,
) -> Iterator[BagMessage]:
    """RGB and thermal messages such that pairing does not depend on how fast they are played.

    Before each RGB message come all thermal messages up to its stamp + slop, and the first beyond
    it, so that nothing needs to be waited for. A jump back in time keeps its place.

    Args:
        messages: in the order of recording; those not on ``rgb_topic`` are thermal.
        rgb_topic: the RGB camera.
        slop_s, thermal_offset_s: as in ``SyncParameters``.
    """
    slop, offset = round(slop_s * SECOND), round(thermal_offset_s * SECOND)
    rgbs: list[BagMessage] = []
    thermals: list[BagMessage] = []
    newest: dict[str, int] = {}

    def release(until_log_ns: float) -> Iterator[BagMessage]:
        while rgbs and rgbs[0].log_ns <= until_log_ns:
            rgb = rgbs.pop(0)
            while thermals:
                thermal = thermals.pop(0)
                yield thermal
                if thermal.stamp_ns + offset > rgb.stamp_ns + slop:
                    break
            yield rgb

    for message in messages:
        if message.stamp_ns < newest.get(message.topic, message.stamp_ns) - SECOND:
            yield from release(float("inf"))
            yield from thermals
            thermals.clear()
            newest.clear()
        newest[message.topic] = max(message.stamp_ns, newest.get(message.topic, 0))
        yield from release(message.log_ns - LOOK_AHEAD_NS)
        waiting = rgbs if message.topic == rgb_topic else thermals
        waiting.append(message)
        waiting.sort(key=lambda waiting_message: waiting_message.stamp_ns)
    yield from release(float("inf"))
    yield from thermals


class BagWriter:
    """Writes a bag aside and renames it when it is complete.

    Args:
        path: a name in .mcap or .db3 for one file, else a folder (db3 + metadata.yaml).
        overwrite: replace a bag that exists.

    Raises:
        SartmError: ``path`` exists, or it cannot be written.
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists() and not overwrite:
            raise SartmError(f"{self.path} exists", remedy="name another file, or pass --overwrite")
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        from rosbags.rosbag2 import StoragePlugin, Writer

        plugin = StoragePlugin.MCAP if self.path.suffix == ".mcap" else StoragePlugin.SQLITE3
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._aside = Path(tempfile.mkdtemp(prefix=".bag-", dir=self.path.parent))
            self._writer = Writer(self._aside / "bag", version=9, storage_plugin=plugin)
            self._writer.open()
        return self

    def image(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        pixels: Pixels,
        encoding: str,
        log_ns: int | None = None,
    ) -> None:
        """Append a sensor_msgs/Image; see ``encode_image`` for pixels and encoding."""
        step, data = encode_image(pixels, encoding)
        height, width = pixels.shape[:2]
        header = self._header(stamp_ns, frame_id)
        message = typestore().types[IMAGE_TYPE](header, height, width, encoding, 0, step, data)
        self._write(topic, IMAGE_TYPE, message, stamp_ns if log_ns is None else log_ns)

    def compressed(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        pixels: Pixels,
        codec: Literal["jpeg", "png"],
        log_ns: int | None = None,
    ) -> None:
        """Append a sensor_msgs/CompressedImage; see ``encode_compressed``."""
        format, data = encode_compressed(pixels, codec)
        header = self._header(stamp_ns, frame_id)
        message = typestore().types[COMPRESSED_TYPE](header, format, data)
        self._write(topic, COMPRESSED_TYPE, message, stamp_ns if log_ns is None else log_ns)

    def text(self, topic: str, log_ns: int, text: str) -> None:
        """Append a std_msgs/String."""
        self._write(topic, STRING_TYPE, typestore().types[STRING_TYPE](text), log_ns)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        types = typestore().types
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND))
        return types["std_msgs/msg/Header"](stamp, frame_id)

    def _write(self, topic: str, kind: str, message: Any, log_ns: int) -> None:
        raw = bytes(typestore().serialize_cdr(message, kind))
        with self._writing():
            if topic not in self._connections:
                connection = self._writer.add_connection(topic, kind, typestore=typestore())
                self._connections[topic] = connection
            self._writer.write(self._connections[topic], log_ns, raw)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self._writer.abort()
                return
            with self._writing():
                self._writer.close()
                self._put_in_place()
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)

    def _put_in_place(self) -> None:
        bag = self._aside / "bag"
        if self.path.is_dir():
            self.path.rename(self._aside / "replaced")
        if self.path.suffix not in (".mcap", ".db3"):
            self.path.unlink(missing_ok=True)
            bag.rename(self.path)
            return
        (file,) = (entry for entry in bag.iterdir() if entry.suffix == self.path.suffix)
        with atomic_path(self.path) as aside:
            file.replace(aside)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        import apsw
        from rosbags.rosbag2 import WriterError

        try:
            yield
        except (OSError, WriterError, apsw.Error) as error:
            raise SartmError(f"{self.path} cannot be written", got=error) from error
