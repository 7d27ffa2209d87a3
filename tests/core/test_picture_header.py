"""Headers of pictures: what they say is read, and what cannot be is refused before decoding."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.errors import BadImageError
from sartm_core.picture_header import (
    MAX_JPEG_SCANS,
    MAX_PIXELS,
    PictureHeader,
    check_whole,
    read_picture_header,
)
from tests.pictures import counts, gradient, nameless, pillow, png, resized_jpeg

RGB, GREY = gradient(), gradient()[..., 0]
JPEG, PNG, WEBP = (pillow(RGB, codec) for codec in ("JPEG", "PNG", "WEBP"))


def read(data: bytes) -> PictureHeader:
    header = read_picture_header(data)
    check_whole(data, header)
    return header


@pytest.mark.parametrize(
    ("data", "codec", "color", "depth"),
    [
        (JPEG, "jpeg", True, 8),
        (pillow(RGB, "JPEG", progressive=True), "jpeg", True, 8),
        (pillow(RGB, "JPEG", mode="CMYK"), "jpeg", True, 8),
        (pillow(GREY, "JPEG"), "jpeg", False, 8),
        # a thumbnail in EXIF data has a frame header and an end of its own
        (pillow(RGB, "JPEG", exif=b"Exif\0\0" + pillow(GREY[:8, :8], "JPEG")), "jpeg", True, 8),
        (PNG, "png", True, 8),
        (pillow(GREY, "PNG"), "png", False, 8),
        (pillow(counts(), "PNG"), "png", False, 16),
        (pillow(RGB, "PNG", mode="P"), "png", True, 8),
        (pillow(RGB, "PNG", mode="RGBA"), "png", True, 8),
        (pillow(GREY, "PNG", mode="LA"), "png", False, 8),
        (pillow(GREY, "PNG", mode="1"), "png", False, 1),
        (WEBP, "webp", True, 8),
        (pillow(RGB, "WEBP", lossless=True), "webp", True, 8),
        (pillow(RGB, "WEBP", mode="RGBA", exif=b"Exif\0\0"), "webp", True, 8),  # a VP8X chunk
    ],
    ids=nameless,
)
def test_pictures_of_another_encoder(data, codec, color, depth):
    header = read(data)
    assert (header.codec, header.width, header.height) == (codec, 64, 48)
    assert (header.color, header.bit_depth) == (color, depth)


@pytest.mark.parametrize("data", [JPEG, PNG, WEBP], ids=["jpeg", "png", "webp"])
def test_zeros_behind_a_picture_are_padding(data):
    read(data + bytes(1000))
    with pytest.raises(BadImageError, match="1001 bytes after the end") as caught:
        read(data + bytes(1000) + b"x")
    assert caught.value.reason == "trailing_data"


@pytest.mark.parametrize("data", [JPEG, PNG, WEBP], ids=["jpeg", "png", "webp"])
def test_a_picture_that_is_cut_off_anywhere(data):
    for size in range(12, len(data)):
        with pytest.raises(BadImageError) as caught:
            read(data[:size])
        assert caught.value.reason == "truncated", size


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (b"", "empty", "0 bytes"),
        (b"\0", "wrong_magic", "bytes 00"),
        (b"GIF89a" + bytes(50), "wrong_magic", "47 49 46"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(50), "wrong_magic", "PNG, JPEG or WebP"),
        (WEBP.replace(b"VP8 ", b"VP9 "), "undecodable", "VP9"),
        (PNG.replace(b"IHDR", b"IDHR"), "undecodable", "PNG header"),
        (png(64, 48, depth=7), "undecodable", "7 bits"),
        (png(64, 48, color=1), "undecodable", "colour type 1"),
        (JPEG[:30] + b"junk" * 20, "undecodable", "JPEG segment"),
        # no frame header before the scan
        (JPEG.replace(b"\xff\xc0", b"\xff\xee"), "undecodable", "JPEG segment"),
        (b"\xff\xd8" + b"\xff" * 100_000, "undecodable", "JPEG segment"),
        (png(0, 48), "zero_size", "0x48"),
        (resized_jpeg(JPEG, 64, 0), "zero_size", "64x0"),
        (png(MAX_PIXELS + 1, 1), "too_large", "64 megapixels"),
        (png(2**31, 2**31, depth=16), "too_large", "2147483648x2147483648"),
        (resized_jpeg(JPEG, 65535, 65535), "too_large", "65535x65535"),
        (WEBP[:26] + struct.pack("<HH", 16383, 16383) + WEBP[30:], "too_large", "16383x16383"),
        # within the limit, but more than the bytes can hold
        (png(8000, 8000), "truncated", "8000x8000 pixels cannot be in so few bytes"),
        (resized_jpeg(JPEG, 8000, 8000), "truncated", "8000x8000 pixels cannot be"),
        (PNG[:-12] + struct.pack(">I", 9) + PNG[-8:], "truncated", "have no end"),
        # OpenCV would allocate 1 GB for this chunk
        (PNG[:33] + struct.pack(">I", 10**9) + PNG[37:], "truncated", "have no end"),
        (PNG[:33] + 20_000 * (bytes(4) + b"tEXt" + bytes(4)) + PNG[33:], "truncated", "no end"),
    ],
    ids=nameless,
)
def test_bad_pictures_are_refused_with_a_reason(data, reason, message):
    with pytest.raises(BadImageError, match=message) as caught:
        read(data)
    assert caught.value.reason == reason


def test_a_progressive_jpeg_that_would_keep_the_decoder_busy():
    data = pillow(RGB, "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    with pytest.raises(BadImageError, match="too many scans"):
        read(data[:-2] + last * (MAX_JPEG_SCANS + 1) + data[-2:])


@given(st.binary(max_size=100), st.sampled_from([JPEG, PNG, WEBP]), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(junk, data, at):
    for candidate in (junk, data[:at] + junk, data[:at] + junk + data[at + len(junk) :]):
        with suppress(BadImageError):
            header = read(candidate)
            assert 0 < header.width * header.height <= MAX_PIXELS


def test_the_subject_is_named():
    with pytest.raises(BadImageError, match=r"^a/b\.png is empty"):
        read_picture_header(b"", "a/b.png")
