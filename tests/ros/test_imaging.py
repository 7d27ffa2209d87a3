"""Messages to arrays and back; the pixel formats themselves are tested in tests/core."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from array import array

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage

from sartm_core.camera_messages import check_thermal
from sartm_core.errors import BadImageError
from sartm_ros.imaging import (
    check_rgb,
    decode_rgb,
    decode_thermal,
    encode_mask_png,
    encode_overlay_jpeg,
    to_message,
)
from tests.pictures import counts, gradient, pillow
from tests.ros.probe import image, rgb_image, thermal_image

pytestmark = pytest.mark.ros


def compressed(format: str, data: bytes) -> CompressedImage:
    """As it arrives over the wire."""
    message = CompressedImage(format=format, data=array("B", data))
    return deserialize_message(serialize_message(message), CompressedImage)


def test_colour_images_become_rgb() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert np.array_equal(decode_rgb(image(pixels, "rgb8", 1)), pixels)
    assert np.array_equal(decode_rgb(image(pixels[..., ::-1].copy(), "bgr8", 1)), pixels)


def test_rgb8_shares_the_memory_of_the_message() -> None:
    message = rgb_image(1)
    decoded = decode_rgb(message)
    message.data[0] = 77
    assert decoded[0, 0, 0] == 77


@pytest.mark.parametrize(
    ("encoding", "dtype"), [("mono8", np.uint8), ("16UC1", np.uint16), ("32FC1", np.float32)]
)
def test_thermal_images_keep_their_values(encoding: str, dtype: type) -> None:
    pixels = np.arange(48).reshape(6, 8).astype(dtype)
    decoded = decode_thermal(image(pixels, encoding, 1))
    assert decoded.dtype == dtype
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # the thermal camera on the RGB topic
        ({"encoding": "mono16"}, "wrong_encoding"),
        ({"encoding": "nonsense"}, "wrong_encoding"),
        ({"encoding": "mono8"}, "wrong_encoding"),
        ({"encoding": "nv12", "height": 59}, "odd_size"),
        ({"step": 3}, "bad_step"),
        ({"height": 61}, "truncated"),
        ({"width": 0}, "zero_size"),
    ],
)
def test_bad_rgb_images_are_refused_with_a_reason(changes: dict[str, object], reason: str) -> None:
    message = rgb_image(1)
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(BadImageError) as caught:
        check_rgb(message)
    assert caught.value.reason == reason


def test_false_colour_thermal_is_refused() -> None:
    false_colours = compressed("jpeg", pillow(gradient(), "JPEG"))
    for message in (rgb_image(1), false_colours):
        for step in (check_thermal, decode_thermal):
            with pytest.raises(BadImageError, match="false colours"):
                step(message)


def test_grey_pictures_are_no_rgb_images() -> None:
    message = compressed("mono8; jpeg compressed mono8", pillow(gradient()[..., 0], "JPEG"))
    for step in (check_rgb, decode_rgb):
        with pytest.raises(BadImageError, match="must be a colour image") as caught:
            step(message)
        assert caught.value.reason == "wrong_encoding"


def test_compressed_images_of_both_cameras() -> None:
    rgb = compressed("rgb8; png compressed bgr8", pillow(gradient(), "PNG"))
    check_rgb(rgb)
    np.testing.assert_array_equal(decode_rgb(rgb), gradient())
    thermal = compressed("16UC1; png compressed ", pillow(counts(), "PNG"))
    check_thermal(thermal)
    np.testing.assert_array_equal(decode_thermal(thermal), counts())


def test_raw_thermal_is_checked_without_its_values() -> None:
    kelvin = np.full((6, 8), np.nan, np.float32)
    message = image(kelvin, "32FC1", 1)
    check_thermal(message)
    message.step = 31
    with pytest.raises(BadImageError, match="step"):
        check_thermal(message)


def test_kelvin_beyond_depth_max_are_refused_with_the_remedy() -> None:
    """What compressedDepth makes of 300 K with its default depth_max of 10."""
    nothing = bytes(12) + pillow(np.zeros((6, 8), np.uint16), "PNG")
    message = compressed("32FC1; compressedDepth png", nothing)
    check_thermal(message)
    with pytest.raises(BadImageError, match=r"48 of 48.*depth_max") as caught:
        decode_thermal(message)
    assert caught.value.reason == "non_finite"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_temperatures_must_be_finite(value: float) -> None:
    kelvin = np.full((6, 8), 300.0, np.float32)
    kelvin[1, 2] = value
    with pytest.raises(BadImageError, match="1 of 48 pixels") as caught:
        decode_thermal(image(kelvin, "32FC1", 1))
    assert caught.value.reason == "non_finite"


def test_messages_carry_header_and_pixels() -> None:
    header = thermal_image(5_000_000_007).header
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    message = to_message(pixels[:, ::-1], "rgb8", header)
    assert message.header == header
    assert (message.height, message.width, message.step) == (6, 8, 24)
    assert bytes(message.data) == pixels[:, ::-1].tobytes()


def test_masks_are_compressed_without_loss() -> None:
    header = thermal_image(5_000_000_007).header
    ids = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    message = encode_mask_png(ids, header)
    assert message.header == header
    assert message.format == "mono8; png compressed "
    np.testing.assert_array_equal(decode_thermal(message), ids)


def test_overlays_are_compressed_in_their_colours() -> None:
    header = rgb_image(5_000_000_007).header
    message = encode_overlay_jpeg(gradient(), header)
    assert message.header == header
    assert message.format == "rgb8; jpeg compressed bgr8"
    assert np.abs(decode_rgb(message).astype(int) - gradient()).mean() < 4
