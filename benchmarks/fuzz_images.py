"""Broken camera messages through check and decode: each is refused with a reason, or decoded.

    python -m benchmarks.fuzz_images [--mutations 20000] [--seed 0]

Good messages of every kind are spoilt in their fields, in their pixels' bytes, and in their
serialised bytes, and go through both cameras' functions. An exception other than BadImageError, a
decode that contradicts its check, a mutation that takes seconds, or a good message that decodes to
other bytes afterwards is a fault; the command prints the first few with their seeds and exits with
1. What JPEG and PNG libraries say about broken data goes to stderr.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from sartm_core.camera_messages import check_message, check_thermal
from sartm_core.compressed import encode_compressed
from sartm_core.encodings import COLOR_ENCODINGS, THERMAL_ENCODINGS
from sartm_core.errors import BadImageError
from sartm_core.progress import progress
from sartm_ros.imaging import check_rgb, decode_rgb, decode_thermal

HEIGHT, WIDTH = 48, 64
SLOW_S = 5.0
"""Above this a mutation counts as a hang; a good message takes a millisecond."""
HANG_S = 120.0
"""After this the process ends with a traceback."""
MEMORY_MB = 700.0
"""The largest picture that is accepted takes 192 MB, in the decoder once more."""
SHOWN = 10

CAMERAS = {"rgb": (check_rgb, decode_rgb, 3), "thermal": (check_thermal, decode_thermal, 2)}
LATE_REASONS = {"undecodable", "non_finite"}
"""What only decoding can find."""
NUMBERS = (0, 1, 2, 3, 7, WIDTH - 1, WIDTH * 3, 1 << 15, (1 << 16) - 1, 1 << 20, (1 << 31) - 1,
           1 << 31, (1 << 32) - 1)  # fmt: skip
WORDS = (*COLOR_ENCODINGS, *THERMAL_ENCODINGS, "", "RGB8", "mono8 ", "32FC3", "8UC", "h264", "jpeg",
         "png", "rgb8; jpeg compressed bgr8", "rgb8; png compressed rgb8", "; ; ;", ";",
         "mono16; png compressed ", "16UC1; jpeg compressed mono8", "32FC1; compressedDepth png",
         "16UC1; compressedDepth rvl", "bayer_rggb8; png compressed ", "bayer_x8; png compressed ",
         "\N{SNOWMAN}", "x" * 10_000, "a\nb\0c")  # fmt: skip

Message = Image | CompressedImage


@dataclass
class Report:
    """What became of the mutations.

    Attributes:
        outcomes: ``decoded``, a reason, or how the middleware refused the bytes -> count.
        faults: what must not happen, in words.
        slowest_s: longest check and decode of one mutation.
        memory_mb: by how much the process grew at its largest.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    memory_mb: float = 0.0


def fuzz(mutations: int, seed: int, advance: Callable[[], None] = lambda: None) -> Report:
    """Spoil good messages ``mutations`` times; the same seed gives the same mutations."""
    report, goods = Report(), good_messages()
    before = [_digest(message) for message in goods]
    memory_mb = _peak_memory_mb()
    for number in range(mutations):
        rng = random.Random(f"{seed} {number}")
        _try(rng.choice(goods), rng, f"--seed {seed}, mutation {number}", report)
        advance()
    report.memory_mb = _peak_memory_mb() - memory_mb
    if report.memory_mb > MEMORY_MB:
        report.faults.append(f"memory grew by {report.memory_mb:.0f} MB")
    if [_digest(message) for message in goods] != before:
        report.faults.append("a good message decodes to other pixels afterwards")
    return report


