"""What the ids in the masks mean: latched topics of the node, one for all its pairs."""

from __future__ import annotations

import json
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import String

from sartm_core.classes import ClassTable
from sartm_ros import qos


class ClassMap:
    """Publishes the class list; also before activation, where a lifecycle publisher is silent.

    Attributes:
        version: number of the list that was published last; 0 = none yet.
    """

    def __init__(self, node: Node) -> None:
        self.version = 0
        self._node = node
        self._class_map = node.create_publisher(String, "~/class_map", qos.latched())
        self._label_info = _label_info_publisher(node)

    def publish(self, classes: ClassTable) -> None:
        """Tell what the masks' ids mean from now on."""
        self.version += 1
        names = {str(c.id): {"name": c.name, "color": list(c.color)} for c in classes.classes}
        self._class_map.publish(String(data=json.dumps({"version": self.version, **names})))
        if self._label_info is not None:
            self._label_info.publish(_label_info(classes, self._node))

    def destroy(self) -> None:
        for publisher in (self._class_map, self._label_info):
            if publisher is not None:
                self._node.destroy_publisher(publisher)


def _label_info_publisher(node: Node) -> Publisher | None:
    """None where vision_msgs is not installed: it is optional."""
    try:
        from vision_msgs.msg import LabelInfo
    except ImportError:
        return None
    return node.create_publisher(LabelInfo, "~/label_info", qos.latched())


def _label_info(classes: ClassTable, node: Node) -> Any:
    from vision_msgs.msg import LabelInfo, VisionClass

    message = LabelInfo()
    message.header.stamp = node.get_clock().now().to_msg()
    message.class_map = [VisionClass(class_id=c.id, class_name=c.name) for c in classes.classes]
    return message
