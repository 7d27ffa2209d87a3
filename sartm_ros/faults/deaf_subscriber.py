"""`python -m sartm_ros.faults.deaf_subscriber TARGET`: reads nothing of a node's outputs.

It says ``ready`` when a publisher of each is found, and waits to be stopped.
"""

from __future__ import annotations

import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from sartm_ros.replay.session import ros_node

OUTPUTS = {
    "mask": Image,
    "frame_info": DiagnosticArray,
    "confidence": Image,
    "mask_color": Image,
    "overlay": Image,
}


def main(target: str) -> None:
    with ros_node("deaf_subscriber", "/") as node:
        subscriptions = [
            node.create_subscription(kind, f"{target}/{name}", lambda _: None, QoSProfile(depth=5))
            for name, kind in OUTPUTS.items()
        ]
        while not all(node.count_publishers(s.topic_name) for s in subscriptions):
            time.sleep(0.05)
        time.sleep(0.5)  # both ends must know of each other
        print("ready", flush=True)
        while True:
            time.sleep(1.0)


if __name__ == "__main__":
    main(sys.argv[1])
