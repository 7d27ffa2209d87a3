"""What a JPEG, PNG or WebP picture announces, read before anything is decoded or allocated."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sartm_core.errors import BadImageError

MAX_PIXELS = 64_000_000
"""More than any camera on a robot has; 192 MB as RGB."""

MAX_JPEG_SCANS = 32
"""Encoders write about 10. Each costs a pass over the whole picture but only a few bytes, so that
40 kB with 1000 scans would keep the decoder busy for minutes."""

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
# Most pixels (JPEG: one bit for each block of 64) and most bytes (deflate) out of one byte.
_JPEG_PIXELS_PER_BYTE = 512
_DEFLATE_RATIO = 1032
_MAX_JPEG_SEGMENTS = 1000
_MAX_PNG_CHUNKS = 20_000


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture announces.

    Attributes:
        codec: how it is compressed.
        width, height: pixels.
        color: whether it has colours (a PNG palette counts), with or without alpha.
        bit_depth: bits of a value, 1 to 16.
        body: where the header ends, in bytes; for JPEG the first scan.
    """

    codec: Literal["jpeg", "png", "webp"]
    width: int
    height: int
    color: bool
    bit_depth: int
    body: int


def read_picture_header(data: bytes, subject: str = "the image") -> PictureHeader:
    """Read and judge the header of a picture.

    Args:
        data: the picture, or at least all of its headers.
        subject: how errors call it, e.g. the path.

    Raises:
        BadImageError: reason ``empty``, ``wrong_magic``, ``truncated`` (within the header),
            ``undecodable`` (a broken header), ``zero_size``, or ``too_large`` (more than
            ``MAX_PIXELS``).
    """
    if not data:
        raise BadImageError("empty", f"{subject} is empty", got="0 bytes", expected="a picture")
    try:
        header = _parse(data, subject)
    except struct.error as error:
        raise _truncated(subject, "it ends within its header", len(data)) from error
    size = f"{header.width}x{header.height}"
    if not header.width or not header.height:
        raise BadImageError("zero_size", f"{subject} has no pixels", got=size)
    if header.width * header.height > MAX_PIXELS:
        raise BadImageError(
            "too_large",
            f"{subject} announces an absurd size",
            got=size,
            expected=f"at most {MAX_PIXELS // 1_000_000} megapixels",
            remedy="check where it comes from; it may be damaged or hostile",
        )
    return header


def check_whole(data: bytes, header: PictureHeader, subject: str = "the image") -> None:
    """Whether a picture is all there, and nothing else; zero bytes behind it are padding.

    Damage between its ends is left to the decoder.

    Args:
        data: the picture.
        header: what ``read_picture_header`` says of it.
        subject: how errors call it.

    Raises:
        BadImageError: reason ``truncated``, ``trailing_data``, or ``undecodable`` (more than
            ``MAX_JPEG_SCANS``).
    """
    end, scans = _extent(data, header)
    if end is None:
        raise _truncated(subject, f"its {header.codec.upper()} data have no end", len(data))
    if header.width * header.height > _most_pixels(header, end):
        raise _truncated(
            subject, f"{header.width}x{header.height} pixels cannot be in so few bytes", end
        )
    if data.count(0, end) != len(data) - end:
        raise BadImageError(
            "trailing_data",
            f"{subject} is followed by other data",
            got=f"{len(data) - end} bytes after the end of the {header.codec.upper()} data",
            expected="one picture, followed by nothing or by zeros",
            remedy="have the driver publish the bytes that hold the picture, not its whole buffer",
        )
    if scans > MAX_JPEG_SCANS:
        raise BadImageError(
            "undecodable",
            f"{subject} is a progressive JPEG with too many scans",
            got=scans,
            expected=f"at most {MAX_JPEG_SCANS}",
            remedy="check where it comes from; it may be hostile",
        )


