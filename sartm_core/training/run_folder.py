"""What a run leaves behind: configuration, environment, metrics, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import OmegaConf

from sartm_core.classes import ClassTable
from sartm_core.data.images import write_png
from sartm_core.data.sample import Sample
from sartm_core.files import sha256_file, write_bytes_atomic, write_json_atomic
from sartm_core.machine import describe_machine, git_revision
from sartm_core.training.config import Config, config_to_dict
from sartm_core.training.samples import Batch, Source, apply_hidden
from sartm_core.viz import overlay, thermal_to_rgb

METRICS = "metrics.jsonl"
SAMPLES = "samples.png"


class RunFolder:
    """Writes the files of one run.

    Args:
        path: the folder; made if missing.
        config: written resolved, as ``config.yaml``, with ``environment.json`` beside it.
        step: metrics of later steps, of a run that was killed, are removed.
    """

    def __init__(self, path: Path, config: Config, step: int) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        text = OmegaConf.to_yaml(OmegaConf.create(config_to_dict(config)))
        write_bytes_atomic(path / "config.yaml", text.encode())
        environment = {"git_revision": git_revision(), "machine": describe_machine()}
        write_json_atomic(path / "environment.json", environment)
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_bytes_atomic(path / METRICS, text.encode())

    def log(self, row: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl; ``row`` has a ``step``."""
        with open(self.path / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def picture(self, batch: Batch, classes: ClassTable) -> None:
        """Write a batch as samples.png: what the run really learns from.

        Each sample is a row of RGB, thermal and label over RGB; a camera that is not there is
        black, hidden blocks are as the network sees them.
        """
        shown = apply_hidden(batch)
        seen = shown.present.cpu().numpy() > 0
        rows = []
        for index, label in enumerate(shown.label.cpu().numpy().astype(np.uint8)):
            rgb = shown.rgb[index].cpu().numpy()
            thermal = thermal_to_rgb(shown.thermal[index, ..., 0].cpu().numpy())
            thermal[shown.thermal_valid[index, ..., 0].cpu().numpy() == 0] = 0
            labelled = overlay(batch.rgb[index].cpu().numpy(), label, classes, legend=False)
            rows.append(np.hstack([rgb * seen[index, 0], thermal * seen[index, 1], labelled]))
        write_png(self.path / SAMPLES, np.vstack(rows))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a run folder's metrics.jsonl, oldest first; a half-written last line is left
    out."""
    if not (path / METRICS).is_file():
        return []
    lines = (path / METRICS).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def provenance(config: Config, sources: Sequence[Source], dev: Sequence[Sample]) -> dict[str, Any]:
    """What the model card says of a run: code, data, seed, teachers; ``metrics`` is still empty."""
    return {
        "git_rev": git_revision(),
        "dataset": [
            {
                "dataset": public_name(source.dataset),
                "split": source.split,
                "frames": len(drawn.frames),
                "weight": source.weight,
            }
            for source, drawn in zip(config.data.sources, sources, strict=True)
        ],
        "dev_frames": len(dev),
        "seed": config.train.seed,
        "teacher": [
            {"file": Path(name).name, "sha256": sha256_file(name)}
            for name in config.distill.teachers
        ]
        or None,
        "metrics": {},
    }


def public_name(dataset: str) -> str:
    """A data set without the folders of this machine."""
    kind, _, where = dataset.partition(":")
    return f"{kind}:{Path(where).name}" if where else kind


def public_values(config: Config) -> dict[str, Any]:
    """A configuration as plain values, without the folders of this machine."""
    values = config_to_dict(config)
    for source in (*values["data"]["sources"], *values["data"]["dev_sources"]):
        source["dataset"] = public_name(source["dataset"])
    return cast("dict[str, Any]", _without_folders(values))


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):  # JSON knows no tuples
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value
