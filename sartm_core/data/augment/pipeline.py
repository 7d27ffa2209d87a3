"""From a pair to a training sample: geometry, then each camera's own changes, then what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from sartm_core.classes import IGNORE_ID
from sartm_core.data.augment.config import AugmentConfig
from sartm_core.data.augment.copy_paste import Donor, Pasted, paste_objects
from sartm_core.data.augment.geometry import Point, crop_map, footprint, misregistration, resample
from sartm_core.data.augment.masking import hide_blocks, narrower_view, present_cameras
from sartm_core.data.augment.photometric import blur, darken, jitter, overexpose
from sartm_core.data.augment.soft_targets import SoftTarget, crop_target
from sartm_core.data.augment.thermal_jitter import add_noise, equalise, vary_gain
from sartm_core.data.teacher_planes import TeacherPlanes
from sartm_core.frames import Image


@dataclass(frozen=True)
class TrainingSample:
    """What the network and the loss take, for one crop.

    Attributes:
        rgb: uint8 [H,W,3].
        thermal: uint8 [H,W], normalised.
        thermal_valid: uint8 [H,W], 0 or 1.
        present: float32 [2], RGB and thermal, 0 or 1. An absent camera's image is still there.
        label: uint8 [H,W], 255 outside the source image.
        hidden: uint8 [H,W], 0 nothing, 1 RGB hidden, 2 thermal hidden; the images are not masked
            yet, so that a loss can compare with the whole pair.
        teacher: what teachers say, under the same geometry; None = they were not asked.
    """

    rgb: Image
    thermal: Image
    thermal_valid: Image
    present: np.ndarray
    label: Image
    hidden: Image
    teacher: SoftTarget | None = field(default=None, kw_only=True)


def augment(
    rgb: Image,
    thermal: Image,
    thermal_valid: Image,
    label: Image,
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    center: Point | None = None,
    modalities: str = "rgb+thermal",
    donors: Sequence[Donor] = (),
    teacher: TeacherPlanes | None = None,
) -> TrainingSample:
    """One random crop of a pair.

    Args:
        rgb: uint8 [h,w,3].
        thermal: uint8 [h,w], normalised by ``sartm_core.thermal``.
        thermal_valid: uint8 [h,w], 0 where the thermal camera does not look.
        label: uint8 [h,w].
        config: ranges and probabilities.
        rng: the only source of randomness.
        center: (x, y) source pixel near the middle of the crop; None = anywhere.
        modalities: one of ``MODALITIES``; a camera that is not named is always absent.
        donors: candidates for copy-paste, in order.
        teacher: what teachers say about the pair; donors need theirs then.
    """

    # What is off draws no number, so that a new kind of change leaves older runs as they were.
    def happens(probability: float) -> bool:
        return probability > 0 and bool(rng.random() < probability)

    size = (config.crop_width, config.crop_height)
    view = crop_map(label.shape[:2], center, config, rng)
    pasted: list[Pasted] = []
    if donors and happens(config.copy_paste):
        rgb, thermal, label, pasted = paste_objects(
            rgb, thermal, thermal_valid, label, donors,
            limit=int(rng.integers(1, config.paste_count + 1)),
            classes=config.paste_classes,
            window=footprint(view, size, label.shape),
            rng=rng,
        )  # fmt: skip
    thermal_view = misregistration(label.shape[:2], config, rng) @ view

    crop_rgb = resample(rgb, view, size, cv2.INTER_LINEAR, 0)
    crop_label = resample(label, view, size, cv2.INTER_NEAREST, IGNORE_ID)
    crop_thermal = resample(thermal, thermal_view, size, cv2.INTER_LINEAR, 0)
    valid = resample((thermal_valid > 0).astype(np.uint8), thermal_view, size, cv2.INTER_NEAREST, 0)

    for probability, change_rgb in (
        (config.photometric, jitter),
        (config.overexpose, overexpose),
        (config.blur, blur),
        (config.darken, darken),
    ):
        if happens(probability):
            crop_rgb = change_rgb(crop_rgb, rng)
    for probability, change_thermal in (
        (config.thermal_clahe, equalise),
        (config.thermal_gain, vary_gain),
        (config.thermal_noise, add_noise),
    ):
        if happens(probability):
            crop_thermal = change_thermal(crop_thermal, rng)
    if happens(config.narrow_view):
        valid = valid * narrower_view(size, rng)
    present = present_cameras(config, modalities, rng)
    if present.all() and happens(config.masking):
        hidden = hide_blocks(valid, config, rng)
    else:
        hidden = np.zeros_like(valid)
    return TrainingSample(
        rgb=crop_rgb,
        thermal=crop_thermal * valid,
        thermal_valid=valid,
        present=present,
        label=crop_label,
        hidden=hidden,
        teacher=crop_target(teacher, label.shape, view, size, pasted) if teacher else None,
    )