def _parse(data: bytes, subject: str) -> PictureHeader:
    if data.startswith(_JPEG_MAGIC):
        return _parse_jpeg(data, subject)
    if data.startswith(PNG_MAGIC):
        return _parse_png(data, subject)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _parse_webp(data, subject)
    raise BadImageError(
        "wrong_magic",
        f"{subject} is not an image",
        got=f"bytes {data[:8].hex(' ')} ...",
        expected="a PNG, JPEG or WebP picture",
        remedy="check what was written there, whatever its name or format says",
    )


def _parse_jpeg(data: bytes, subject: str) -> PictureHeader:
    """Follow the segments to the first scan; the frame header stands before it."""
    at, frame = 2, None
    for _ in range(_MAX_JPEG_SEGMENTS):
        marker, kind, length = struct.unpack_from(">BBH", data, at)
        if marker != 0xFF or length < 2:
            break
        if kind == 0xDA and frame is not None:
            depth, height, width, components = frame
            return PictureHeader("jpeg", width, height, components > 1, depth, at)
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            frame = struct.unpack_from(">BHHB", data, at + 4)
        at += 2 + length
    raise _broken(subject, f"bytes {data[at : at + 4].hex(' ')} at {at}", "a JPEG segment")


def _parse_png(data: bytes, subject: str) -> PictureHeader:
    kind, width, height, depth, color = struct.unpack_from(">4sIIBB", data, 12)
    if kind != b"IHDR" or color not in (0, 2, 3, 4, 6) or depth not in (1, 2, 4, 8, 16):
        raise _broken(subject, f"{kind!r}, colour type {color}, {depth} bits", "a PNG header")
    return PictureHeader("png", width, height, bool(color & 2), depth, 33)


def _parse_webp(data: bytes, subject: str) -> PictureHeader:
    (kind,) = struct.unpack_from("4s", data, 12)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return PictureHeader("webp", width & 0x3FFF, height & 0x3FFF, True, 8, 30)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return PictureHeader("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, True, 8, 25)
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        width, height = (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1
        return PictureHeader("webp", width, height, True, 8, 30)
    raise _broken(subject, f"chunk {kind!r}", "a WebP picture")


def _extent(data: bytes, header: PictureHeader) -> tuple[int | None, int]:
    """Where the picture ends (None = it does not), and how many scans it has."""
    if header.codec == "webp":
        (size,) = struct.unpack_from("<I", data, 4)
        return (8 + size if 8 + size <= len(data) else None), 1
    if header.codec == "png":
        return _png_end(data), 1
    values = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(values[header.body : -1] == 0xFF) + header.body
    kinds = values[at + 1]  # within a scan, 0xFF is followed by 0 or a restart
    ends = at[kinds == 0xD9]
    return (int(ends[0]) + 2 if ends.size else None), int((kinds == 0xDA).sum())


def _png_end(data: bytes) -> int | None:
    """Chunk by chunk: OpenCV allocates what a chunk announces, however little follows."""
    at = len(PNG_MAGIC)
    for _ in range(_MAX_PNG_CHUNKS):
        if at + 12 > len(data):
            return None
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + int(length)
        if kind == b"IEND":
            return at if at <= len(data) else None
    return None


def _most_pixels(header: PictureHeader, size: int) -> float:
    """How many pixels ``size`` bytes can hold at best; WebP knows no bound."""
    if header.codec == "jpeg":
        return size * _JPEG_PIXELS_PER_BYTE
    if header.codec == "png":
        return size * _DEFLATE_RATIO * 8 / header.bit_depth
    return float("inf")


def _truncated(subject: str, why: str, size: int) -> BadImageError:
    return BadImageError(
        "truncated",
        f"{subject} cannot be read: {why}",
        got=f"{size} bytes",
        expected="a whole picture",
        remedy="it was cut off: copy the file again, or look for lost fragments in the transport",
    )


def _broken(subject: str, got: str, expected: str) -> BadImageError:
    return BadImageError(
        "undecodable",
        f"{subject} cannot be read: its header is broken",
        got=got,
        expected=expected,
        remedy="it is damaged: copy the file again, or look at its encoder",
    )
