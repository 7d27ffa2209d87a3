"""A checkpoint runs in the line that its bundle would run in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sartm_core.data.datasets import open_dataset
from sartm_core.errors import SartmError
from tests.training_runs import tiny_config

pytest.importorskip("torch")
pytest.importorskip("accelerate")


def test_a_checkpoint_gives_the_masks_that_training_scored(tmp_path: Path) -> None:
    from sartm_core.evaluation.tally import Tally
    from sartm_core.training.build import load_network
    from sartm_core.training.predictor import load_predictor
    from sartm_core.training.train import train
    from sartm_core.training.validate import evaluate_modalities

    path = train(tiny_config(tmp_path / "run", "train.steps=2")).checkpoint
    network, checkpoint = load_network(path)
    dataset = open_dataset("synthetic:5?frames=3&width=128&height=80")
    samples = [dataset.read(stem) for stem in dataset.stems]
    scored = evaluate_modalities(network, samples, checkpoint.config)
    expected = {name: Tally(dataset.classes) for name in scored}
    with load_predictor(path) as predictor:
        for sample in samples:
            assert sample.label is not None
            cameras = {
                "rgb+thermal": (sample.rgb, sample.thermal),
                "rgb": (sample.rgb, None),
                "thermal": (None, sample.thermal),
            }
            for name, images in cameras.items():
                mask = predictor(*images, sample.thermal_valid).mask
                expected[name].add(sample.stem, sample.label, mask, night=sample.night)
    for name, tally in scored.items():
        np.testing.assert_array_equal(tally.total(), expected[name].total())


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    from sartm_core.training.predictor import load_predictor

    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(SartmError, match="not a sartm checkpoint"):
        load_predictor(tmp_path / "x.ckpt")
    with pytest.raises(SartmError, match="no such checkpoint"):
        load_predictor(tmp_path / "y.ckpt")
