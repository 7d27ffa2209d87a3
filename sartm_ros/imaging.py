"""Image messages to arrays and back."""

from __future__ import annotations

import array
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from sartm_core.encodings import decode_image
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sartm_core.errors import BadImageError
from sartm_core.frames import Image as Array
from sartm_core.frames import ThermalImage

_COLOUR_BYTES = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}
_THERMAL_ENCODINGS = ("mono8", "8UC1", "mono16", "16UC1", "32FC1")


def check_rgb(message: Image) -> None:
    """Whether :func:`decode_rgb` will succeed, without touching a pixel.

    Raises:
        BadImageError: not a colour encoding that can be decoded here, or a size, step or data
            length that do not fit each other.
    """
    if message.encoding in _COLOUR_BYTES:
        _check_layout(message, _COLOUR_BYTES[message.encoding])
        return
    if message.encoding in _THERMAL_ENCODINGS:
        raise BadImageError(
            "wrong_encoding",
            "an RGB image must be a colour image",
            got=message.encoding,
            expected=", ".join(_COLOUR_BYTES),
            remedy="see whether the thermal camera is remapped to rgb/image",
        )
    if _converter() is None:
        raise BadImageError(
            "wrong_encoding",
            "RGB encoding cannot be decoded here",
            got=repr(message.encoding),
            expected=", ".join(_COLOUR_BYTES),
            remedy="install cv_bridge (ROS) or rosbags-image (pip) for Bayer, YUV and others, or "
            "have the driver publish rgb8",
        )
    if not message.height or not message.width or len(message.data) < message.step * message.height:
        _check_layout(message, 1)


def decode_rgb(message: Image) -> Array:
    """HxWx3 uint8 in RGB order; shares the message's memory for rgb8 without row padding.

    Raises:
        BadImageError: see :func:`check_rgb`, or the converter refuses the message.
    """
    if message.encoding in _COLOUR_BYTES:
        return cast(Array, _decoded(message))
    convert = _converter()
    if convert is None:
        check_rgb(message)
        raise AssertionError("check_rgb lets through what cannot be decoded")
    try:
        return convert(message)
    except Exception as error:  # each converter has its own kinds
        raise BadImageError(
            "wrong_encoding", f"RGB image of encoding {message.encoding!r} is refused", got=error
        ) from error


def decode_thermal(message: Image) -> ThermalImage:
    """HxW uint8, uint16 or float32; shares the message's memory where the bytes allow it.

    Raises:
        BadImageError: not a one-channel encoding, a size, step or data length that do not fit, or
            a temperature that is not finite.
    """
    if message.encoding not in _THERMAL_ENCODINGS:
        raise BadImageError(
            "wrong_encoding",
            "a thermal image must have one channel",
            got=repr(message.encoding),
            expected=", ".join(_THERMAL_ENCODINGS),
            remedy="remap the camera's raw or mono8 topic to thermal/image, not its false colours",
        )
    image = cast(ThermalImage, _decoded(message))
    if image.dtype == np.float32 and not np.isfinite(image.sum(dtype=np.float64)):
        raise BadImageError(
            "non_finite",
            "thermal image has NaN or infinite temperatures",
            got=f"{int((~np.isfinite(image)).sum())} of {image.size} pixels",
            expected="kelvin in every pixel",
            remedy="have the driver mark dead pixels with a neighbour's value",
        )
    return image


def to_message(image: Array, encoding: str, header: Header) -> Image:
    """An Image message of a HxW or HxWx3 uint8 array, with the header as it is."""
    message = Image(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=image.shape[1] * (image.shape[2] if image.ndim == 3 else 1),
    )
    # The quickest way in: the array constructor copies element by element, bytes are checked so.
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast("B"))
    message.data = data
    return message


def _decoded(message: Image) -> npt.NDArray[Any]:
    return decode_image(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.is_bigendian,
        message.data,
    )


def _check_layout(message: Image, bytes_per_pixel: int) -> None:
    if not message.height or not message.width:
        raise BadImageError(
            "zero_size", "image without pixels", got=f"{message.width}x{message.height}"
        )
    if message.step < message.width * bytes_per_pixel:
        raise BadImageError(
            "bad_step",
            "a row is shorter than its pixels",
            got=f"step {message.step}",
            expected=f"at least {message.width * bytes_per_pixel}",
            remedy="correct step in the driver",
        )
    if len(message.data) < message.step * message.height:
        raise BadImageError(
            "truncated",
            "image data end too early",
            got=f"{len(message.data)} bytes",
            expected=f"{message.step * message.height}",
            remedy="see whether the driver or the transport cuts images",
        )


def _converter() -> Callable[[Image], Array] | None:
    """What decodes the rarer encodings here; None = nothing installed."""
    if find_spec("cv_bridge") is not None:
        return _by_cv_bridge
    if find_spec("rosbags") is not None and find_spec("rosbags.image") is not None:
        return _by_rosbags
    return None


def _by_cv_bridge(message: Image) -> Array:
    from cv_bridge import CvBridge

    return cast(Array, CvBridge().imgmsg_to_cv2(message, "rgb8"))


def _by_rosbags(message: Image) -> Array:
    from rosbags.image import message_to_cvimage

    return np.asarray(message_to_cvimage(message, "rgb8"), np.uint8)
