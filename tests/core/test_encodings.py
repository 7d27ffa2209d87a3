from __future__ import annotations

import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.encodings import (
    COLOR_ENCODINGS,
    ENCODABLE_COLORS,
    THERMAL_ENCODINGS,
    check_image,
    decode_image,
    encode_image,
)
from sartm_core.errors import BadImageError, SartmError

DTYPES = {"mono16": np.uint16, "16UC1": np.uint16, "32FC1": np.float32}
CHANNELS = {
    **{f"{order}{n}": len(order) for order in ("rgb", "bgr", "rgba", "bgra") for n in (8, 16)},
    **{f"bayer_{p}{n}": 1 for p in ("rggb", "bggr", "gbrg", "grbg") for n in (8, 16)},
    **dict.fromkeys(("uyvy", "yuv422", "yuyv", "yuv422_yuy2"), 2),
    **dict.fromkeys(("nv12", "nv21"), 1),
    "8UC3": 3,
    "8UC4": 4,
}
ENCODABLE = (*ENCODABLE_COLORS, *THERMAL_ENCODINGS)


def picture(encoding: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if encoding in COLOR_ENCODINGS else (height, width)
    return rng.integers(0, 256, shape).astype(DTYPES.get(encoding, np.uint8)) * (
        200 if encoding in DTYPES else 1
    )


def stored(encoding: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random values of a colour encoding as they lie in memory, without padding."""
    rows = height * 3 // 2 if encoding.startswith("nv") else height
    dtype = np.uint16 if encoding.endswith("16") else np.uint8
    shape = (rows, width, CHANNELS[encoding])
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape)
    return values.astype(dtype)


@given(
    st.sampled_from(ENCODABLE),
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


@given(
    st.sampled_from(COLOR_ENCODINGS),
    st.integers(2, 5).map(lambda half: 2 * half),
    st.integers(2, 5).map(lambda half: 2 * half),
    st.integers(0, 9),
    st.booleans(),
    st.integers(0, 100),
)
def test_padding_and_byte_order_change_no_colour(encoding, height, width, padding, big, seed):
    values = stored(encoding, height, width, seed)
    step = values[0].nbytes
    plain = decode_image(encoding, height, width, step, 0, values.tobytes())
    assert (plain.shape, plain.dtype) == ((height, width, 3), np.uint8)
    assert check_image(encoding, height, width, step, values.tobytes()).color
    rows = (values.byteswap() if big else values).reshape(len(values), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    again = decode_image(encoding, height, width, step + padding, int(big), padded.tobytes())
    np.testing.assert_array_equal(again, plain)


@pytest.mark.parametrize("encoding", [name for name in COLOR_ENCODINGS if name[0] != "8"])
def test_colours_are_those_of_an_independent_decoder(encoding):
    reference = pytest.importorskip("rosbags.image.image", reason="needs rosbags-image")
    values = stored(encoding, 12, 16)
    mine = decode_image(encoding, 12, 16, values[0].nbytes, 0, values.tobytes())
    flat = values[..., 0] if values.shape[2] == 1 else values
    theirs = reference.convert_color(flat, encoding, "rgb8")
    difference = np.abs(mine.astype(int) - theirs).max()
    assert difference <= (1 if values.dtype == np.uint16 else 0)  # it cuts off, we round


def test_channel_orders():
    data = bytes([1, 2, 3, 4])
    assert decode_image("rgb8", 1, 1, 3, 0, data[:3])[0, 0].tolist() == [1, 2, 3]
    assert decode_image("bgr8", 1, 1, 3, 0, data[:3])[0, 0].tolist() == [3, 2, 1]
    assert decode_image("8UC3", 1, 1, 3, 0, data[:3])[0, 0].tolist() == [3, 2, 1]
    assert decode_image("rgba8", 1, 1, 4, 0, data)[0, 0].tolist() == [1, 2, 3]
    assert decode_image("bgra8", 1, 1, 4, 0, data)[0, 0].tolist() == [3, 2, 1]
    assert decode_image("8UC4", 1, 1, 4, 0, data)[0, 0].tolist() == [3, 2, 1]


def test_16_bit_colours_use_the_whole_range():
    values = np.array([0, 257 * 128, 65535], np.uint16)
    assert decode_image("rgb16", 1, 1, 6, 0, values.tobytes())[0, 0].tolist() == [0, 128, 255]
    assert decode_image("bgr16", 1, 1, 6, 0, values.tobytes())[0, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize(
    ("encoding", "first_row", "second_row"),
    [
        # which of four neighbouring pixels have the red, green and blue filter
        ("bayer_rggb", "rg", "gb"),
        ("bayer_bggr", "bg", "gr"),
        ("bayer_gbrg", "gb", "rg"),
        ("bayer_grbg", "gr", "bg"),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_an_even_colour_behind_a_bayer_filter(encoding, first_row, second_row, bits):
    scale = 257 if bits == 16 else 1
    value = {"r": 200 * scale, "g": 100 * scale, "b": 50 * scale}
    block = [[value[color] for color in row] for row in (first_row, second_row)]
    mosaic = np.tile(np.array(block, f"uint{bits}"), (4, 5))
    decoded = decode_image(f"{encoding}{bits}", 8, 10, mosaic[0].nbytes, 0, mosaic.tobytes())
    np.testing.assert_array_equal(decoded, np.full((8, 10, 3), [200, 100, 50]))


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("uyvy", bytes([90, 120, 200, 120]) * 4),
        ("yuv422", bytes([90, 120, 200, 120]) * 4),
        ("yuyv", bytes([120, 90, 120, 200]) * 4),
        ("yuv422_yuy2", bytes([120, 90, 120, 200]) * 4),
        ("nv12", bytes([120] * 8) + bytes([90, 200] * 2)),
        ("nv21", bytes([120] * 8) + bytes([200, 90] * 2)),
    ],
)
def test_yuv_is_bt601_with_limited_range(encoding, data):
    y, u, v = 1.164 * (120 - 16), 90 - 128, 200 - 128
    expected = [y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u]
    step = 4 if encoding.startswith("nv") else 8
    decoded = decode_image(encoding, 2, 4, step, 0, data)
    np.testing.assert_allclose(decoded, np.broadcast_to(expected, (2, 4, 3)), atol=1)


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
    assert decode_image("nv12", 2, 2, 4, 0, bytes(10)).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (("yuv444", 2, 2, 4, 0, bytes(8)), "wrong_encoding"),
        (("RGB8", 2, 2, 6, 0, bytes(12)), "wrong_encoding"),
        (("", 2, 2, 4, 0, bytes(8)), "wrong_encoding"),
        (("mono8", 0, 2, 2, 0, b""), "zero_size"),
        (("mono8", 2, 0, 0, 0, b""), "zero_size"),
        (("yuyv", 2, 3, 6, 0, bytes(12)), "odd_size"),
        (("nv12", 3, 2, 2, 0, bytes(12)), "odd_size"),
        (("nv21", 2, 3, 3, 0, bytes(12)), "odd_size"),
        (("rgb8", 2, 2, 5, 0, bytes(12)), "bad_step"),
        (("mono16", 2, 2, 0, 0, bytes(8)), "bad_step"),
        (("rgb8", 2, 2, 6, 0, bytes(11)), "truncated"),
        # the chroma plane is missing
        (("nv12", 2, 2, 2, 0, bytes(5)), "truncated"),
        # a header that promises more than memory holds is refused before anything is allocated
        (("mono8", 2**32 - 1, 2**32 - 1, 2**32 - 1, 0, bytes(8)), "truncated"),
        (("bayer_rggb16", 2**32 - 1, 2**30, 2**32 - 1, 0, bytes(8)), "truncated"),
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
        (np.zeros((2, 2), np.float64), "float"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(pixels, encoding):
    with pytest.raises(SartmError, match=encoding):
        encode_image(pixels, encoding)