def good_messages() -> list[Message]:
    """One message of every kind that is accepted."""
    rng = np.random.default_rng(0)
    # Smooth, as what cameras see.
    rgb = cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8), (0, 0), 3)
    grey, counts = rgb[..., 0], rgb[..., 0].astype(np.uint16) * 40 + 20_000
    messages: list[Message] = [_raw(name) for name in (*COLOR_ENCODINGS, *THERMAL_ENCODINGS)]
    for pixels, codec in (
        (rgb, "jpeg"),
        (rgb, "png"),
        (grey, "jpeg"),
        (grey, "png"),
        (counts, "png"),
    ):
        messages.append(_compressed(*encode_compressed(pixels, codec)))
    progressive = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    messages.append(_compressed("rgb8; jpeg compressed bgr8", progressive))
    for quality in (80, 101):  # 101 = lossless
        webp = cv2.imencode(".webp", rgb, [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
        messages.append(_compressed("webp", webp))
    depth = cv2.imencode(".png", counts)[1].tobytes()
    for encoding in ("16UC1", "32FC1"):
        data = struct.pack("<iff", 0, 10_100.0, -9.1) + depth
        messages.append(_compressed(f"{encoding}; compressedDepth png", data))
    return messages


def spoil(good: Message, rng: random.Random) -> Message:
    """A message that differs from a good one in fields, in pixels' or in serialised bytes.

    Raises:
        Exception: the middleware refuses the bytes, each time with an error of its own kind.
    """
    spoiler = rng.choice((_spoil_fields, _spoil_data, _spoil_serialised))
    return spoiler(good, rng)


def _raw(encoding: str) -> Image:
    wide = encoding == "32FC1"
    data = np.random.default_rng(1).integers(0, 256, HEIGHT * WIDTH * 12).astype(np.uint8)
    if wide:
        data = np.full(HEIGHT * WIDTH, 300, np.float32).view(np.uint8)
    message = Image(header=Header(), height=HEIGHT, width=WIDTH, encoding=encoding)
    message.step = WIDTH * 4 if wide else WIDTH * 8
    message.data = data.tobytes()
    return message


def _compressed(format: str, data: Any) -> CompressedImage:
    return CompressedImage(header=Header(), format=format, data=bytes(data))


def _try(good: Message, rng: random.Random, name: str, report: Report) -> None:
    begin = time.monotonic()
    try:
        message = spoil(good, rng)
    except Exception as error:  # the middleware's own refusal, whatever its kind
        report.outcomes[f"not deserialised: {type(error).__name__}"] += 1
        return
    for camera in CAMERAS:
        try:
            report.outcomes[_outcome(message, camera)] += 1
        except AssertionError as fault:
            report.faults.append(f"{name}, {camera}: {fault}")
    took = time.monotonic() - begin
    report.slowest_s = max(report.slowest_s, took)
    if took > SLOW_S:
        report.faults.append(f"{name}: took {took:.1f} s")


def _outcome(message: Message, camera: str) -> str:
    """``decoded`` or why not.

    Raises:
        AssertionError: neither; says what happened instead.
    """
    check, decode, dimensions = CAMERAS[camera]
    checked = _reason(check, message)
    pixels = _reason(decode, message)
    if isinstance(pixels, str):
        expected = {checked} if isinstance(checked, str) else LATE_REASONS
        assert pixels in expected, f"checked: {checked or 'good'}, decoded: {pixels}"
        return pixels
    assert checked is None, f"checked: {checked}, decoded: {pixels.shape}"
    layout = check_message(message)
    size = (layout.height, layout.width)
    right = pixels.ndim == dimensions and pixels.shape[:2] == size
    assert right, f"checked: {layout}, decoded: {pixels.shape}"
    return "decoded"


def _reason(function: Callable[[Message], Any], message: Message) -> Any:
    """What ``function`` returns, or the reason why it refuses."""
    try:
        return function(message)
    except BadImageError as error:
        if len(str(error)) > 1000:
            raise AssertionError(f"{function.__name__} says too much") from error
        return error.reason
    except Exception as error:
        raise AssertionError(f"{function.__name__} raised {error!r}") from error


def _peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _digest(message: Message) -> str:
    decode = decode_rgb if check_message(message).color else decode_thermal
    return hashlib.sha256(np.ascontiguousarray(decode(message)).tobytes()).hexdigest()


def _spoil_fields(good: Message, rng: random.Random) -> Message:
    message = _copy(good)
    names = ["format"] if isinstance(message, CompressedImage) else ["encoding"]
    names += [n for n in ("height", "width", "step", "is_bigendian") if hasattr(message, n)]
    for name in rng.sample(names, rng.randint(1, min(2, len(names)))):
        if name in ("format", "encoding"):
            setattr(message, name, rng.choice(WORDS))
        elif name == "is_bigendian":
            message.is_bigendian = rng.randrange(256)
        else:
            setattr(message, name, rng.choice(NUMBERS))
    return message


def _spoil_data(good: Message, rng: random.Random) -> Message:
    message = _copy(good)
    data = bytes(message.data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        data = rng.choice((_flip, _overwrite, _cut, _insert, _append, _resize, _patch_png))(
            data, rng
        )
    message.data = data
    return message


def _spoil_serialised(good: Message, rng: random.Random) -> Message:
    raw = serialize_message(good)
    head = rng.random() < 0.7  # most of a message is pixels; its fields stand at the beginning
    part, rest = (raw[:80], raw[80:]) if head else (raw, b"")
    for _ in range(rng.choice((1, 1, 2, 5))):
        part = rng.choice((_flip, _overwrite, _cut, _insert))(part, rng)
    return deserialize_message(part + rest, type(good))


def _copy(message: Message) -> Message:
    return deserialize_message(serialize_message(message), type(message))


def _flip(data: bytes, rng: random.Random) -> bytes:
    return _set(data, rng, lambda old: bytes([old[0] ^ 1 << rng.randrange(8)]), 1)


def _overwrite(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 4, 16))
    value = rng.choice(
        (
            b"\0" * 16,
            b"\xff" * 16,
            rng.randbytes(16),
            struct.pack("<4I", *rng.choices(NUMBERS, k=4)),
        )
    )
    return _set(data, rng, lambda old: value[:size], size)


def _set(data: bytes, rng: random.Random, new: Callable[[bytes], bytes], size: int) -> bytes:
    if len(data) < size:
        return data
    at = rng.randrange(min(len(data) - size + 1, rng.choice((64, len(data)))) or 1)
    return data[:at] + new(data[at : at + size]) + data[at + size :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.7 else data[:at] + data[at + rng.randrange(1, 50) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 50)) + data[at:]


def _append(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((bytes(100), rng.randbytes(100), data, data[:50]))


def _resize(data: bytes, rng: random.Random) -> bytes:
    """Another size in the frame header of a JPEG, or in the header of a WebP."""
    for mark, skip, size in (
        (b"\xff\xc0", 5, ">HH"),
        (b"\xff\xc2", 5, ">HH"),
        (b"\x9d\x01\x2a", 3, "<HH"),
    ):
        if (at := data.find(mark)) >= 0 and at + skip + 4 <= len(data):
            value = struct.pack(size, *(rng.choice(NUMBERS) & 0xFFFF for _ in range(2)))
            return data[: at + skip] + value + data[at + skip + 4 :]
    return data


def _patch_png(data: bytes, rng: random.Random) -> bytes:
    """Other values in the header of a PNG, with the right checksum."""
    at = data.find(b"IHDR")
    if at < 0 or at + 21 > len(data):
        return data
    fields = list(struct.unpack(">IIBBBBB", data[at + 4 : at + 17]))
    for index in rng.sample(range(7), rng.randint(1, 3)):
        fields[index] = rng.choice(NUMBERS) if index < 2 else rng.choice((0, 1, 2, 3, 4, 6, 8, 16))
    body = b"IHDR" + struct.pack(">IIBBBBB", *fields)
    return data[:at] + body + struct.pack(">I", zlib.crc32(body)) + data[at + 21 :]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with progress("mutations", options.mutations) as bar:

        def advance() -> None:
            faulthandler.dump_traceback_later(HANG_S, exit=True, file=sys.__stderr__)
            bar.advance()

        report = fuzz(options.mutations, options.seed, advance)
    faulthandler.cancel_dump_traceback_later()
    for outcome, count in report.outcomes.most_common():
        print(f"{count:8d}  {outcome}")
    print(
        f"slowest mutation {1000 * report.slowest_s:.0f} ms, memory +{report.memory_mb:.0f} MB, "
        f"{len(report.faults)} faults"
    )
    for fault in report.faults[:SHOWN]:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
