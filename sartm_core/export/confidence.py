"""The section ``calibration`` of bundle.json: temperatures of the confidence, and their worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sartm_core.bundle import load_bundle
from sartm_core.classes import class_table
from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.evaluation.evaluate import MODALITIES
from sartm_core.models import RgbThermalNetwork
from sartm_core.progress import console
from sartm_core.training.config import Config
from sartm_core.training.data import load_dev_frames
from sartm_core.training.temperature import calibrate

Section = dict[str, Any]
"""``temperature`` of each of ``MODALITIES``. If they were fitted, also ``ece`` {``before``,
``after``} of each, ``frames`` and ``dataset``; if that was done for another bundle, also ``from``
{``name``, ``sha256``}."""


def calibration_section(
    network: RgbThermalNetwork, config: Config, source: str | Path | None = None
) -> Section:
    """Temperatures that are fitted on the run's dev list, or those of another bundle.

    They are 1 where there is no dev list, or where its frames are not on this machine.

    Args:
        network: in evaluation mode, on the CPU.
        config: of its run.
        source: bundle of a run with the same settings and a dev list, for a network that was
            trained on all frames.

    Raises:
        SartmError: ``source`` was not calibrated, or has other classes.
    """
    if source is not None:
        return _taken_over(source, config)
    if config.data.dev or config.data.dev_sources:
        try:
            frames = load_dev_frames(config)
        except SartmError as error:
            console.print(f"warning: the confidence is not calibrated: {error}")
        else:
            return _fitted(network, config, frames)
    return {"temperature": dict.fromkeys(MODALITIES, 1.0)}


def _fitted(network: RgbThermalNetwork, config: Config, frames: Sequence[Sample]) -> Section:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = calibrate(network.to(device), config, frames)
    network.cpu()
    for cameras, temperature in found.temperature.items():
        before, after = found.before[cameras], found.after[cameras]
        error = "no foreground" if before is None else f"ECE {before:.3f} -> {after:.3f}"
        console.print(f"confidence, {cameras}: temperature {temperature:.2f}, {error}")
    return {
        "temperature": dict(found.temperature),
        "ece": {
            cameras: {"before": found.before[cameras], "after": found.after[cameras]}
            for cameras in MODALITIES
        },
        "frames": found.frames,
        "dataset": ", ".join(dict.fromkeys(frame.stem.split("/")[0] for frame in frames)),
    }


def _taken_over(source: str | Path, config: Config) -> Section:
    bundle = load_bundle(source)
    section = bundle.manifest.get("calibration", {})
    if "ece" not in section:
        raise SartmError(
            f"the confidence of bundle '{bundle.name}' was not calibrated",
            expected="a bundle of a run with a dev list",
            remedy="train the same settings with data.dev_sources and export that run first",
        )
    classes = class_table(config.data.classes)
    if bundle.classes.names != classes.names:
        raise SartmError(
            f"temperatures of bundle '{bundle.name}' are for other classes",
            got=", ".join(bundle.classes.names),
            expected=", ".join(classes.names),
        )
    return {**section, "from": {"name": bundle.name, "sha256": bundle.sha256()}}
