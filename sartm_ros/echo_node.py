"""A node without a model: the floor under every latency, for the benchmarks.

It takes RGB and thermal images as the segment node does and publishes a mask of the same size made
of one of the colours, so what remains is ROS itself and the conversion of the images.
"""

from __future__ import annotations

import sys

import numpy as np

from sartm_ros.segment_node import keep_freed_pages


def main() -> int:
    """Run the node until Ctrl-C."""
    keep_freed_pages()
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import Image

    from sartm_ros import qos
    from sartm_ros.imaging import decode_rgb, decode_thermal, to_message

    rclpy.init()
    node = rclpy.create_node("echo")
    masks = node.create_publisher(Image, "~/mask", qos.masks_out())

    def answer(message: Image) -> None:
        mask = np.ascontiguousarray(decode_rgb(message)[..., 0])
        masks.publish(to_message(mask, "mono8", message.header))

    node.create_subscription(Image, "rgb/image", answer, qos.images_in())
    node.create_subscription(
        Image, "thermal/image", lambda message: decode_thermal(message), qos.images_in()
    )
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
