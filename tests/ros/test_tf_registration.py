"""A registration from CameraInfo and a transform; tf2 itself is not here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from geometry_msgs.msg import Quaternion, Transform, Vector3
from sensor_msgs.msg import CameraInfo

from sartm_core.errors import SartmError
from sartm_ros.tf_registration import from_camera_infos

pytestmark = pytest.mark.ros


def info(focal: float, width: int, height: int, **fields: Any) -> CameraInfo:
    k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(**{"width": width, "height": height, "k": k, "d": [0.0] * 5,
                         "distortion_model": "plumb_bob", **fields})  # fmt: skip


def pose(x: float = 0.0, axis: tuple[float, float, float] = (0, 0, 1), angle: float = 0.0) -> Any:
    half = angle / 2
    sine = [float(np.sin(half) * a) for a in axis]
    rotation = Quaternion(x=sine[0], y=sine[1], z=sine[2], w=float(np.cos(half)))
    return Transform(translation=Vector3(x=x), rotation=rotation)


def test_a_baseline_shifts_by_focal_length_over_depth() -> None:
    """Thermal 0.1 m to the right of RGB; at 4 m and f = 300 that is 7.5 RGB pixels."""
    registration = from_camera_infos(info(300, 320, 240), info(150, 160, 120), pose(0.1), 4.0)
    middle = np.array([[160.0 + 7.5, 120.0]])
    np.testing.assert_allclose(registration.model.to_thermal(middle), [[80.0, 60.0]], atol=1e-9)
    assert (registration.rgb_size, registration.thermal_size) == ((320, 240), (160, 120))


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0.0, 0.8)])
def test_the_quaternion_is_the_rotation_of_opencv(axis: tuple[float, float, float]) -> None:
    registration = from_camera_infos(
        info(300, 320, 240), info(300, 320, 240), pose(0.0, axis, 0.1), 5.0
    )
    expected, _ = cv2.Rodrigues(0.1 * np.array(axis))
    model: Any = registration.model
    np.testing.assert_allclose(model.rotation, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("thermal", "said"),
    [
        (info(0.0, 160, 120), "thermal camera is not calibrated"),
        (info(150, 0, 0), "thermal camera is not calibrated"),
        (info(150, 160, 120, distortion_model="equidistant", d=[0.1] * 4), "'equidistant'"),
        (info(150, 160, 120, d=[0.1] * 3), "4, 5 or 8 coefficients"),
    ],
)
def test_what_cannot_be_used_is_refused(thermal: CameraInfo, said: str) -> None:
    with pytest.raises(SartmError, match=said):
        from_camera_infos(info(300, 320, 240), thermal, pose(), 4.0)


@pytest.mark.skipif(find_spec("tf2_ros") is not None, reason="tf2_ros is installed")
def test_without_tf2_the_parameter_is_refused(make_node: Callable[..., Any]) -> None:
    with pytest.raises(SartmError, match="no package tf2_ros"):
        make_node(start=False, registration__depth_m=4.0)
