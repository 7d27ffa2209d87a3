"""A checkpoint gives the masks that its exported bundle gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sartm_core.data.datasets import open_dataset
from sartm_core.errors import SartmError
from tests.training_runs import tiny_config

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "accelerate")),
    reason="needs the training and export requirements",
)


def test_a_checkpoint_predicts_as_its_bundle_does(tmp_path: Path) -> None:
    from sartm_core.export.export import export_bundle
    from sartm_core.segmenter import load
    from sartm_core.training.predictor import load_predictor
    from sartm_core.training.train import train

    checkpoint = train(tiny_config(tmp_path / "run", "train.steps=2")).checkpoint
    export_bundle(checkpoint, tmp_path / "bundle", pool=8)
    dataset = open_dataset("synthetic:5?frames=3&width=128&height=80")
    with load_predictor(checkpoint) as torch_line, load(tmp_path / "bundle") as onnx_line:
        assert torch_line.bundle.classes == onnx_line.bundle.classes
        for stem in dataset.stems:
            sample = dataset.read(stem)
            for rgb, thermal in (
                (sample.rgb, sample.thermal),
                (sample.rgb, None),
                (None, sample.thermal),
            ):
                ours, theirs = torch_line(rgb, thermal).mask, onnx_line(rgb, thermal).mask
                assert ours.shape == sample.rgb.shape[:2]
                assert np.mean(ours == theirs) > 0.99


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    from sartm_core.training.predictor import load_predictor

    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(SartmError, match="not a sartm checkpoint"):
        load_predictor(tmp_path / "x.ckpt")
