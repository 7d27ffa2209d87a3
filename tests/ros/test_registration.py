"""Thermal cameras that look another way than RGB: turned upright, then moved onto the RGB plane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from rclpy.parameter import Parameter

from sartm_core.errors import SartmError
from sartm_core.registration import Homography, Registration, save_registration
from tests.bundles import CAR, PERSON
from tests.ros.probe import Probe, image, rgb_image, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_000
PERIOD = 100_000_000
RGB, THERMAL = (80, 60), (40, 40)


def half_hot(stamp_ns: int) -> Any:
    """40x40, the left half hot."""
    pixels = np.zeros((40, 40), np.uint8)
    pixels[:, :20] = 250
    return image(pixels, "mono8", stamp_ns, "thermal_optical_frame")


def ids(message: Any) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Thermal sees the middle of the RGB image: columns 20 to 59, rows 10 to 49."""
    path = tmp_path / "registration.yaml"
    shift = Homography(np.array([[1.0, 0, 20], [0, 1, 10], [0, 0, 1]]))
    save_registration(Registration(RGB, THERMAL, shift), path)
    return path


def test_thermal_lands_where_the_registration_says(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, file: Path
) -> None:
    make_node(model__path=str(tiny_bundle), registration__file=str(file))
    probe.wait_until_connected()
    probe.thermal.publish(half_hot(START))
    probe.rgb.publish(rgb_image(START))
    mask = ids(wait_for(lambda: probe.masks and probe.masks[0], "a mask"))
    assert mask.shape == (60, 80)
    assert (mask[12:48, 22:38] == PERSON).all()
    assert (mask[12:48, 42:] == CAR).all()
    assert (mask[:, :18] == CAR).all(), "outside the thermal view nothing is hot"
    assert (mask[:8] == CAR).all()


def test_thermal_alone_is_shown_on_the_rgb_plane(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, file: Path
) -> None:
    make_node(model__path=str(tiny_bundle), registration__file=str(file), sync__max_hold_s=0.1)
    probe.wait_until_connected()
    probe.thermal.publish(half_hot(START))
    mask = wait_for(lambda: probe.masks and probe.masks[0], "a mask of thermal alone")
    assert (mask.height, mask.width) == (60, 80)
    assert mask.header.frame_id == "thermal_optical_frame"
    assert (ids(mask)[12:48, 22:38] == PERSON).all()


def test_a_camera_on_its_side_is_turned(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, file: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle), registration__file=str(file), thermal__rotate=90)
    probe.wait_until_connected()
    probe.thermal.publish(half_hot(START))
    probe.rgb.publish(rgb_image(START))
    mask = ids(wait_for(lambda: probe.masks and probe.masks[0], "a mask"))
    assert (mask[12:28, 22:58] == PERSON).all(), "left has become top"
    assert (mask[32:48, 22:58] == CAR).all()

    node.set_parameters(
        [Parameter("thermal.rotate", value=0), Parameter("thermal.flip", value="horizontal")]
    )
    probe.thermal.publish(half_hot(START + PERIOD))
    probe.rgb.publish(rgb_image(START + PERIOD))
    mask = ids(wait_for(lambda: len(probe.masks) > 1 and probe.masks[1], "another mask"))
    assert (mask[12:48, 42:58] == PERSON).all(), "left has become right"


def test_a_registration_may_come_and_go_and_a_wrong_one_is_refused(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, file: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    probe.thermal.publish(half_hot(START))
    probe.rgb.publish(rgb_image(START))
    wait_for(lambda: node.accounts().rgb.dropped == {"wrong_aspect": 1}, "the refusal")

    result = node.set_parameters([Parameter("registration.file", value=str(file) + ".none")])[0]
    assert not result.successful
    assert "cannot be read" in result.reason

    assert node.set_parameters([Parameter("registration.file", value=str(file))])[0].successful
    probe.thermal.publish(half_hot(START + PERIOD))
    probe.rgb.publish(rgb_image(START + PERIOD))
    wait_for(lambda: probe.masks, "a mask")


def test_a_wrong_registration_at_start_ends_the_node(make_node: MakeNode, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("schema_version: 99")
    with pytest.raises(SartmError, match="newer version; got 99"):
        make_node(start=False, registration__file=str(tmp_path / "r.yaml"))
