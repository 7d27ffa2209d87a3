"""Compressed images (sensor_msgs/CompressedImage) as image_transport sends them, without ROS.

``format`` is "ENCODING; CODEC compressed TARGET" from ``compressed``, "ENCODING; compressedDepth
CODEC" from ``compressedDepth``, or just a codec's name from many drivers. The bytes tell the codec;
the format tells what the pixels mean.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.encodings import COLOR_ENCODINGS, ImageLayout, Pixels, color_to_rgb
from sartm_core.errors import BadImageError, SartmError
from sartm_core.picture_header import PNG_MAGIC, PictureHeader, check_whole, read_picture_header

JPEG_QUALITY = 95
"""image_transport's default."""

_SUBJECT = "the compressed image"
_WIDE = ("mono16", "16UC1", "32FC1")  # 8 bits cannot hold their values
# compressedDepth: an int32 that is always 0, then a and b of the inverse depth as float32.
_DEPTH_HEADER = struct.Struct("<iff")
_COLOR_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
# Ids gain nothing by PNG's row filters. OpenCV tries all of them where a level is named and no
# filter, which takes five times as long.
_ID_FLAGS = (
    [
        cv2.IMWRITE_PNG_COMPRESSION, 1,
        cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
        cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
    ]
    if hasattr(cv2, "IMWRITE_PNG_FILTER")  # OpenCV 4.12
    else []
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Message:
    encoding: str
    codec: str
    picture: bytes
    header: PictureHeader
    inverse_depth: tuple[float, float] | None

    @property
    def mosaic(self) -> bool:
        """Whether the picture is a Bayer pattern, as it came from the sensor."""
        bayer = self.encoding.startswith("bayer_") and self.encoding in COLOR_ENCODINGS
        return bayer and not self.header.color


def check_compressed(format: str, data: Any) -> ImageLayout:
    """What :func:`decode_compressed` will make of a message, by its headers and ends alone.

    Args:
        format, data: see :func:`decode_compressed`.

    Raises:
        BadImageError: reason ``empty``, ``wrong_magic``, ``wrong_encoding``, ``truncated``,
            ``trailing_data``, ``zero_size``, ``too_large`` or ``undecodable``.
    """
    message = _read(format, data)
    header = message.header
    return ImageLayout(header.height, header.width, header.color or message.mosaic)


def decode_compressed(format: str, data: Any) -> Pixels:
    """The pixels of a compressed image.

    Args:
        format: the message's field, e.g. ``rgb8; jpeg compressed bgr8``.
        data: the bytes, any contiguous buffer of uint8.

    Returns:
        HxWx3 uint8 in RGB order for colour (alpha is dropped, 16 bits become 8, a PNG of a Bayer
        pattern is interpolated); HxW uint8 or uint16 for grey; HxW float32 for the inverse depth
        of compressedDepth, NaN where it holds no value. An orientation in EXIF data is ignored, as
        by image_transport.

    Raises:
        BadImageError: see :func:`check_compressed`; reason ``undecodable`` also for damage inside.
    """
    message = _read(format, data)
    header = message.header
    pixels = _decode(message.picture, _COLOR_FLAGS if header.color else cv2.IMREAD_UNCHANGED)
    wanted = "uint16" if header.bit_depth == 16 and not header.color else "uint8"
    shape = (header.height, header.width, *((3,) if header.color else ()))
    if pixels is None or pixels.shape != shape or pixels.dtype != wanted:
        raise BadImageError(
            "undecodable",
            f"{_SUBJECT} cannot be decoded",
            got="damaged data" if pixels is None else f"{pixels.shape} {pixels.dtype}",
            expected=f"{header.codec.upper()} {header.width}x{header.height}, {wanted}",
            remedy="look for lost fragments in the transport, or at the encoder",
        )
    if header.color:
        if not _stored_as_rgb(message):
            cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        return np.asarray(pixels, np.uint8)
    if message.mosaic:
        return color_to_rgb(pixels, message.encoding)
    if message.inverse_depth is not None:
        return _depth(pixels, *message.inverse_depth)
    return pixels


def encode_compressed(
    pixels: Pixels, codec: Literal["jpeg", "png"], *, quality: int = JPEG_QUALITY
) -> tuple[str, npt.NDArray[np.uint8]]:
    """Format and bytes of a compressed image, as image_transport writes them.

    Args:
        pixels: HxWx3 uint8 RGB, HxW uint8, or (PNG) HxW uint16.
        codec: ``png`` is lossless.
        quality: of JPEG, 1 to 100.

    Raises:
        SartmError: pixels that the codec cannot hold.
    """
    color = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    grey = pixels.ndim == 2 and (
        pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and codec == "png")
    )
    if not (color or grey) or not pixels.size:
        raise SartmError(
            f"pixels cannot be compressed as {codec}",
            got=f"{pixels.shape} {pixels.dtype}",
            expected="HxWx3 or HxW uint8, or HxW uint16 as png",
        )
    if color:
        target, encoding = "bgr8", "rgb8"
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    else:
        target = "mono8" if codec == "jpeg" else ""
        encoding = "mono8" if pixels.dtype == np.uint8 else "mono16"
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality] if codec == "jpeg" else []
    return f"{encoding}; {codec} compressed {target}", _encode(pixels, codec, flags)


