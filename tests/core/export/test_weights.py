"""Weights in a bundle: the network that they make without any file of its training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.classes import MFNET
from sartm_core.cli import main
from sartm_core.errors import SartmError
from sartm_core.export.weights import read_network, write_weights
from sartm_core.runtime.torch import to_half
from sartm_core.training.build import build_step, load_network
from sartm_core.training.config import Config
from sartm_core.training.weights_file import TrainedWeights
from tests.bundles import write_tiny_bundle
from tests.core.export.conftest import Exported
from tests.training_runs import teacher_config, tiny_config

HEIGHT, WIDTH = 64, 96


def inputs() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randint(0, 256, (1, HEIGHT, WIDTH, 3), generator=generator, dtype=torch.uint8),
        torch.randint(0, 256, (1, HEIGHT, WIDTH, 1), generator=generator, dtype=torch.uint8),
        torch.ones(1, HEIGHT, WIDTH, 1, dtype=torch.uint8),
        torch.ones(1, 2),
    )


def bundle_of(config: Config, folder: Path) -> tuple[Bundle, torch.nn.Module]:
    """A bundle that holds an untrained network of a configuration, and the network."""
    torch.manual_seed(0)
    network = build_step(config, fresh=False).network.eval()
    path = write_tiny_bundle(folder / "tiny", HEIGHT, WIDTH)
    trained = TrainedWeights(config, 0, network.state_dict(), {})
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["network"] = write_weights(trained, path)
    (path / "bundle.json").write_text(json.dumps(manifest))
    return load_bundle(path), network


def configurations(folder: Path) -> dict[str, Config]:
    student = tiny_config(folder / "student", "model.fuse_at=8", "model.mask_stride=2")
    teacher = teacher_config(folder / "teacher", "model.inference_head=text")
    return {"student": student, "teacher": teacher}


@pytest.mark.parametrize("architecture", ["student", "teacher"])
def test_the_network_is_the_one_that_was_trained(tmp_path: Path, architecture: str) -> None:
    bundle, network = bundle_of(configurations(tmp_path)[architecture], tmp_path)
    again = read_network(bundle)
    assert not again.training
    assert again.mask_stride == network.mask_stride
    with torch.no_grad():
        assert torch.equal(again(*inputs()), network(*inputs()))


@pytest.mark.parametrize("architecture", ["student", "teacher"])
def test_half_precision_stays_near(tmp_path: Path, architecture: str) -> None:
    bundle, network = bundle_of(configurations(tmp_path)[architecture], tmp_path)
    graph = torch.nn.ModuleDict({"network": read_network(bundle)})
    to_half(graph)
    with torch.no_grad():
        expected, got = network(*inputs()), graph["network"](*inputs())
    assert got.dtype == torch.float32
    assert not torch.equal(got, expected)
    assert (got - expected).abs().max() < 0.02 * expected.abs().max()


def test_the_command_adds_them_in_float32(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    words = ["export", str(exported.checkpoint), "--out", str(out), "--weights", "--json"]
    assert main(words) == 0
    capsys.readouterr()
    bundle = load_bundle(out)
    state = load_file(bundle.weights_path())
    trained = load_network(exported.checkpoint)[1].weights
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in trained.items()
    }
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float32}
    assert bundle.sha256() == exported.bundle.sha256()  # the ONNX file is the same
    section: dict[str, Any] = bundle.manifest["network"]
    assert section["architecture"] == "student"
    assert section["arguments"]["model"]["encoder"] == "mobilenetv4_conv_small"
    assert not {"checkpoint", "pretrained"} & set(section["arguments"]["model"])


def test_further_precisions_keep_them(exported: Exported, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    assert main(["export", str(exported.checkpoint), "--out", str(source), "--weights"]) == 0
    assert main(["export", str(source), "--out", str(out), "--precision", "fp16"]) == 0
    bundle = load_bundle(out)
    assert bundle.precisions == ("fp32", "fp16")
    assert bundle.weights_path().read_bytes() == (source / "weights.safetensors").read_bytes()


def test_a_bundle_without_them_has_no_trace(exported: Exported) -> None:
    assert "network" not in exported.bundle.manifest
    assert not (exported.bundle.path / "weights.safetensors").exists()


@pytest.mark.parametrize("out", ["bundle", "x.safetensors"])
def test_they_are_written_for_a_bundle_of_a_checkpoint_alone(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    source = exported.bundle.path if out == "bundle" else exported.checkpoint
    assert main(["export", str(source), "--out", str(tmp_path / out), "--weights"]) == 2
    assert "--weights" in capsys.readouterr().err


def test_classes_come_from_the_bundle(tmp_path: Path) -> None:
    bundle, _ = bundle_of(tiny_config(tmp_path / "run"), tmp_path)
    three = dataclasses.replace(MFNET, name="three", classes=MFNET.classes[:3])
    with pytest.raises(SartmError, match="not those of the network"):
        read_network(dataclasses.replace(bundle, classes=three))
