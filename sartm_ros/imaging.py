"""Image messages to arrays and back.

The way in is :mod:`sartm_core.camera_messages`, which the bag reader shares; it takes raw and
compressed messages alike. The node checks an RGB message in its callback and decodes it in its
worker, if it is used at all; a thermal one, which several RGB images may share, at once.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from sartm_core.camera_messages import check_rgb, decode_rgb, decode_thermal
from sartm_core.compressed import encode_compressed, encode_ids
from sartm_core.frames import Image as Array

__all__ = [
    "check_rgb",
    "decode_rgb",
    "decode_thermal",
    "encode_mask_png",
    "encode_overlay_jpeg",
    "to_message",
]

OVERLAY_QUALITY = 80
"""An overlay is looked at, not measured: half the bytes of image_transport's default of 95."""


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
    message.data = _bytes(image)
    return message


def encode_mask_png(mask: Array, header: Header) -> CompressedImage:
    """A CompressedImage message of HxW uint8 class ids, lossless, with the header as it is."""
    return _compressed(*encode_ids(mask), header)


def encode_overlay_jpeg(overlay: Array, header: Header) -> CompressedImage:
    """A CompressedImage message of a HxWx3 uint8 RGB picture, with the header as it is."""
    return _compressed(*encode_compressed(overlay, "jpeg", quality=OVERLAY_QUALITY), header)


def _compressed(format: str, data: Array, header: Header) -> CompressedImage:
    message = CompressedImage(header=header, format=format)
    message.data = _bytes(data)
    return message


def _bytes(values: Any) -> array.array[int]:
    # The quickest way in: the array constructor copies element by element, bytes are checked so.
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(values)).cast("B"))
    return data
