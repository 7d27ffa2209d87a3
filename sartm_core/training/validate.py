"""Scores of the network in training on held-out frames, through the line that a robot runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sartm_core.classes import class_table
from sartm_core.data.sample import Sample
from sartm_core.evaluation.evaluate import MODALITIES, fit_to_label
from sartm_core.evaluation.protocols import protocols_for
from sartm_core.evaluation.tally import Tally
from sartm_core.models import RgbThermalNetwork
from sartm_core.progress import progress
from sartm_core.training.config import Config
from sartm_core.training.predictor import segmenter_of


def evaluate_frames(
    network: RgbThermalNetwork, frames: Sequence[Sample], config: Config
) -> dict[str, Any]:
    """Score a network with the cameras that it was trained for.

    Args:
        network: in evaluation mode.
        frames: at least one, with labels in the run's ids.
        config: of the run.

    Returns:
        ``score``: mean IoU of the table's headline protocol, ``protocol``: its name, ``iou``: per
        class, ``night``: the same mean over the night frames, or None.
    """
    modality = config.data.modalities
    tally = evaluate_modalities(network, frames, config, [modality])[modality]
    protocol = protocols_for(tally.classes)[0]
    summary = tally.summary()
    night = summary["subsets"].get("night")
    return {
        "protocol": protocol,
        "score": summary["protocols"][protocol]["miou"] or 0.0,
        "iou": summary["protocols"][protocol]["iou"],
        "night": night["protocols"][protocol]["miou"] if night else None,
    }


def evaluate_modalities(
    network: RgbThermalNetwork,
    frames: Sequence[Sample],
    config: Config,
    modalities: Sequence[str] = MODALITIES,
) -> dict[str, Tally]:
    """Confusion matrices of a network with each of several sets of cameras; arguments as in
    :func:`evaluate_frames`."""
    segmenter = segmenter_of(network, config)
    tallies = {name: Tally(class_table(config.data.classes)) for name in modalities}
    with progress("evaluating", len(frames) * len(tallies)) as bar:
        for sample in frames:
            assert sample.label is not None
            for modality, tally in tallies.items():
                rgb = None if modality == "thermal" else sample.rgb
                thermal = None if modality == "rgb" else sample.thermal
                mask = segmenter(rgb, thermal, sample.thermal_valid).mask
                tally.add(
                    sample.stem, sample.label, fit_to_label(mask, sample.label), night=sample.night
                )
                bar.advance()
    return tallies
