"""A checkpoint runs in the line that its bundle would run in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sartm_core.data.datasets import open_dataset
from sartm_core.errors import SartmError
from sartm_core.thermal import normalise
from tests.training_runs import tiny_config

pytest.importorskip("torch")
pytest.importorskip("accelerate")


def test_a_checkpoint_gives_the_masks_that_training_scored(tmp_path: Path) -> None:
    from sartm_core.training.checkpoint import load_student
    from sartm_core.training.data import Frame
    from sartm_core.training.predictor import load_predictor
    from sartm_core.training.train import train
    from sartm_core.training.validate import predict

    path = train(tiny_config(tmp_path / "run", "train.steps=2")).checkpoint
    student, checkpoint = load_student(path)
    dataset = open_dataset("synthetic:5?frames=3&width=128&height=80")
    with load_predictor(path) as predictor:
        for stem in dataset.stems:
            sample = dataset.read(stem)
            assert sample.label is not None
            valid = np.ones(sample.thermal.shape, np.uint8)
            frame = Frame(
                stem, sample.rgb, normalise(sample.thermal), valid, sample.label, sample.night
            )
            result = predictor(sample.rgb, sample.thermal)
            np.testing.assert_array_equal(result.mask, predict(student, frame, checkpoint.config))
            assert (predictor(None, sample.thermal).mask < len(dataset.classes)).all()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    from sartm_core.training.predictor import load_predictor

    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(SartmError, match="not a sartm checkpoint"):
        load_predictor(tmp_path / "x.ckpt")
    with pytest.raises(SartmError, match="no such checkpoint"):
        load_predictor(tmp_path / "y.ckpt")
