"""Compressed images: what image_transport's publishers write comes back as the camera saw it."""

from __future__ import annotations

import array
import io
import struct

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.compressed import (
    check_compressed,
    decode_compressed,
    encode_compressed,
    encode_ids,
)
from sartm_core.errors import BadImageError, SartmError
from tests.pictures import counts, gradient, nameless, pillow, png

RGB, COUNTS = gradient(), counts()
GREY = RGB[..., 0]


def by_opencv(pixels: np.ndarray, codec: str) -> bytes:
    """As the publishers of image_transport do: what is handed over as BGR."""
    return cv2.imencode(f".{codec}", pixels)[1].tobytes()


def depth_header(a: float = 0.0, b: float = 0.0) -> bytes:
    return struct.pack("<iff", 0, a, b)


def close(pixels: np.ndarray, expected: np.ndarray) -> bool:
    """JPEG and WebP are lossy; a swapped red and blue would be 60 off and more."""
    return pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("codec", ["jpeg", "png"])
@pytest.mark.parametrize(
    ("format", "handed_over"),
    [
        # image_transport of ROS 2 and of ROS 1 since Groovy
        ("rgb8; {} compressed bgr8", "bgr"),
        ("bgr8; {} compressed bgr8", "bgr"),
        ("rgba8; {} compressed bgr8", "bgr"),
        ("bgra8; {} compressed bgr8", "bgr"),
        ("yuv422; {} compressed bgr8", "bgr"),
        ("bayer_rggb8; {} compressed bgr8", "bgr"),
        # before Groovy, RGB went into the encoder where it takes BGR
        ("rgb8; {} compressed rgb8", "rgb"),
        ("bgr8; {} compressed rgb8", "rgb"),
        ("rgb8; {} compressed ", "rgb"),
        # drivers that name the codec, or nothing
        ("{}", "bgr"),
        ("", "bgr"),
        ("rgb8", "bgr"),
        ("yuyv; {} compressed", "bgr"),
    ],
)
def test_the_format_tells_the_order_of_colours(codec, format, handed_over):
    data = by_opencv(RGB if handed_over == "rgb" else RGB[..., ::-1].copy(), codec)
    decoded = decode_compressed(format.format(codec), data)
    assert decoded.dtype == np.uint8
    assert close(decoded, RGB)
    if codec == "png":
        np.testing.assert_array_equal(decoded, RGB)
    layout = check_compressed(format.format(codec), data)
    assert (layout.height, layout.width, layout.color) == (48, 64, True)


@pytest.mark.parametrize(
    "data",
    [
        pillow(RGB, "JPEG"),
        pillow(RGB, "JPEG", progressive=True),
        # Motion JPEG leaves the usual Huffman tables out
        pillow(RGB, "JPEG").replace(b"\xff\xc4", b"\xff\xee"),
        pillow(RGB, "PNG"),
        pillow(RGB, "PNG", mode="RGBA"),
        pillow(RGB, "PNG", mode="P"),
        pillow(RGB, "WEBP", lossless=True),
        pillow(RGB, "WEBP", quality=90),
        pillow(RGB, "WEBP", mode="RGBA"),
        by_opencv(RGB[..., ::-1].astype(np.uint16) * 257, "png"),
        # turned by 90 degrees, says the EXIF data: a robot's camera does not turn
        pillow(RGB, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    ],
    ids=nameless,
)
def test_pictures_of_other_encoders(data):
    assert close(decode_compressed("jpeg", data), RGB)


def test_colours_are_those_of_an_independent_decoder():
    reference = pytest.importorskip("rosbags.image.image", reason="needs rosbags-image")

    class Message:
        data = np.frombuffer(pillow(RGB, "JPEG"), np.uint8)

    theirs = reference.compressed_image_to_cvimage(Message, "rgb8")
    mine = decode_compressed("rgb8; jpeg compressed bgr8", Message.data)
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("format", "data", "expected"),
    [
        ("mono16; png compressed ", pillow(COUNTS, "PNG"), COUNTS),
        ("16UC1; png compressed ", by_opencv(COUNTS, "png"), COUNTS),
        ("png", pillow(COUNTS, "PNG"), COUNTS),
        ("mono8; png compressed ", pillow(GREY, "PNG"), GREY),
        ("8UC1; png compressed ", pillow(GREY, "PNG"), GREY),
        ("16UC1; compressedDepth png", depth_header() + by_opencv(COUNTS, "png"), COUNTS),
        ("16UC1; compressedDepth", depth_header() + by_opencv(COUNTS, "png"), COUNTS),
        # before the format named a codec, and drivers that name anything
        ("16UC1", depth_header() + by_opencv(COUNTS, "png"), COUNTS),
        ("png", depth_header() + by_opencv(COUNTS, "png"), COUNTS),
        # no pattern that there is
        ("bayer_xxxx8; png compressed ", pillow(GREY, "PNG"), GREY),
        # publishers leave the header of 16-bit images uninitialised
        ("16UC1; compressedDepth png", b"\xff" * 12 + by_opencv(COUNTS, "png"), COUNTS),
    ],
    ids=nameless,
)
def test_grey_values_come_back_untouched(format, data, expected):
    decoded = decode_compressed(format, data)
    assert decoded.dtype == expected.dtype
    np.testing.assert_array_equal(decoded, expected)
    assert not check_compressed(format, data).color


