"""Compressed pictures for tests: real ones by Pillow, and ones whose headers lie."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image


def gradient(height: int = 48, width: int = 64) -> np.ndarray:
    """HxWx3 uint8 RGB: red grows to the right, green downwards, blue is low."""
    y, x = np.mgrid[:height, :width]
    red, green = 80 + 150 * x // width, 60 + 120 * y // height
    return np.stack([red, green, np.full_like(red, 20)], axis=-1).astype(np.uint8)


def counts(height: int = 48, width: int = 64) -> np.ndarray:
    """HxW uint16, both bytes in use."""
    return (np.arange(height * width).reshape(height, width) * 19 + 27000).astype(np.uint16)


def pillow(pixels: np.ndarray, codec: str, **options: Any) -> bytes:
    """A picture by an encoder other than OpenCV's; a mode in ``options`` converts first."""
    picture, file = PIL.Image.fromarray(pixels), io.BytesIO()
    if (mode := options.pop("mode", None)) is not None:
        picture = picture.convert(mode, palette=PIL.Image.Palette.ADAPTIVE)
    picture.save(file, codec, **options)
    return file.getvalue()


def png(width: int, height: int, *, depth: int = 8, color: int = 0, data: bytes = b"") -> bytes:
    """A well-formed PNG that announces a size and brings ``data``, whatever they are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    start = b"\x89PNG\r\n\x1a\n" + header
    return start + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def resized_jpeg(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header announces another size."""
    at = next(i for i in range(len(jpeg)) if jpeg[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def nameless(value: object) -> str | None:
    """The id of a parametrised test without the bytes of its picture."""
    return "data" if isinstance(value, bytes) else None
