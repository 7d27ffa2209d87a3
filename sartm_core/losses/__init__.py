"""Losses: functions of logits, features and labels, over the joint batch of all processes."""

from sartm_core.losses.cmkd import CmkdConfig, CrossModalDistillation
from sartm_core.losses.distill import DistillConfig, TeacherDistillation
from sartm_core.losses.gradients import gradient_norms
from sartm_core.losses.segmentation import (
    LossConfig,
    dice_loss,
    hardest_mean,
    log_probabilities,
    segmentation_loss,
)

__all__ = [
    "CmkdConfig",
    "CrossModalDistillation",
    "DistillConfig",
    "LossConfig",
    "TeacherDistillation",
    "dice_loss",
    "gradient_norms",
    "hardest_mean",
    "log_probabilities",
    "segmentation_loss",
]
