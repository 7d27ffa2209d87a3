"""Everything that is published for a mask."""

from __future__ import annotations

import json
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import String

from sartm_core.bundle import Bundle
from sartm_core.classes import ClassTable
from sartm_core.frames import Image as Array
from sartm_ros import qos
from sartm_ros.imaging import to_message
from sartm_ros.worker import MS, Result

DEGRADED = {
    "no_thermal": "no thermal image near this RGB image",
    "held_thermal": "the last thermal image was reused",
    "no_rgb": "RGB is silent: thermal alone",
}


class Outputs:
    """The publishers of a configured node. ``publish`` is for the worker thread alone."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._class_list_version = 0
        self._model: dict[str, str] = {}
        self._classes: ClassTable | None = None
        lifecycle = node.create_lifecycle_publisher
        self._mask = lifecycle(Image, "~/mask", qos.masks_out())
        self._frame_info = lifecycle(DiagnosticArray, "~/frame_info", qos.masks_out())
        self._confidence = lifecycle(Image, "~/confidence", qos.pictures_out())
        self._mask_color = lifecycle(Image, "~/mask_color", qos.pictures_out())
        self._overlay = lifecycle(Image, "~/overlay", qos.pictures_out())
        # Latched topics speak before activation: a lifecycle publisher would swallow them.
        self._class_map = node.create_publisher(String, "~/class_map", qos.latched())
        self._label_info = _label_info_publisher(node)

    def announce(self, bundle: Bundle, sha256: str) -> None:
        """Tell what the mask's ids mean from now on."""
        self._class_list_version += 1
        self._classes = bundle.classes
        self._model = {"model": bundle.name, "model_sha256": sha256}
        names = {
            str(c.id): {"name": c.name, "color": list(c.color)} for c in bundle.classes.classes
        }
        text = json.dumps({"version": self._class_list_version, **names})
        self._class_map.publish(String(data=text))
        if self._label_info is not None:
            self._label_info.publish(_label_info(bundle.classes, self._node))

    def publish(self, result: Result) -> dict[str, float]:
        """Publish the mask, its frame_info and what somebody looks at; returns all stages, ms."""
        begin = time.monotonic_ns()
        header = result.job.leading.message.header
        mask = to_message(result.segmentation.mask, "mono8", header)
        prepared = time.monotonic_ns()
        self._mask.publish(mask)
        published = time.monotonic_ns()
        stages = {
            **result.stages_ms,
            "publish_prepare": (prepared - begin) * MS,
            "publish": (published - prepared) * MS,
            "total": (published - result.job.leading.entered_ns) * MS,
        }
        if _watched(self._confidence):
            confidence = to_message(result.segmentation.confidence, "mono8", header)
            self._confidence.publish(confidence)
        self._frame_info.publish(self._info(result, stages))
        self._publish_pictures(result)
        return stages

    def destroy(self) -> None:
        for publisher in (
            self._mask,
            self._frame_info,
            self._confidence,
            self._mask_color,
            self._overlay,
        ):
            self._node.destroy_lifecycle_publisher(publisher)
        for publisher in (self._class_map, self._label_info):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _publish_pictures(self, result: Result) -> None:
        color, overlay = _watched(self._mask_color), _watched(self._overlay)
        if not (color or overlay) or self._classes is None:
            return
        from sartm_core import viz

        header, mask = result.job.leading.message.header, result.segmentation.mask
        if color:
            picture = viz.colorize(mask, self._classes)
            self._mask_color.publish(to_message(picture, "rgb8", header))
        if overlay:
            picture = viz.overlay(_background(result), mask, self._classes)
            self._overlay.publish(to_message(picture, "rgb8", header))

    def _info(self, result: Result, stages: dict[str, float]) -> DiagnosticArray:
        pair, header = result.job.pair, result.job.leading.message.header
        degraded = pair.degraded
        values: dict[str, Any] = {
            "modalities": "+".join(result.segmentation.modalities),
            "degraded": "yes" if degraded else "no",
            "degraded_reason": degraded,
            "thermal_stamp": "n/a",
            "thermal_age_ms": "n/a",
            "class_list_version": self._class_list_version,
            **self._model,
        }
        if pair.thermal is not None:
            stamp = pair.thermal.message.header.stamp
            values["thermal_stamp"] = f"{stamp.sec}.{stamp.nanosec:09d}"
        if pair.offset_ns is not None:
            values["thermal_age_ms"] = f"{-pair.offset_ns * MS:.3f}"
        values.update({f"time_{name}_ms": f"{value:.3f}" for name, value in stages.items()})
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if degraded else DiagnosticStatus.OK,
            name=f"{self._node.get_name()}: frame",
            message=DEGRADED.get(degraded, degraded) if degraded else "RGB and thermal",
            hardware_id=self._model.get("model", ""),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        return DiagnosticArray(header=header, status=[status])


def _watched(publisher: Publisher) -> bool:
    return bool(publisher.get_subscription_count())


def _background(result: Result) -> Array:
    """The image under the overlay, at the mask's size."""
    import cv2

    from sartm_core.thermal import normalise
    from sartm_core.viz import thermal_to_rgb

    image = result.rgb
    if image is None:
        image = thermal_to_rgb(normalise(result.job.pair.thermal.image))
    height, width = result.segmentation.mask.shape
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return image


def _label_info_publisher(node: LifecycleNode) -> Publisher | None:
    """None where vision_msgs is not installed: it is optional."""
    try:
        from vision_msgs.msg import LabelInfo
    except ImportError:
        return None
    return node.create_publisher(LabelInfo, "~/label_info", qos.latched())


def _label_info(classes: ClassTable, node: LifecycleNode) -> Any:
    from vision_msgs.msg import LabelInfo, VisionClass

    message = LabelInfo()
    message.header.stamp = node.get_clock().now().to_msg()
    message.class_map = [VisionClass(class_id=c.id, class_name=c.name) for c in classes.classes]
    return message
