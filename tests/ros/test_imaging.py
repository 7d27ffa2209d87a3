"""Messages to arrays and back; the pixel formats themselves are tested in tests/core."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_core.errors import BadImageError
from sartm_ros.imaging import check_rgb, decode_rgb, decode_thermal, to_message
from tests.ros.probe import image, rgb_image, thermal_image

pytestmark = pytest.mark.ros


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
        ({"step": 3}, "bad_step"),
        ({"height": 61}, "truncated"),
        ({"width": 0}, "zero_size"),
    ],
)
def test_bad_rgb_images_are_refused_with_a_reason(
    changes: dict[str, object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sartm_ros.imaging._converter", lambda: None)
    message = rgb_image(1)
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(BadImageError) as caught:
        check_rgb(message)
    assert caught.value.reason == reason


def test_false_colour_thermal_is_refused() -> None:
    with pytest.raises(BadImageError, match="false colours"):
        decode_thermal(rgb_image(1))


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
