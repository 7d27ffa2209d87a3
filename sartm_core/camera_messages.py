"""Camera messages to arrays: sensor_msgs/Image and CompressedImage, from rclpy or from a bag.

``check_*`` looks at fields and headers alone, which is quick enough for a callback; ``decode_*``
makes the pixels. What passes the first can still fail the second: by damage inside compressed data,
or by kelvin that are not finite.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from sartm_core.compressed import check_compressed, decode_compressed
from sartm_core.encodings import (
    COLOR_ENCODINGS,
    THERMAL_ENCODINGS,
    ImageLayout,
    Pixels,
    check_image,
    decode_image,
)
from sartm_core.errors import BadImageError
from sartm_core.frames import Image, ThermalImage


def encoding_of(message: Any) -> str:
    """The field that tells what the bytes mean: ``encoding``, or ``format`` if compressed."""
    return str(message.format if _is_compressed(message) else message.encoding)


def check_message(message: Any) -> ImageLayout:
    """What a camera message will decode to.

    Args:
        message: a sensor_msgs Image or CompressedImage, of rclpy or of a bag.

    Raises:
        BadImageError: see :func:`check_image` and :func:`check_compressed`.
    """
    if _is_compressed(message):
        return check_compressed(message.format, message.data)
    return check_image(message.encoding, message.height, message.width, message.step, message.data)


def decode_message(message: Any) -> Pixels:
    """The pixels of a camera message: see :func:`decode_image` and :func:`decode_compressed`."""
    if _is_compressed(message):
        return decode_compressed(message.format, message.data)
    return decode_image(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.is_bigendian,
        message.data,
    )


def check_rgb(message: Any) -> None:
    """Whether :func:`decode_rgb` will succeed, as far as fields and headers tell.

    Raises:
        BadImageError: see :func:`check_message`, or reason ``wrong_encoding``: not a colour image.
    """
    if not check_message(message).color:
        raise _no_color(message)


def decode_rgb(message: Any) -> Image:
    """HxWx3 uint8 in RGB order; shares the message's memory for rgb8.

    Raises:
        BadImageError: see :func:`check_rgb`, or reason ``undecodable``.
    """
    check_rgb(message)
    return cast(Image, decode_message(message))


def check_thermal(message: Any) -> None:
    """Whether :func:`decode_thermal` will succeed, as far as fields and headers tell.

    Raises:
        BadImageError: see :func:`check_message`, or reason ``wrong_encoding``: a colour image.
    """
    if check_message(message).color:
        raise _color(message)


def decode_thermal(message: Any) -> ThermalImage:
    """HxW uint8, uint16 or float32; shares the message's memory where its bytes allow it.

    Raises:
        BadImageError: see :func:`check_thermal`, or reason ``undecodable``, or ``non_finite``: a
            temperature that is no number.
    """
    check_thermal(message)
    pixels = decode_message(message)
    if pixels.dtype == np.float32:
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            total = pixels.sum(dtype=np.float64)
        if not np.isfinite(total):
            raise _not_finite(message, pixels)
    return pixels


def _is_compressed(message: Any) -> bool:
    return hasattr(message, "format")


def _no_color(message: Any) -> BadImageError:
    return BadImageError(
        "wrong_encoding",
        "an RGB image must be a colour image",
        got=repr(encoding_of(message)[:80]),
        expected="colours in a JPEG, PNG or WebP picture"
        if _is_compressed(message)
        else ", ".join(COLOR_ENCODINGS),
        remedy="see whether the thermal camera is remapped to rgb/image",
    )


def _color(message: Any) -> BadImageError:
    return BadImageError(
        "wrong_encoding",
        "a thermal image must have one channel",
        got=repr(encoding_of(message)[:80]),
        expected="a grey PNG or JPEG picture"
        if _is_compressed(message)
        else ", ".join(THERMAL_ENCODINGS),
        remedy="remap the camera's raw or mono8 topic to thermal/image, not its false colours",
    )


def _not_finite(message: Any, kelvin: Pixels) -> BadImageError:
    bad = int((~np.isfinite(kelvin)).sum())
    return BadImageError(
        "non_finite",
        "thermal image has NaN or infinite temperatures",
        got=f"{bad} of {kelvin.size} pixels",
        expected="kelvin in every pixel",
        remedy="set the parameter `depth_max` of the compressedDepth publisher above the hottest "
        "temperature; its default of 10 drops everything else"
        if _is_compressed(message)
        else "have the driver mark dead pixels with a neighbour's value",
    )
