"""A registration out of what ROS knows: both cameras' CameraInfo, and the static TF between them.

tf2 is optional: it comes with an installed ROS 2, not with the wheels.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from geometry_msgs.msg import Transform
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

from sartm_core.errors import SartmError
from sartm_core.registration import CameraModel, CameraPairModel, Registration
from sartm_ros.camera_info import CameraInfoTopic
from sartm_ros.throttle import Warnings

DISTORTIONS = ("plumb_bob", "rational_polynomial")
RETRY_S = 1.0


class TfRegistration:
    """Waits for both CameraInfo and the transform, then hands the registration over, once.

    Args:
        node: who listens.
        prefix: before the names of the pair's topics.
        depth_m: distance of the plane on which thermal lies right, before the RGB camera.
        found: told the registration.
        warnings: told what is wrong with what came.

    Raises:
        SartmError: tf2_ros is not installed.
    """

    def __init__(
        self,
        node: Node,
        prefix: str,
        depth_m: float,
        found: Callable[[Registration], None],
        warnings: Warnings,
    ) -> None:
        check_installed()
        from tf2_ros import Buffer, TransformListener

        self._node = node
        self._depth_m = depth_m
        self._found = found
        self._warnings = warnings
        self._infos = [
            CameraInfoTopic(node, f"{prefix}{s}/camera_info") for s in ("rgb", "thermal")
        ]
        for info in self._infos:
            info.open()
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)
        self._timer = node.create_timer(RETRY_S, self._try)

    def close(self) -> None:
        """Listen no more."""
        self._node.destroy_timer(self._timer)
        self._listener.unregister()
        for info in self._infos:
            info.close()

    def _try(self) -> None:
        from tf2_ros import TransformException

        rgb, thermal = (info.newest for info in self._infos)
        if rgb is None or thermal is None:
            return
        try:
            stamped = self._buffer.lookup_transform(
                rgb.header.frame_id, thermal.header.frame_id, Time()
            )
            registration = from_camera_infos(rgb, thermal, stamped.transform, self._depth_m)
        except (TransformException, SartmError) as error:
            self._warnings.say("registration", f"no registration from CameraInfo and TF: {error}")
            return
        self._timer.cancel()
        self._found(registration)


def check_installed() -> None:
    """Whether a transform can be had at all.

    Raises:
        SartmError: tf2_ros is not installed.
    """
    if find_spec("tf2_ros") is None:
        raise SartmError(
            "registration.depth_m needs the transform between the cameras",
            got="no package tf2_ros",
            remedy="install ros-$ROS_DISTRO-tf2-ros, or set registration.file (`sartm calibrate`)",
        )


def from_camera_infos(
    rgb: CameraInfo, thermal: CameraInfo, thermal_to_rgb: Transform, depth_m: float
) -> Registration:
    """A registration on the plane ``depth_m`` metres before the RGB camera.

    Args:
        rgb, thermal: calibrations, of images as the cameras send them (distorted).
        thermal_to_rgb: pose of the thermal optical frame in the RGB optical frame (REP 103).

    Raises:
        SartmError: a camera is not calibrated, or by another model than OpenCV's pinhole.
    """
    shift, turn = thermal_to_rgb.translation, thermal_to_rgb.rotation
    return Registration(
        rgb_size=(rgb.width, rgb.height),
        thermal_size=(thermal.width, thermal.height),
        model=CameraPairModel(
            rgb=_camera("RGB", rgb),
            thermal=_camera("thermal", thermal),
            rotation=_rotation(turn.x, turn.y, turn.z, turn.w),
            translation=np.array([shift.x, shift.y, shift.z]),
            depth_m=depth_m,
        ),
    )


def _camera(name: str, info: CameraInfo) -> CameraModel:
    if info.k[0] <= 0 or not info.width or not info.height:
        raise SartmError(
            f"the {name} camera is not calibrated",
            got=f"fx {info.k[0]:g}, {info.width}x{info.height}",
            expected="focal lengths above 0 and a size (REP 104)",
            remedy="calibrate it with camera_calibration",
        )
    if info.d and info.distortion_model not in DISTORTIONS:
        raise SartmError(
            f"the {name} camera has an unknown distortion model",
            got=repr(info.distortion_model),
            expected=" or ".join(DISTORTIONS),
            remedy="set registration.file (`sartm calibrate`)",
        )
    matrix = np.array(info.k, np.float64).reshape(3, 3)
    return CameraModel(matrix, np.array(info.d or [0.0] * 5, np.float64))


def _rotation(x: float, y: float, z: float, w: float) -> np.ndarray:
    """The matrix of a quaternion, which need not be of length 1."""
    norm = x * x + y * y + z * z + w * w
    if not norm > 0:
        raise SartmError("the transform between the cameras has no rotation", got=(x, y, z, w))
    s = 2.0 / norm
    return np.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    )
