"""One exported bundle of an untrained network, shared by all tests of the export."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.cli import main
from sartm_core.export import export as exporting
from sartm_core.models import Student
from sartm_core.training.build import build_step
from sartm_core.training.checkpoint import Checkpoint, save_checkpoint
from tests.training_runs import tiny_config


@dataclass(frozen=True)
class Exported:
    """A bundle, the checkpoint it came from, and what `sartm export` printed."""

    bundle: Bundle
    checkpoint: Path
    output: str
    messages: str


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    checkpoint, out = folder / "last.ckpt", folder / "bundle"
    write_checkpoint(checkpoint)
    output, messages = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(messages),
    ):
        patch.setattr(exporting, "SIZE_LIMIT", 1_000_000)
        assert main(["export", str(checkpoint), "--out", str(out), "--json"]) == 0
    return Exported(load_bundle(out), checkpoint, output.getvalue(), messages.getvalue())


def write_checkpoint(path: Path, *overrides: str) -> None:
    """A checkpoint of random weights whose masks show most classes."""
    config = tiny_config(path.parent / "run", *overrides)
    torch.manual_seed(0)
    training = build_step(config, fresh=False).train()
    model = training.network
    assert isinstance(model, Student)
    generator = torch.Generator().manual_seed(1)
    size = (2, config.model.input_height, config.model.input_width)
    with torch.no_grad():
        for fusion in model.fusion:
            fusion.missing.normal_()  # so that a leak cannot hide behind zeros
        model.decoder.classifier.weight.normal_()
        for _ in range(30):  # statistics of the normalisation
            model(
                torch.randint(0, 256, (*size, 3), generator=generator, dtype=torch.uint8),
                torch.randint(0, 256, (*size, 1), generator=generator, dtype=torch.uint8),
                torch.ones(*size, 1, dtype=torch.uint8),
                torch.ones(2, 2),
            )
    save_checkpoint(
        path,
        Checkpoint(
            config=config,
            step=0,
            training=training.state_dict(),
            ema=model.state_dict(),
            optimizer={},
            scaler={},
            rng=[],
            best=-1.0,
            provenance={
                "git_rev": "unknown",
                "dataset": [{"dataset": "synthetic", "split": None, "frames": 4, "weight": 1.0}],
                "dev_frames": 0,
                "seed": 0,
                "metrics": {},
            },
        ),
    )
