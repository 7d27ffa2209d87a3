"""The model card says what was measured, on what, and what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.classes import MFNET, class_rows
from sartm_core.export import model_card
from sartm_core.export.measured import read_scores

SYNTHETIC = {"dataset": "synthetic", "split": None, "frames": 40, "weight": 1.0}
REAL = {"dataset": "folder:site", "split": "train", "frames": 259, "weight": 3.0}


def card(
    *datasets: dict[str, Any],
    held_out: int = 0,
    calibration: dict[str, Any] | None = None,
    **metrics: Any,
) -> str:
    manifest = {
        "calibration": calibration or {"temperature": {"rgb+thermal": 1.0}},
        "name": "model",
        "classes": class_rows(MFNET),
        "input": {"height": 480, "width": 640},
        "thermal": {"normalisation": "per frame"},
        "training": {
            "git_rev": "abc",
            "dataset": list(datasets),
            "dev_frames": held_out,
            "seed": 3,
            "steps": 1200,
            "metrics": metrics,
        },
    }
    facts = {
        "encoder": "efficientnet_lite0",
        "width": 128,
        "fusion": "gated",
        "fuse_at": 16,
        "scale": 1.0,
        "thermal_scale": 1.0,
        "pretrained": True,
        "parameters": "3.70",
        "batch": 8,
        "crop_width": 320,
        "crop_height": 256,
        "modalities": "rgb+thermal",
        "frames": 8,
        "parity": "1e-05",
    }
    return model_card.render(manifest, facts)


def test_data_sets_with_their_shares() -> None:
    text = card(REAL, SYNTHETIC)
    assert "- `folder:site`, list `train`: 259 frames, 75% of the samples" in text
    assert "- `synthetic`: 40 frames, 25% of the samples" in text


def test_limits_follow_from_the_data() -> None:
    assert "synthetic scenes alone" in card(SYNTHETIC)
    assert "synthetic scenes alone" not in card(REAL, SYNTHETIC)
    assert "Real training frames are few" in card(REAL, SYNTHETIC)


def test_held_out_frames_are_told() -> None:
    assert "12 frames of these sets were held out" in card(REAL, held_out=12)
    assert "No frame was held out" in card(REAL)


def part(miou: float | None, **iou: float | None) -> dict[str, Any]:
    return {"protocols": {"mfnet8": {"miou": miou, "iou": iou, "acc": 0.5}}}


def test_measured_figures_come_from_metrics_json(tmp_path: Path) -> None:
    confusion = np.zeros((2, 3, 4), np.int64)  # frames, truth, prediction or none
    confusion[:, 0, 0] = 9
    confusion[1, 1, 2] = 5  # car in the second frame alone, taken for bump
    np.savez(tmp_path / "per_frame.npz", confusion=confusion)
    metrics = {
        "dataset": "site",
        "split": "val",
        "frames": 2,
        "classes": [{"name": "unlabelled"}, {"name": "car"}, {"name": "bump"}],
        **part(0.4567, car=0.9, bump=None),
        "modality": "rgb+thermal",
        "modalities": {
            "rgb+thermal": part(0.4567, car=0.9, bump=None),
            "thermal": part(0.21, car=0.22, bump=None),
            "mean": part(0.33),
        },
        "subsets": {"night": part(0.3, car=0.31, bump=None)},
        "interval": {"protocol": "mfnet8", "low": 0.4, "high": 0.5},
        "corruptions": {
            "motion_blur": {
                "1": {"retained": 0.98},
                "2": {"retained": 0.9},
                "3": {"retained": 0.71},
                "mean": {"retained": 0.86},
            },
            "mean": {"mean": {"retained": 0.86}},
        },
        "calibration": {"ece": 0.071},
        "per_frame": "per_frame.npz",
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    text = card(REAL, **read_scores(tmp_path / "metrics.json"))
    assert "### site val, 2 frames" in text
    assert "Mean IoU **0.457**, protocol `mfnet8`; 95 % interval" in text
    assert "0.400 to 0.500" in text
    assert "| class | frames | all | thermal | night |" in text
    assert "| **mean** | 2 | 0.457 | 0.210 | 0.300 |" in text
    assert "| car | 1 | 0.900 | 0.220 | 0.310 |" in text
    assert "| bump | 0 | – | – | – |" in text
    assert "| motion blur | 0.980 | 0.900 | 0.710 | 0.860 |" in text
    assert "Expected calibration error 0.071" in text


def test_scores_of_the_dev_list_alone() -> None:
    text = card(REAL, dev={"protocol": "mfnet8", "score": 0.41, "iou": {"car": 0.6}, "night": None})
    assert "Mean IoU **0.410**" in text
    assert "| class | all |" in text
    assert "| car | 0.600 |" in text


FITTED = {
    "temperature": {"rgb+thermal": 1.5, "rgb": 2.25, "thermal": 1.0},
    "ece": {
        "rgb+thermal": {"before": 0.21, "after": 0.04},
        "rgb": {"before": 0.3, "after": 0.1},
        "thermal": {"before": None, "after": None},
    },
    "frames": 12,
    "dataset": "site, msrs",
}


def test_confidence_that_was_not_calibrated_is_told() -> None:
    text = card(REAL)
    assert "at temperature 1. It was not calibrated" in text
    assert "| cameras |" not in text


def test_calibration_is_told_with_its_figures() -> None:
    text = card(REAL, calibration=FITTED)
    assert "12 held-out frames of site, msrs" in text
    assert "| rgb+thermal | 1.50 | 0.210 | 0.040 |" in text
    assert "| thermal | 1.00 | – | – |" in text
    assert "fitted on these frames" in text
    assert "not calibrated" not in text
    assert "$" not in text
    assert "{" not in text


def test_temperatures_of_another_bundle_are_not_called_its_own() -> None:
    origin = {"name": "model-dev", "sha256": "0123456789abcdef"}
    text = " ".join(card(REAL, calibration={**FITTED, "from": origin}).split())
    assert "with the bundle `model-dev` (sha256 `0123456789ab`)" in text
    assert "this one was not measured" in text
    assert "fitted on these frames" not in text