def encode_ids(mask: npt.NDArray[np.uint8]) -> tuple[str, npt.NDArray[np.uint8]]:
    """Format and bytes of a mask as PNG: lossless, quick rather than small.

    Args:
        mask: HxW uint8 class ids.
    """
    return "mono8; png compressed ", _encode(mask, "png", _ID_FLAGS)


def _read(format: str, data: Any) -> _Message:
    encoding, _, codec = (part.strip() for part in format.partition(";"))
    picture = bytes(data)
    if encoding in _WIDE and "jpeg" in codec:
        raise _unfit(format, "JPEG")
    depth = "compressedDepth" in codec or picture.startswith(PNG_MAGIC, _DEPTH_HEADER.size)
    inverse_depth = None
    if depth:
        inverse_depth, picture = _read_depth_header(encoding, codec, picture)
    header = read_picture_header(picture, _SUBJECT)
    check_whole(picture, header, _SUBJECT)
    message = _Message(encoding, codec, picture, header, inverse_depth)
    _check_meaning(format, message)
    return message


def _read_depth_header(
    encoding: str, codec: str, data: bytes
) -> tuple[tuple[float, float] | None, bytes]:
    if "rvl" in codec:
        raise BadImageError(
            "wrong_encoding",
            "compressedDepth images with RVL cannot be decoded here",
            got=repr(f"{encoding}; {codec}"[:80]),
            expected="16UC1; compressedDepth png",
            remedy="set the publisher's parameter `compressedDepth.format` to png",
        )
    if len(data) <= _DEPTH_HEADER.size:
        raise BadImageError(
            "truncated" if data else "empty",
            f"{_SUBJECT} ends within the header of compressedDepth",
            got=f"{len(data)} bytes",
            expected=f"{_DEPTH_HEADER.size} bytes and a PNG picture",
        )
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    return (a, b) if encoding == "32FC1" else None, data[_DEPTH_HEADER.size :]


def _check_meaning(format: str, message: _Message) -> None:
    """Refuse what would decode to something else than the camera saw."""
    header = message.header
    if header.color:
        return
    if message.mosaic and "compressed mono" in message.codec:
        raise BadImageError(
            "wrong_encoding",
            "a Bayer image lost its colours when it was compressed",
            got=repr(format[:80]),
            expected="bayer_...; png compressed, or rgb8; jpeg compressed bgr8",
            remedy="compress the rgb8 images of an image_proc node instead",
        )
    needed = header.bit_depth
    if message.mosaic:
        needed = 16 if message.encoding.endswith("16") else 8
    elif message.encoding in _WIDE:
        needed = 16
    floating = message.encoding == "32FC1" and message.inverse_depth is None
    if header.bit_depth != needed or floating:
        raise _unfit(format, f"{header.bit_depth}-bit {header.codec.upper()}")


def _unfit(format: str, kind: str) -> BadImageError:
    return BadImageError(
        "wrong_encoding",
        f"{kind} cannot hold the values of the encoding that the format names",
        got=repr(format[:80]),
        expected="mono16; png compressed, 16UC1; png compressed or 32FC1; compressedDepth png",
        remedy="set the publisher's parameter `compressed.format` to png",
    )


def _stored_as_rgb(message: _Message) -> bool:
    """Whether the encoder was given RGB where it takes BGR, as by image_transport before Groovy."""
    old = message.encoding.startswith(("rgb", "bgr")) and message.header.codec != "webp"
    return old and bool(message.codec) and "compressed bgr" not in message.codec


def _decode(picture: bytes, flags: int) -> npt.NDArray[Any] | None:
    try:
        decoded: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(picture, np.uint8), flags)
    except cv2.error:
        return None
    return decoded


def _encode(pixels: Pixels, codec: str, flags: list[int]) -> npt.NDArray[np.uint8]:
    done, data = cv2.imencode(f".{codec}", pixels, flags)
    if not done:
        raise SartmError(f"OpenCV cannot write {codec}", got=cv2.__version__)
    return np.asarray(data, np.uint8).reshape(-1)


def _depth(stored: npt.NDArray[np.uint16], a: float, b: float) -> npt.NDArray[np.float32]:
    """Inverse depth to depth: a / (stored - b), 0 = no value."""
    with np.errstate(all="ignore"):
        depth = np.float32(a) / (stored.astype(np.float32) - np.float32(b))
    depth[stored == 0] = np.nan
    return depth
