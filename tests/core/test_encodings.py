from __future__ import annotations

import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.encodings import COLOR_ENCODINGS, ENCODINGS, decode_image, encode_image
from sartm_core.errors import BadImageError, SartmError

DTYPES = {"mono16": np.uint16, "16UC1": np.uint16, "32FC1": np.float32}


def picture(encoding: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if encoding in COLOR_ENCODINGS else (height, width)
    return rng.integers(0, 256, shape).astype(DTYPES.get(encoding, np.uint8)) * (
        200 if encoding in DTYPES else 1
    )


@given(
    st.sampled_from(ENCODINGS),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(0, 9),
    st.booleans(),
    st.integers(0, 100),
)
def test_whatever_the_padding_and_byte_order_the_pixels_come_back(
    encoding, height, width, padding, big, seed
):
    pixels = picture(encoding, height, width, seed)
    step, data = encode_image(pixels, encoding)
    if big:
        data = data.reshape(-1, pixels.dtype.itemsize)[:, ::-1]
    rows = np.pad(data.reshape(height, step), ((0, 0), (0, padding)), constant_values=77)
    decoded = decode_image(encoding, height, width, step + padding, big, rows.tobytes())
    assert decoded.dtype == pixels.dtype
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, pixels)


def test_channel_orders():
    data = bytes([1, 2, 3, 4])
    assert decode_image("rgb8", 1, 1, 3, 0, data[:3])[0, 0].tolist() == [1, 2, 3]
    assert decode_image("bgr8", 1, 1, 3, 0, data[:3])[0, 0].tolist() == [3, 2, 1]
    assert decode_image("rgba8", 1, 1, 4, 0, data)[0, 0].tolist() == [1, 2, 3]
    assert decode_image("bgra8", 1, 1, 4, 0, data)[0, 0].tolist() == [3, 2, 1]


def test_byte_orders():
    assert decode_image("mono16", 1, 1, 2, 0, b"\x01\x02")[0, 0] == 0x0201
    assert decode_image("16UC1", 1, 1, 2, 1, b"\x01\x02")[0, 0] == 0x0102


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "mono16", "16UC1", "32FC1"])
def test_no_copy_where_none_is_needed(encoding):
    step, data = encode_image(picture(encoding, 4, 6), encoding)
    assert np.shares_memory(decode_image(encoding, 4, 6, step, 0, data), data)
    padded = np.zeros(4 * (step + 4), np.uint8)
    assert np.shares_memory(decode_image(encoding, 4, 6, step + 4, 0, padded), padded)


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, array.array])
def test_data_may_be_any_buffer(container):
    raw = bytes(range(12))
    data = array.array("B", raw) if container is array.array else container(raw)
    assert decode_image("rgb8", 2, 2, 6, 0, data).tobytes() == raw


def test_the_last_row_needs_no_padding():
    assert decode_image("mono8", 2, 2, 4, 0, bytes(6)).shape == (2, 2)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (("yuv422", 2, 2, 4, 0, bytes(8)), "wrong_encoding"),
        (("", 2, 2, 4, 0, bytes(8)), "wrong_encoding"),
        (("mono8", 0, 2, 2, 0, b""), "zero_size"),
        (("mono8", 2, 0, 0, 0, b""), "zero_size"),
        (("rgb8", 2, 2, 5, 0, bytes(12)), "bad_step"),
        (("mono16", 2, 2, 0, 0, bytes(8)), "bad_step"),
        (("rgb8", 2, 2, 6, 0, bytes(11)), "truncated"),
        # a header that promises more than memory holds is refused before anything is allocated
        (("mono8", 2**32 - 1, 2**32 - 1, 2**32 - 1, 0, bytes(8)), "truncated"),
    ],
)
def test_bad_images_are_refused_with_a_reason(message, reason):
    with pytest.raises(BadImageError, match="got") as caught:
        decode_image(*message)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("pixels", "encoding"),
    [
        (np.zeros((2, 2), np.uint8), "rgb8"),
        (np.zeros((2, 2, 3), np.uint8), "mono8"),
        (np.zeros((2, 2), np.uint8), "mono16"),
        (np.zeros((2, 2), np.uint8), "nv12"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(pixels, encoding):
    with pytest.raises(SartmError, match=encoding):
        encode_image(pixels, encoding)
