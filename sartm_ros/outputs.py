"""Everything that a pair of cameras gets published for a mask."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from sartm_core.bundle import Bundle
from sartm_core.frames import Image as Array
from sartm_ros import qos
from sartm_ros.camera_info import resized
from sartm_ros.imaging import to_message
from sartm_ros.worker import MS, Result

DEGRADED = {
    "no_thermal": "no thermal image near this RGB image",
    "held_thermal": "the last thermal image was reused",
    "no_rgb": "RGB is silent: thermal alone",
}


class Outputs:
    """The publishers of one pair of cameras. ``publish`` is for the worker thread alone.

    Args:
        node: whose topics.
        pair: the pair's name, between the node's name and the topics'; empty = one without a name.
    """

    def __init__(self, node: LifecycleNode, pair: str = "") -> None:
        self._node = node
        self._model: dict[str, Any] = {}

        def lifecycle(kind: type, name: str, profile: QoSProfile) -> Publisher:
            topic = f"~/{pair}/{name}" if pair else f"~/{name}"
            return node.create_lifecycle_publisher(kind, topic, profile)

        self._mask = lifecycle(Image, "mask", qos.masks_out())
        self._frame_info = lifecycle(DiagnosticArray, "frame_info", qos.masks_out())
        self._camera_info = lifecycle(CameraInfo, "camera_info", qos.pictures_out())
        self._confidence = lifecycle(Image, "confidence", qos.pictures_out())
        self._mask_color = lifecycle(Image, "mask_color", qos.pictures_out())
        self._overlay = lifecycle(Image, "overlay", qos.pictures_out())

    def use(self, bundle: Bundle, sha256: str, class_list_version: int) -> None:
        """Masks come from this model, and mean what that list says, from now on."""
        self._model = {
            "class_list_version": class_list_version,
            "model": bundle.name,
            "model_sha256": sha256,
        }

    def publish(self, result: Result, rgb_info: CameraInfo | None) -> dict[str, float]:
        """Publish the mask, its frame_info and what somebody looks at; returns all stages, ms.

        ``rgb_info`` is the RGB camera's calibration, if it is known.
        """
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
        if rgb_info is not None and result.rgb is not None and _watched(self._camera_info):
            self._camera_info.publish(resized(rgb_info, mask.width, mask.height, header))
        self._publish_pictures(result)
        return stages

    def destroy(self) -> None:
        for publisher in (
            self._mask,
            self._frame_info,
            self._camera_info,
            self._confidence,
            self._mask_color,
            self._overlay,
        ):
            self._node.destroy_lifecycle_publisher(publisher)

    def _publish_pictures(self, result: Result) -> None:
        color, overlay = _watched(self._mask_color), _watched(self._overlay)
        if not (color or overlay):
            return
        from sartm_core import viz

        header, mask = result.job.leading.message.header, result.segmentation.mask
        if color:
            picture = viz.colorize(mask, result.classes)
            self._mask_color.publish(to_message(picture, "rgb8", header))
        if overlay:
            picture = viz.overlay(_background(result), mask, result.classes)
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
        image = thermal_to_rgb(normalise(result.thermal))
    height, width = result.segmentation.mask.shape
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return image
