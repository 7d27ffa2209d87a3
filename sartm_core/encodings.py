"""Pixel formats of sensor_msgs/Image, without ROS: the node and the bag reader decode alike."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.errors import BadImageError, SartmError

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """What an image message will decode to.

    Attributes:
        height, width: pixels.
        color: HxWx3 RGB; else HxW.
    """

    height: int
    width: int
    color: bool


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the bytes of an encoding lie in memory.

    Attributes:
        channels: values for each pixel; of the luma plane where chroma has a plane of its own.
        dtype: of a value.
        to_rgb: OpenCV's conversion; None = nothing to convert.
        block: height and width, in pixels, of what shares one chroma sample.
    """

    channels: int
    dtype: type[np.generic] = np.uint8
    to_rgb: int | None = None
    block: tuple[int, int] = (1, 1)

    def rows(self, height: int) -> int:
        """Rows of bytes: the half-height chroma plane follows the luma plane."""
        return height * 3 // 2 if self.block[0] == 2 else height


_THERMAL = {
    "mono8": _Layout(1),
    "8UC1": _Layout(1),
    "mono16": _Layout(1, np.uint16),
    "16UC1": _Layout(1, np.uint16),
    "32FC1": _Layout(1, np.float32),
}
# The order of OpenCV's own types is BGR, as in RViz. OpenCV names a Bayer pattern by the second
# row, ROS by the first. Names that are deprecated in sensor_msgs are still what cameras send.
_COLOR = {
    "rgb8": _Layout(3),
    "bgr8": _Layout(3, to_rgb=cv2.COLOR_BGR2RGB),
    "8UC3": _Layout(3, to_rgb=cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(4, to_rgb=cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, to_rgb=cv2.COLOR_BGRA2RGB),
    "8UC4": _Layout(4, to_rgb=cv2.COLOR_BGRA2RGB),
    "rgb16": _Layout(3, np.uint16),
    "bgr16": _Layout(3, np.uint16, cv2.COLOR_BGR2RGB),
    "rgba16": _Layout(4, np.uint16, cv2.COLOR_RGBA2RGB),
    "bgra16": _Layout(4, np.uint16, cv2.COLOR_BGRA2RGB),
    "bayer_rggb8": _Layout(1, to_rgb=cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Layout(1, to_rgb=cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Layout(1, to_rgb=cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Layout(1, to_rgb=cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": _Layout(1, np.uint16, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": _Layout(1, np.uint16, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": _Layout(1, np.uint16, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": _Layout(1, np.uint16, cv2.COLOR_BayerGB2RGB),
    "uyvy": _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_UYVY, block=(1, 2)),
    "yuv422": _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_UYVY, block=(1, 2)),
    "yuyv": _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_YUY2, block=(1, 2)),
    "yuv422_yuy2": _Layout(2, to_rgb=cv2.COLOR_YUV2RGB_YUY2, block=(1, 2)),
    "nv12": _Layout(1, to_rgb=cv2.COLOR_YUV2RGB_NV12, block=(2, 2)),
    "nv21": _Layout(1, to_rgb=cv2.COLOR_YUV2RGB_NV21, block=(2, 2)),
}
_LAYOUTS = {**_COLOR, **_THERMAL}
_FROM_RGB = {
    "rgb8": None,
    "bgr8": cv2.COLOR_RGB2BGR,
    "rgba8": cv2.COLOR_RGB2RGBA,
    "bgra8": cv2.COLOR_RGB2BGRA,
}
THERMAL_ENCODINGS = tuple(_THERMAL)
COLOR_ENCODINGS = tuple(_COLOR)
ENCODABLE_COLORS = tuple(_FROM_RGB)
"""The colour encodings that ``encode_image`` writes."""


def check_image(encoding: str, height: int, width: int, step: int, data: Any) -> ImageLayout:
    """What :func:`decode_image` will make of an image message, without touching a pixel.

    Args:
        encoding, height, width, step, data: see :func:`decode_image`.

    Raises:
        BadImageError: reason ``wrong_encoding``, ``zero_size``, ``odd_size``, ``bad_step`` or
            ``truncated``.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise BadImageError(
            "wrong_encoding",
            "image encoding is not supported",
            got=repr(encoding[:80]),
            expected=", ".join(_LAYOUTS),
            remedy="let the camera driver or an image_proc node publish one of these",
        )
    if height <= 0 or width <= 0:
        raise BadImageError("zero_size", "image without pixels", got=f"{width}x{height}")
    if height % layout.block[0] or width % layout.block[1]:
        raise BadImageError(
            "odd_size",
            f"{encoding} shares its colours between neighbouring pixels",
            got=f"{width}x{height}",
            expected="an even width and height" if layout.block[0] == 2 else "an even width",
            remedy="set an even size in the camera driver, or have it publish rgb8",
        )
    rows, row = layout.rows(height), width * layout.channels * np.dtype(layout.dtype).itemsize
    if step < row:
        raise BadImageError(
            "bad_step",
            f"image step is too small for {width} pixels of {encoding}",
            got=step,
            expected=f"at least {row}",
            remedy="set step to the bytes of a row in the camera driver",
        )
    size, needed = memoryview(data).nbytes, (rows - 1) * step + row
    if size < needed:
        raise BadImageError(
            "truncated",
            f"image data is too short for {width}x{height} {encoding} with step {step}",
            got=f"{size} bytes",
            expected=f"{needed} bytes",
            remedy="look for lost fragments in the transport, or a wrong size in the driver",
        )
    return ImageLayout(height, width, encoding in _COLOR)


def decode_image(
    encoding: str, height: int, width: int, step: int, is_bigendian: int, data: Any
) -> Pixels:
    """The pixels of an image message.

    Bayer patterns are interpolated bilinearly; YUV is BT.601 with limited range; 16-bit colours
    are scaled from 0..65535 to 0..255. All as cv_bridge does.

    Args:
        encoding: one of ``COLOR_ENCODINGS`` or ``THERMAL_ENCODINGS``.
        height, width: size in pixels.
        step: bytes from one row to the next, padding included; of NV12 and NV21 in both planes.
        is_bigendian: byte order of 16- and 32-bit values.
        data: the bytes, any contiguous buffer of uint8. Bytes after the last row are ignored.

    Returns:
        HxWx3 uint8 in RGB order for colour, HxW uint8, uint16 or float32 in native byte order for
        one channel. A view of ``data`` for rgb8 and for one channel in native byte order, a copy
        otherwise.

    Raises:
        BadImageError: see :func:`check_image`.
    """
    check_image(encoding, height, width, step, data)
    layout = _LAYOUTS[encoding]
    dtype = np.dtype(layout.dtype)
    swapped = dtype.itemsize > 1 and bool(is_bigendian) != (sys.byteorder == "big")
    stored = dtype.newbyteorder() if swapped else dtype
    shape = (layout.rows(height), width, layout.channels)
    strides = (step, layout.channels * dtype.itemsize, dtype.itemsize)
    pixels: npt.NDArray[Any] = np.ndarray(shape, stored, data, 0, strides)
    if swapped or not pixels.flags.aligned:
        pixels = pixels.astype(dtype)
    if encoding in THERMAL_ENCODINGS:
        return pixels[..., 0]
    return color_to_rgb(pixels, encoding)


def color_to_rgb(pixels: npt.NDArray[Any], encoding: str) -> npt.NDArray[np.uint8]:
    """HxWx3 uint8 RGB of a colour encoding's pixels.

    Args:
        pixels: HxWxC (HxW is enough for C = 1) of the encoding's dtype in native byte order; for
            NV12 and NV21 the rows of both planes.
        encoding: one of ``COLOR_ENCODINGS``.
    """
    layout = _COLOR[encoding]
    if layout.to_rgb is not None:
        pixels = cv2.cvtColor(pixels, layout.to_rgb)
    if layout.dtype is np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    return np.asarray(pixels, np.uint8)


def encode_image(pixels: Pixels, encoding: str) -> tuple[int, npt.NDArray[np.uint8]]:
    """Step and bytes of an image message with native byte order and no padding.

    Args:
        pixels: HxWx3 uint8 RGB for a colour encoding, HxW of the encoding's dtype otherwise.
        encoding: one of ``ENCODABLE_COLORS`` or ``THERMAL_ENCODINGS``.

    Raises:
        SartmError: the pixels do not fit the encoding.
    """
    shape = (*pixels.shape[:2], 3) if encoding in _FROM_RGB else pixels.shape[:2]
    known = encoding in _FROM_RGB or encoding in _THERMAL
    if not known or pixels.dtype != _LAYOUTS[encoding].dtype or pixels.shape != shape:
        raise SartmError(
            f"pixels cannot be encoded as {encoding}",
            got=f"{pixels.shape} {pixels.dtype}",
            expected=f"one of {', '.join([*_FROM_RGB, *_THERMAL])} with the dtype and channels it "
            "names",
        )
    if (conversion := _FROM_RGB.get(encoding)) is not None:
        pixels = np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return data.size // pixels.shape[0], data
