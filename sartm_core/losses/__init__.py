"""Losses, as functions of logits and labels."""

from sartm_core.losses.segmentation import (
    LossConfig,
    dice_loss,
    hardest_mean,
    segmentation_loss,
)

__all__ = ["LossConfig", "dice_loss", "hardest_mean", "segmentation_loss"]
