"""Weights alone, in half precision, where a checkpoint was before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sartm_core.cli import main
from sartm_core.errors import SartmError
from tests.training_runs import tiny_config

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint and its weights file."""
    from sartm_core.training.train import train

    folder = tmp_path_factory.mktemp("weights")
    checkpoint = train(tiny_config(folder / "run", "train.steps=2")).checkpoint
    out = folder / "tiny.safetensors"
    assert main(["export", str(checkpoint), "--out", str(out), "--json"]) == 0
    return checkpoint, out


def test_weights_are_those_of_the_checkpoint_rounded(run: tuple[Path, Path]) -> None:
    from sartm_core.training.weights_file import load_weights

    full, half = load_weights(run[0]), load_weights(run[1])
    assert half.step == 2
    assert half.provenance == full.provenance
    assert half.config.model == full.config.model
    assert full.weights.keys() == half.weights.keys()
    for name, tensor in full.weights.items():
        found = half.weights[name]
        assert found.dtype == tensor.dtype, name
        exact = tensor.ndim < 2 or not tensor.is_floating_point()
        assert torch.equal(found, tensor if exact else tensor.half().float()), name
    assert run[1].stat().st_size < 0.2 * run[0].stat().st_size


def test_no_folder_of_the_machine_is_in_the_file(run: tuple[Path, Path], tmp_path: Path) -> None:
    assert str(run[0].parent).encode() not in run[1].read_bytes()


def test_evaluation_and_another_run_take_it(run: tuple[Path, Path], tmp_path: Path) -> None:
    from sartm_core.training.train import train

    arguments = ["evaluate", str(run[1]), "--data", "synthetic:5?frames=2&width=128&height=80"]
    assert main([*arguments, "--out", str(tmp_path / "report")]) == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["frames"] == 2
    config = tiny_config(tmp_path / "next", "train.steps=1", f"train.init={run[1]}")
    assert train(config).step == 1


@pytest.mark.parametrize("content", [b"", b"no weights", (8).to_bytes(8, "little") + b"{}      "])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    from sartm_core.training.weights_file import load_weights

    path = tmp_path / "x.safetensors"
    with pytest.raises(SartmError, match="no such weights"):
        load_weights(path)
    path.write_bytes(content)
    with pytest.raises(SartmError, match=r"no weights of a sartm training.*sartm export"):
        load_weights(path)