def test_grey_jpeg_is_grey():
    for format in ("mono8; jpeg compressed mono8", "mono8; jpeg compressed ", "jpeg"):
        assert close(decode_compressed(format, pillow(GREY, "JPEG")), GREY)


def test_inverse_depth_of_compressed_depth():
    kelvin = np.linspace(250, 400, 48 * 64, dtype=np.float32).reshape(48, 64)
    # As compressed_depth_image_transport quantises, with depth_max 1000 and depth_quantization 100.
    a = np.float32(100 * 101)
    b = np.float32(1 - a / 1000)
    stored = (a / kelvin + b).astype(np.uint16)
    stored[0, 0] = 0
    data = depth_header(a, b) + by_opencv(stored, "png")
    decoded = decode_compressed("32FC1; compressedDepth png", data)
    assert decoded.dtype == np.float32
    assert np.isnan(decoded[0, 0])
    step = kelvin**2 / a  # of one count
    assert (np.abs(decoded - kelvin)[1:] <= step[1:] * 1.2).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_bayer_pattern_in_a_png(bits):
    mosaic = np.tile(np.array([[200, 100], [100, 50]], f"uint{bits}"), (4, 5))
    mosaic = mosaic * 257 if bits == 16 else mosaic
    decoded = decode_compressed(f"bayer_rggb{bits}; png compressed ", pillow(mosaic, "PNG"))
    np.testing.assert_array_equal(decoded, np.full((8, 10, 3), [200, 100, 50]))
    assert check_compressed(f"bayer_rggb{bits}; png compressed ", pillow(mosaic, "PNG")).color


