"""Scores of the network in training on held-out frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from sartm_core.classes import class_table
from sartm_core.evaluation.protocols import protocols_for
from sartm_core.evaluation.tally import Tally
from sartm_core.frames import Image
from sartm_core.models import Student
from sartm_core.training.config import Config
from sartm_core.training.data import Frame


def evaluate_frames(model: Student, frames: Sequence[Frame], config: Config) -> dict[str, Any]:
    """Score a network on whole frames at the input size of the exported model.

    Args:
        model: in evaluation mode.
        frames: at least one.
        config: of the run.

    Returns:
        ``score``: mean IoU of the table's headline protocol, ``protocol``: its name, ``iou``: per
        class, ``night``: the same mean over the night frames, or None.
    """
    classes = class_table(config.data.classes)
    protocol = protocols_for(classes)[0]
    tally = Tally(classes)
    for index, frame in enumerate(frames):
        mask = predict(model, frame, config)
        tally.add(f"{index}/{frame.stem}", frame.label, mask, night=frame.night)
    summary = tally.summary()
    night = summary["subsets"].get("night")
    return {
        "protocol": protocol,
        "score": summary["protocols"][protocol]["miou"] or 0.0,
        "iou": summary["protocols"][protocol]["iou"],
        "night": night["protocols"][protocol]["miou"] if night else None,
    }


@torch.no_grad()
def predict(model: Student, frame: Frame, config: Config) -> Image:
    """uint8 [H,W] class ids at the frame's size."""
    size = (config.model.input_width, config.model.input_height)
    rgb = cv2.resize(frame.rgb, size, interpolation=cv2.INTER_LINEAR)
    thermal = cv2.resize(frame.thermal, size, interpolation=cv2.INTER_LINEAR)
    valid = cv2.resize(frame.thermal_valid, size, interpolation=cv2.INTER_NEAREST)
    present = [config.data.modalities != "thermal", config.data.modalities != "rgb"]
    device = next(model.parameters()).device
    logits = model(
        torch.from_numpy(rgb)[None].to(device),
        torch.from_numpy(thermal)[None, ..., None].to(device),
        torch.from_numpy(valid)[None, ..., None].to(device),
        torch.tensor([present], dtype=torch.float32, device=device),
    )
    logits = F.interpolate(logits, size=size[::-1], mode="bilinear")
    mask = logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
    height, width = frame.label.shape
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
