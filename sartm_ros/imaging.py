"""Image messages to arrays and back."""

from __future__ import annotations

import array
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sartm_core.encodings import COLOR_ENCODINGS, ENCODINGS, Pixels, check_image, decode_image
from sartm_core.errors import BadImageError
from sartm_core.frames import Image as Array
from sartm_core.frames import ThermalImage

_THERMAL_ENCODINGS = tuple(name for name in ENCODINGS if name not in COLOR_ENCODINGS)


def check_rgb(message: Image) -> None:
    """Whether :func:`decode_rgb` will succeed (for the rarer encodings: may), by the layout alone.

    Raises:
        BadImageError: not a colour encoding that can be decoded here, or a size, step or data
            length that do not fit each other.
    """
    if message.encoding in COLOR_ENCODINGS:
        check_image(*_layout(message))
        return
    if message.encoding in _THERMAL_ENCODINGS:
        raise BadImageError(
            "wrong_encoding",
            "an RGB image must be a colour image",
            got=message.encoding,
            expected=", ".join(COLOR_ENCODINGS),
            remedy="see whether the thermal camera is remapped to rgb/image",
        )
    if _converter() is None:
        raise BadImageError(
            "wrong_encoding",
            "RGB encoding cannot be decoded here",
            got=repr(message.encoding),
            expected=", ".join(COLOR_ENCODINGS),
            remedy="install cv_bridge (ROS) or rosbags-image (pip) for Bayer, YUV and others, or "
            "have the driver publish rgb8",
        )


def decode_rgb(message: Image) -> Array:
    """HxWx3 uint8 in RGB order; shares the message's memory for rgb8 without row padding.

    Raises:
        BadImageError: see :func:`check_rgb`, or the converter refuses the message.
    """
    if message.encoding in COLOR_ENCODINGS:
        return cast(Array, _decoded(message))
    check_rgb(message)
    convert = cast(Callable[[Image], Array], _converter())
    try:
        return convert(message)
    except Exception as error:  # each converter has its own kinds
        raise BadImageError(
            "undecodable",
            f"an image of encoding {message.encoding!r} is refused",
            got=error,
            expected="data that fit the encoding, the size and the step",
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


def _decoded(message: Image) -> Pixels:
    encoding, height, width, step, data = _layout(message)
    return decode_image(encoding, height, width, step, message.is_bigendian, data)


def _layout(message: Image) -> tuple[str, int, int, int, Any]:
    return message.encoding, message.height, message.width, message.step, message.data


@cache
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
    from rosbags.image.image import convert_color, to_cvtype

    # Its own reader takes no account of row padding.
    _, _, kind, channels = to_cvtype(message.encoding)
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    pixel = channels * dtype.itemsize
    pixels: npt.NDArray[Any] = np.ndarray(
        (message.height, message.width, channels),
        dtype,
        message.data,
        0,
        (message.step, pixel, dtype.itemsize),
    )
    native = np.ascontiguousarray(pixels.astype(dtype.newbyteorder("=")))
    native = native[..., 0] if channels == 1 else native
    return np.asarray(convert_color(native, message.encoding, "rgb8"), np.uint8)
