"""Image messages to arrays and back.

The way in is :mod:`sartm_core.camera_messages`, which the bag reader shares; it takes raw and
compressed messages alike. A node checks a message in its callback, keeps it as it came, and decodes
it in its worker, if it is used at all.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from sartm_core.camera_messages import check_rgb, check_thermal, decode_rgb, decode_thermal
from sartm_core.compressed import encode_compressed, encode_ids
from sartm_core.frames import Image as Array
from sartm_core.frames import ThermalImage

__all__ = [
    "LazyThermal",
    "check_rgb",
    "check_thermal",
    "decode_rgb",
    "decode_thermal",
    "encode_mask_png",
    "encode_overlay_jpeg",
    "to_message",
]

OVERLAY_QUALITY = 80
"""An overlay is looked at, not measured: half the bytes of image_transport's default of 95."""


class LazyThermal:
    """A checked thermal message that is decoded when it is first needed, and only once: several
    RGB images may share it, others never ask for it. For one thread at a time.

    Args:
        message: a raw or compressed image that passed ``check_thermal``.
    """

    def __init__(self, message: Image | CompressedImage) -> None:
        self.message = message
        self._image: ThermalImage | None = None

    def image(self) -> ThermalImage:
        """HxW uint8, uint16 or float32.

        Raises:
            BadImageError: see ``decode_thermal``; at every call.
        """
        if self._image is None:
            self._image = decode_thermal(self.message)
        return self._image


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