@pytest.mark.parametrize(
    ("format", "data", "reason", "message"),
    [
        # image_transport publishes this, and nothing in it, for 16UC1 with its default format
        ("16UC1; jpeg compressed mono8", b"", "wrong_encoding", "JPEG cannot hold.*png"),
        ("mono16; jpeg compressed mono8", pillow(GREY, "JPEG"), "wrong_encoding", "JPEG cannot"),
        ("mono16; png compressed ", pillow(GREY, "PNG"), "wrong_encoding", "8-bit PNG cannot"),
        ("32FC1; png compressed ", pillow(COUNTS, "PNG"), "wrong_encoding", "compressedDepth png"),
        ("32FC1; compressedDepth png", depth_header() + pillow(GREY, "PNG"), "wrong_encoding",
         "8-bit PNG"),
        ("bayer_rggb16; png compressed ", pillow(GREY, "PNG"), "wrong_encoding", "8-bit PNG"),
        ("bayer_rggb8; jpeg compressed mono8", pillow(GREY, "JPEG"), "wrong_encoding",
         "lost its colours"),
        ("16UC1; compressedDepth rvl", bytes(50), "wrong_encoding", "RVL.*to png"),
        ("16UC1; compressedDepth png", b"", "empty", "0 bytes"),
        ("16UC1; compressedDepth png", depth_header(), "truncated", "12 bytes"),
        ("16UC1; compressedDepth png", depth_header() + b"x" * 50, "wrong_magic", "78 78"),
        ("rgb8; jpeg compressed bgr8", b"", "empty", "the compressed image is empty"),
        ("h264", b"\0\0\0\1\x67" * 9, "wrong_magic", "00 00 00 01"),
        ("rgb8; tiff compressed ", b"II*\0" * 9, "wrong_magic", "PNG, JPEG or WebP"),
        ("jpeg", pillow(RGB, "JPEG")[:-9], "truncated", "no end"),
        ("jpeg", pillow(RGB, "JPEG") + b"junk", "trailing_data", "4 bytes after"),
        ("png", png(90_000, 90_000), "too_large", "90000x90000"),
        # well-formed, but the pixels are not there
        ("png", png(64, 48, data=b"few"), "undecodable", "cannot be decoded"),
        ("jpeg", pillow(RGB, "JPEG").replace(b"\xff\xdb", b"\xff\xee"), "undecodable", "damaged"),
    ],
    ids=nameless,
)  # fmt: skip
def test_bad_images_are_refused_with_a_reason(format, data, reason, message):
    with pytest.raises(BadImageError, match=message) as caught:
        decode_compressed(format, data)
    assert caught.value.reason == reason
    if reason != "undecodable":  # what the header tells, the check tells, too
        with pytest.raises(BadImageError, match=message):
            check_compressed(format, data)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(np.uint8, 3), (np.uint8, 1), (np.uint16, 1)]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 100),
)
def test_png_is_lossless_whatever_the_size(kind, height, width, seed):
    dtype, channels = kind
    shape = (height, width, 3) if channels == 3 else (height, width)
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    format, data = encode_compressed(values, "png")
    np.testing.assert_array_equal(decode_compressed(format, data), values)


def test_formats_are_those_of_image_transport():
    assert encode_compressed(RGB, "jpeg")[0] == "rgb8; jpeg compressed bgr8"
    assert encode_compressed(RGB, "png")[0] == "rgb8; png compressed bgr8"
    assert encode_compressed(GREY, "jpeg")[0] == "mono8; jpeg compressed mono8"
    assert encode_compressed(GREY, "png")[0] == "mono8; png compressed "
    assert encode_compressed(COUNTS, "png")[0] == "mono16; png compressed "


def test_quality_is_size():
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    sizes = [encode_compressed(noise, "jpeg", quality=q)[1].size for q in (30, 80, 95)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("pixels", "codec"),
    [
        (COUNTS, "jpeg"),
        (np.zeros((4, 4), np.float32), "png"),
        (np.zeros((4, 4, 4), np.uint8), "png"),
        (np.zeros((4, 0), np.uint8), "png"),
    ],
)
def test_pixels_that_a_codec_cannot_hold_are_refused(pixels, codec):
    with pytest.raises(SartmError, match=f"compressed as {codec}"):
        encode_compressed(pixels, codec)


def test_ids_come_back_from_a_png():
    ids = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8)
    format, data = encode_ids(ids)
    assert format == "mono8; png compressed "
    np.testing.assert_array_equal(decode_compressed(format, data), ids)
    by_pillow = PIL.Image.open(io.BytesIO(data.tobytes()))
    np.testing.assert_array_equal(np.array(by_pillow), ids)


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, np.array, array.array])
def test_data_may_be_any_buffer(container):
    raw = pillow(COUNTS, "PNG")
    data = {
        np.array: lambda: np.frombuffer(raw, np.uint8),
        array.array: lambda: array.array("B", raw),
    }.get(container, lambda: container(raw))()
    np.testing.assert_array_equal(decode_compressed("16UC1; png compressed ", data), COUNTS)
