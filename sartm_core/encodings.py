"""Pixel formats of sensor_msgs/Image, without ROS: the node and the bag reader decode alike."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.errors import BadImageError, SartmError

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]

# encoding -> channels, dtype of a channel
_LAYOUTS: dict[str, tuple[int, type[np.generic]]] = {
    "rgb8": (3, np.uint8),
    "bgr8": (3, np.uint8),
    "rgba8": (4, np.uint8),
    "bgra8": (4, np.uint8),
    "mono8": (1, np.uint8),
    "8UC1": (1, np.uint8),
    "mono16": (1, np.uint16),
    "16UC1": (1, np.uint16),
    "32FC1": (1, np.float32),
}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
}
_FROM_RGB = {
    "bgr8": cv2.COLOR_RGB2BGR,
    "rgba8": cv2.COLOR_RGB2RGBA,
    "bgra8": cv2.COLOR_RGB2BGRA,
}
ENCODINGS = tuple(_LAYOUTS)
COLOR_ENCODINGS = ("rgb8", *_TO_RGB)


def check_image(encoding: str, height: int, width: int, step: int, data: Any) -> None:
    """Whether :func:`decode_image` takes an image message, without touching a pixel.

    Args:
        encoding, height, width, step, data: see :func:`decode_image`.

    Raises:
        BadImageError: reason ``wrong_encoding``, ``zero_size``, ``bad_step`` or ``truncated``.
    """
    if encoding not in _LAYOUTS:
        raise BadImageError(
            "wrong_encoding",
            "image encoding is not supported",
            got=repr(encoding),
            expected=", ".join(ENCODINGS),
            remedy="let the camera driver or an image_proc node publish one of these",
        )
    if height <= 0 or width <= 0:
        raise BadImageError("zero_size", "image without pixels", got=f"{width}x{height}")
    channels, kind = _LAYOUTS[encoding]
    row = width * channels * np.dtype(kind).itemsize
    if step < row:
        raise BadImageError(
            "bad_step",
            f"image step is too small for {width} pixels of {encoding}",
            got=step,
            expected=f"at least {row}",
            remedy="set step to the bytes of a row in the camera driver",
        )
    size, needed = memoryview(data).nbytes, (height - 1) * step + row
    if size < needed:
        raise BadImageError(
            "truncated",
            f"image data is too short for {width}x{height} {encoding} with step {step}",
            got=f"{size} bytes",
            expected=f"{needed} bytes",
            remedy="look for lost fragments in the transport, or a wrong size in the driver",
        )


def decode_image(
    encoding: str, height: int, width: int, step: int, is_bigendian: int, data: Any
) -> Pixels:
    """The pixels of an image message.

    Args:
        encoding: one of ``ENCODINGS``.
        height, width: size in pixels.
        step: bytes from one row to the next, padding included.
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
    channels, kind = _LAYOUTS[encoding]
    dtype = np.dtype(kind)
    swapped = dtype.itemsize > 1 and bool(is_bigendian) != (sys.byteorder == "big")
    stored = dtype.newbyteorder() if swapped else dtype
    shape, strides = (height, width, channels), (step, channels * dtype.itemsize, dtype.itemsize)
    pixels: npt.NDArray[Any] = np.ndarray(shape, stored, data, 0, strides)
    if encoding in _TO_RGB:
        return np.asarray(cv2.cvtColor(pixels, _TO_RGB[encoding]), np.uint8)
    if channels == 1:
        pixels = pixels[..., 0]
    if swapped or not pixels.flags.aligned:
        return pixels.astype(dtype)
    return pixels


def encode_image(pixels: Pixels, encoding: str) -> tuple[int, npt.NDArray[np.uint8]]:
    """Step and bytes of an image message with native byte order and no padding.

    Args:
        pixels: HxWx3 uint8 RGB for a colour encoding, HxW of the encoding's dtype otherwise.
        encoding: one of ``ENCODINGS``.

    Raises:
        SartmError: the pixels do not fit the encoding.
    """
    channels, kind = _LAYOUTS.get(encoding, (0, np.uint8))
    shape = (*pixels.shape[:2], 3) if channels > 1 else pixels.shape[:2]
    if channels == 0 or pixels.dtype != kind or pixels.shape != shape:
        raise SartmError(
            f"pixels cannot be encoded as {encoding}",
            got=f"{pixels.shape} {pixels.dtype}",
            expected=f"one of {', '.join(ENCODINGS)} with the dtype and channels it names",
        )
    if encoding in _FROM_RGB:
        pixels = np.asarray(cv2.cvtColor(pixels, _FROM_RGB[encoding]), np.uint8)
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return data.size // pixels.shape[0], data
