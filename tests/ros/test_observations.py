"""What the node says of its cameras by looking at their images."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter

from tests.ros.probe import Probe, image, rgb_image, values, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_000
PERIOD = 50_000_000
RNG = np.random.default_rng(0)


def picture(stamp_ns: int, *, kind: str = "mono8") -> Any:
    """A thermal image of noise, or of counts around 300 kelvin in centikelvin."""
    if kind == "mono16":
        return image(RNG.integers(29_000, 31_000, (60, 80), np.uint16), kind, stamp_ns)
    return image(RNG.integers(0, 256, (60, 80), np.uint8), kind, stamp_ns)


def colours(stamp_ns: int) -> Any:
    return image(RNG.integers(0, 256, (60, 80, 3), np.uint8), "rgb8", stamp_ns)


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_a_frozen_camera_is_told_and_forgotten_when_it_moves_again(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, camera: str
) -> None:
    make_node(model__path=str(tiny_bundle), thermal__freeze_s=0.3)
    probe.wait_until_connected()
    still = {"rgb": colours(0), "thermal": picture(0)}
    part, stamp = f"{camera} input", START

    def play(frozen: bool) -> Any:
        nonlocal stamp
        stamp += PERIOD
        fresh = {"rgb": colours(stamp), "thermal": picture(stamp)}
        if frozen:
            still[camera].header = fresh[camera].header
            fresh[camera] = still[camera]
        probe.thermal.publish(fresh["thermal"])
        probe.rgb.publish(fresh["rgb"])
        time.sleep(0.02)
        return probe.status(part)

    wait_for(lambda: (s := play(True)) and "frozen" in s.message, "the warning")
    assert probe.status(part).level == DiagnosticStatus.WARN
    wait_for(lambda: (s := play(False)) and s.message == "receiving", "the end of it")
    assert float(values(probe.status(part))["frozen_s"]) == 0.0


def test_how_thermal_is_taken_is_told_with_hints(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    assert values(wait_for(lambda: probe.status("thermal input"), "a status"))["contract"] == "n/a"
    probe.thermal.publish(picture(START, kind="mono16"))
    probe.rgb.publish(colours(START))
    status = probe.wait_for_status("thermal input", lambda s: values(s)["contract"] != "n/a")
    assert "16 bit counts (mono16" in values(status)["contract"]
    assert "thermal.scale: 0.01" in values(status)["hint"]

    node.set_parameters(
        [
            Parameter("thermal.contract", value="raw16"),
            Parameter("thermal.scale", value=0.01),
        ]
    )
    probe.thermal.publish(picture(START + PERIOD, kind="mono16"))
    probe.rgb.publish(colours(START + PERIOD))
    probe.wait_for_status("thermal input", lambda s: values(s)["hint"] == "")


def test_smoothing_is_switched_on_and_off_while_it_runs(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    node = make_node(model__path=str(tiny_bundle), thermal__smoothing_s=30.0)
    assert node.pairs[0].smoothing.smoothing_s == 30.0
    probe.wait_until_connected()
    probe.send(START - PERIOD)
    wait_for(lambda: probe.masks, "a smoothed mask")
    node.set_parameters([Parameter("thermal.smoothing_s", value=0.0)])
    assert node.pairs[0].smoothing is None
    probe.thermal.publish(picture(START))
    probe.rgb.publish(rgb_image(START))
    wait_for(lambda: len(probe.masks) == 2, "a mask without smoothing")


def outlines(shift: int) -> tuple[np.ndarray, np.ndarray]:
    """The same random blobs in RGB and, moved to the right, in thermal."""
    noise = cv2.GaussianBlur(RNG.standard_normal((240, 320)), (0, 0), 12.0)
    grey = np.where(noise > 0, 200, 30).astype(np.uint8)
    thermal = np.roll(grey, shift, axis=1) + RNG.integers(0, 20, grey.shape, np.uint8)
    return np.ascontiguousarray(grey[..., None].repeat(3, 2)), thermal


def test_thermal_that_lies_beside_rgb_is_told(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path
) -> None:
    make_node(model__path=str(tiny_bundle))
    probe.wait_until_connected()
    stamp = START

    def play() -> Any:
        nonlocal stamp
        stamp += PERIOD
        rgb, thermal = outlines(12)
        probe.thermal.publish(image(thermal, "mono8", stamp))
        probe.rgb.publish(image(rgb, "rgb8", stamp))
        time.sleep(0.1)
        return probe.status("thermal input")

    wait_for(lambda: (s := play()) and "to the right" in s.message, "the warning", 40)
    status = probe.status("thermal input")
    assert status.level == DiagnosticStatus.WARN
    right = float(values(status)["shift_px"].split()[0])
    assert right == pytest.approx(12, abs=3)
