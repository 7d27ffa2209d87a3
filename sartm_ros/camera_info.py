"""The RGB camera's calibration, passed on beside the masks."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from sartm_ros import qos


class CameraInfoTopic:
    """The newest CameraInfo of one camera, while it is open.

    Args:
        node: who subscribes.
        topic: its name as the node knows it, before remapping, e.g. ``rgb/camera_info``.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self.newest: CameraInfo | None = None
        self._node = node
        self._topic = topic
        self._subscription: Subscription | None = None

    def open(self) -> None:
        """Subscribe."""
        self.newest = None
        self._subscription = self._node.create_subscription(
            CameraInfo, self._topic, self._take, qos.images_in()
        )

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _take(self, info: CameraInfo) -> None:
        self.newest = info


def resized(info: CameraInfo, width: int, height: int, header: Header) -> CameraInfo:
    """``info`` for the same image at another size, with ``header``.

    Focal lengths and principal point scale with the image; distortion does not. A region of
    interest and binning are taken as the driver's business: the image is taken for the whole.
    """
    across = width / info.width if info.width else 1.0
    down = height / info.height if info.height else 1.0
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model=info.distortion_model,
        d=info.d,
        k=_scaled(info.k, 3, across, down),
        r=info.r,
        p=_scaled(info.p, 4, across, down),
    )


def _scaled(matrix: list[float], columns: int, across: float, down: float) -> list[float]:
    """A matrix with three rows, by rows: what gives columns and what gives rows of pixels."""
    factors = [across] * columns + [down] * columns + [1.0] * columns
    return [float(value) * factor for value, factor in zip(matrix, factors, strict=True)]
