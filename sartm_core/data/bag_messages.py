"""Messages of bags: their CDR bytes, stamps, pixels and frame names, without ROS."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sartm_core.camera_messages import decode_message
from sartm_core.encodings import Pixels
from sartm_core.errors import SartmError

RGB_TOPIC = "/rgb/image_raw"
THERMAL_TOPIC = "/thermal/image_raw"
GROUND_TRUTH_TOPIC = "/ground_truth/mask"
FRAME_TOPIC = "/frame"
IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE)
STRING_TYPE = "std_msgs/msg/String"

SECOND = 1_000_000_000


@cache
def typestore() -> Any:
    """The message types of ROS 2 Jazzy (those used here are the same in every distribution)."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One message of a bag.

    Attributes:
        topic, msgtype: e.g. ``/rgb/image_raw``, ``sensor_msgs/msg/Image``.
        stamp_ns: header stamp, or ``log_ns`` for a type without header.
        log_ns: when it was recorded.
        raw: its CDR bytes, as rclpy publishes them. Those of a ROS 1 bag are converted where ROS 2
            has the same message, which it has for images and texts.
    """

    topic: str
    msgtype: str
    stamp_ns: int
    log_ns: int
    raw: bytes

    def decode(self) -> Any:
        """The message as an object with the fields of its type.

        Raises:
            SartmError: the bytes are damaged, or the type is none of ROS's own.
        """
        with refuse(f"a message on {self.topic} cannot be read"):
            return typestore().deserialize_cdr(self.raw, self.msgtype)


@contextmanager
def refuse(what: str) -> Iterator[None]:
    # rosbags, its decompressors and SQLite each raise their own kinds for damaged bytes.
    try:
        yield
    except (SartmError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        raise SartmError(
            what,
            got=f"{type(error).__name__}: {error}",
            expected="a complete bag (ROS 2: mcap or db3; ROS 1: .bag)",
            remedy="record or copy it again; `ros2 bag reindex` may repair a folder",
        ) from error


def from_ros1(raw: bytes, msgtype: str) -> bytes:
    """The CDR bytes of a ROS 1 message, if :func:`same_in_ros1` says that it has any."""
    return bytes(typestore().ros1_to_cdr(raw, msgtype))


@cache
def same_in_ros1(msgtype: str) -> bool:
    """Whether a message has the same fields in ROS 1 (Noetic), but for the header's ``seq``."""
    from rosbags.convert.converter import is_same_wireformat
    from rosbags.typesys import Stores, get_typestore

    noetic = get_typestore(Stores.ROS1_NOETIC)
    if msgtype not in noetic.fielddefs or msgtype not in typestore().fielddefs:
        return False
    return bool(is_same_wireformat(noetic, typestore(), msgtype, msgtype))


@cache
def has_header(msgtype: str) -> bool:
    definition = typestore().fielddefs.get(msgtype)
    if definition is None or not definition[1]:
        return False
    return bool(definition[1][0][1][1] == "std_msgs/msg/Header")


def header_stamp(raw: bytes) -> int:
    """The stamp, in nanoseconds, of a CDR message that begins with a Header."""
    if len(raw) < 12:
        raise SartmError("a message is too short for its header", got=f"{len(raw)} bytes")
    seconds, nanoseconds = struct.unpack_from(_byte_order(raw) + "iI", raw, 4)
    return int(seconds) * SECOND + int(nanoseconds)


def with_stamp(raw: bytes, stamp_ns: int) -> bytes:
    """A CDR message that begins with a Header, with another stamp in it."""
    stamp = struct.pack(_byte_order(raw) + "iI", *divmod(stamp_ns, SECOND))
    return b"".join((raw[:4], stamp, memoryview(raw)[12:]))


def _byte_order(raw: bytes) -> str:
    return "<" if raw[1] & 1 else ">"


def pixels_of(message: BagMessage) -> Pixels:
    """The pixels of a raw or compressed image message; see
    :func:`sartm_core.camera_messages.decode_message`.
    """
    return decode_message(message.decode())


def frame_about(message: BagMessage) -> dict[str, Any]:
    """What a message on ``/frame`` says of the RGB image with its stamp; ``stem`` is always there.

    Raises:
        SartmError: no JSON object, or a stem that is no plain file name.
    """
    text = message.decode().data
    try:
        about = json.loads(text)
        stem = about["stem"]
        plain = re.fullmatch(r"[\w+@-][\w.+@ -]{0,199}", stem) is not None
    except (ValueError, TypeError, KeyError) as error:
        raise SartmError(
            f"{message.topic} holds a message that names no frame",
            got=text[:80],
            expected='JSON like {"stem": "00001D", "dataset": "mine", "split": "val"}',
        ) from error
    if not plain:
        raise SartmError(
            f"{message.topic} names a frame that cannot be a file name",
            got=repr(stem[:80]),
            expected="letters, digits and any of . _ + @ - and space",
        )
    return dict(about)


def frame_stem(message: BagMessage) -> str:
    """The name of the RGB image with the stamp of a message on ``/frame``; see `frame_about`."""
    return str(frame_about(message)["stem"])
