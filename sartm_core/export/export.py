"""From a checkpoint to a model bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sartm_core import thermal
from sartm_core.bundle import (
    MODEL_CARD,
    MODEL_FILES,
    SAMPLE,
    WEIGHTS,
    Bundle,
    write_bundle,
)
from sartm_core.classes import class_rows, class_table
from sartm_core.export import model_card
from sartm_core.export.confidence import Section, calibration_section
from sartm_core.export.graph import MaskGraph
from sartm_core.export.onnx_file import Feed, check_parity, drop_logits, export_onnx, open_session
from sartm_core.export.precisions import add_precisions, calibration_feeds, require_known
from sartm_core.export.sample import (
    MIN_FOREGROUND,
    POOL,
    choose,
    predict_pool,
    synthetic_feeds,
    write_sample,
)
from sartm_core.export.weights import write_weights
from sartm_core.models.branches import merge_branches
from sartm_core.progress import console, progress
from sartm_core.training.build import load_network
from sartm_core.training.temperature import in_order
from sartm_core.training.weights_file import TrainedWeights

PARITY_FRAMES = 2
SIZE_LIMIT = 20_000_000  # bytes of a bundle that ships


def export_bundle(
    checkpoint_path: Path,
    out: Path,
    *,
    precisions: Sequence[str] = ("fp32",),
    calibrate: Sequence[tuple[str, str | None]] = (),
    metrics: Mapping[str, Any] | None = None,
    temperature_from: str | Path | None = None,
    name: str | None = None,
    weights: bool = False,
    pool: int = POOL,
) -> Bundle:
    """Write the bundle of a checkpoint's averaged weights.

    Args:
        checkpoint_path: what training wrote.
        out: the bundle's folder.
        precisions: of the model files; ``fp32`` is always written.
        calibrate: (``KIND:PATH``, list) of real frames on which the ranges of INT8 are measured;
            by default those that the run was trained on.
        metrics: of ``sartm_core.export.measured``, for manifest and model card, beside the
            checkpoint's own dev scores.
        temperature_from: bundle whose temperatures are taken over; None = fit them on the run's dev
            list, see ``sartm_core.export.confidence``.
        name: of the bundle; None = that of the run.
        weights: add weights.safetensors, which the torch runtime needs.
        pool: number of synthetic scenes among which the sample frames are chosen.

    Raises:
        SartmError: no checkpoint, a precision that cannot be written, or an export that does not
            compute what PyTorch computes.
    """
    require_known(precisions)
    network, checkpoint = load_network(checkpoint_path)
    network = merge_branches(network)
    calibration = calibration_section(network, checkpoint.config, temperature_from)
    graph = MaskGraph(network, in_order(calibration["temperature"])).eval()
    height, width = checkpoint.config.model.input_height, checkpoint.config.model.input_width
    with tempfile.TemporaryDirectory() as folder, progress("exporting", 4) as bar:
        checked, shipped = Path(folder, "with_logits.onnx"), Path(folder, MODEL_FILES["fp32"])
        export_onnx(graph, height, width, checked)
        drop_logits(checked, shipped)
        bar.advance()
        parity = check_parity(graph, checked, _parity_feeds(height, width))
        bar.advance()
        chosen = choose(predict_pool(open_session(shipped), synthetic_feeds(height, width, pool)))
        if min(candidate.foreground for candidate in chosen) < MIN_FOREGROUND:
            console.print(
                f"warning: fewer than {len(chosen)} of {pool} synthetic scenes have "
                f"{MIN_FOREGROUND:.0%} foreground in the mask: `sartm verify` says little about it"
            )
        write_sample(Path(folder, SAMPLE), chosen)
        bar.advance()
        manifest = _manifest(checkpoint, name or checkpoint.config.name, metrics or {}, calibration)
        facts = _facts(checkpoint, sum(p.numel() for p in network.parameters()))
        facts |= {"frames": len(chosen), "parity": f"{parity:.1e}"}
        Path(folder, MODEL_CARD).write_text(model_card.render(manifest, facts), encoding="utf-8")
        files = [MODEL_FILES["fp32"], SAMPLE, MODEL_CARD]
        if weights:
            manifest["network"] = write_weights(checkpoint, Path(folder))
            files.append(WEIGHTS)
        bundle = write_bundle(out, manifest, {file: Path(folder, file) for file in files})
        bar.advance()
    if any(precision != "fp32" for precision in precisions):
        trained_on = [(s.dataset, s.split) for s in checkpoint.config.data.sources]
        frames = calibration_feeds(calibrate or trained_on, (height, width))
        bundle = add_precisions(bundle, precisions, out, frames)
    if warning := size_warning(out):
        console.print(warning)
    return bundle


def size_warning(folder: Path) -> str:
    """Why a bundle cannot ship with sartm because of its size, "" if it can."""
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size <= SIZE_LIMIT:
        return ""
    return (
        f"warning: {folder} has {size / 1e6:.1f} MB and cannot ship with sartm (limit "
        f"{SIZE_LIMIT / 1e6:g} MB): train with a smaller model.encoder or model.width"
    )


def _parity_feeds(height: int, width: int) -> list[Feed]:
    """Synthetic frames, with both cameras and with either missing."""
    import numpy as np

    cameras = np.array([[[1, 1]], [[1, 0]], [[0, 1]]], np.float32)
    return [
        {**feed, "present": present}
        for feed in synthetic_feeds(height, width, PARITY_FRAMES)
        for present in cameras
    ]


def _manifest(
    checkpoint: TrainedWeights, name: str, metrics: Mapping[str, Any], calibration: Section
) -> dict[str, Any]:
    config, provenance = checkpoint.config, dict(checkpoint.provenance)
    provenance["metrics"] = {**provenance["metrics"], **metrics}
    return {
        "name": name,
        "classes": class_rows(class_table(config.data.classes)),
        "ignore_id": 255,
        "input": {
            "height": config.model.input_height,
            "width": config.model.input_width,
            "resize": "stretch",
            "interpolation": "bilinear",
            "pad_value": 0,
            "thermal_dtype": "uint8",
        },
        "thermal": {
            "contract": "agc8",
            "scale": 1.0,
            "offset": 0.0,
            "window": None,
            "normalisation": (
                f"per frame: percentiles {thermal.LOW_PERCENTILE:g} to "
                f"{thermal.HIGH_PERCENTILE:g}, gamma to median {thermal.MEDIAN_LEVEL:g}"
            ),
        },
        "language": None,
        "calibration": calibration,
        "risk": {},
        "training": {"teacher": None, **provenance, "steps": checkpoint.step},
        "license": "Apache-2.0",
    }


def _facts(checkpoint: TrainedWeights, parameters: int) -> dict[str, Any]:
    config = checkpoint.config
    return {
        "encoder": config.model.encoder,
        "width": config.model.width,
        "fusion": config.model.fusion,
        "fuse_at": config.model.fuse_at,
        "scale": config.model.scale,
        "thermal_scale": config.model.thermal_scale,
        "pretrained": config.model.pretrained,
        "parameters": f"{parameters / 1e6:.2f}",
        "batch": config.train.batch,
        "crop_width": config.augment.crop_width,
        "crop_height": config.augment.crop_height,
        "modalities": config.data.modalities,
    }
