"""Confidences of exported bundles: fitted on the dev list, taken over, or said to be neither."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.cli import main
from sartm_core.data.synthetic import write_folder
from sartm_core.errors import SartmError
from sartm_core.evaluation.evaluate import MODALITIES
from sartm_core.export.confidence import calibration_section
from sartm_core.export.export import export_bundle
from sartm_core.export.graph import MaskGraph
from sartm_core.export.onnx_file import INPUTS, Feed, open_session
from sartm_core.export.sample import synthetic_feeds
from sartm_core.frames import Image
from sartm_core.training.build import load_network
from tests.core.export.conftest import Exported, write_checkpoint
from tests.training_runs import tiny_config

HEIGHT, WIDTH = 64, 96
KNOWN: dict[str, Any] = {
    "temperature": {"rgb+thermal": 0.5, "rgb": 1.5, "thermal": 4.0},
    "ece": {cameras: {"before": 0.2, "after": 0.04} for cameras in MODALITIES},
    "frames": 12,
    "dataset": "site",
}
PRESENT = {"rgb+thermal": (1, 1), "rgb": (1, 0), "thermal": (0, 1)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled frames, two of them in val.txt."""
    path = tmp_path_factory.mktemp("data") / "site"
    write_folder(path, 4, 0, width=WIDTH, height=HEIGHT, val_share=0.5)
    return path


def on_site(site: Path) -> tuple[str, str]:
    """Overrides of a run that trains on one half and holds the other one out."""
    return (
        f"data.sources=[{{dataset: 'folder:{site}', split: train}}]",
        f"data.dev_sources=[{{dataset: 'folder:{site}', split: val}}]",
    )


@pytest.fixture(scope="module")
def calibrated(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """What `sartm export` makes of a run with a dev list."""
    folder = tmp_path_factory.mktemp("calibrated")
    checkpoint, out = folder / "last.ckpt", folder / "bundle"
    write_checkpoint(checkpoint, *on_site(site))
    messages: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sartm_core.export.confidence.console.print", messages.append)
        bundle = export_bundle(checkpoint, out, pool=8)
    return Exported(bundle, checkpoint, "", "\n".join(messages))


def card(bundle: Bundle) -> str:
    return (bundle.path / "MODEL_CARD.md").read_text()


def test_export_fits_and_tells_temperatures_of_the_dev_list(calibrated: Exported) -> None:
    section = json.loads((calibrated.bundle.path / "bundle.json").read_text())["calibration"]
    assert set(section) == {"temperature", "ece", "frames", "dataset"}
    assert (section["frames"], section["dataset"]) == (2, "site")
    assert list(section["temperature"]) == list(section["ece"]) == list(MODALITIES)
    assert min(section["temperature"].values()) > 1
    lines = calibrated.messages.splitlines()
    for cameras, line in zip(MODALITIES, lines, strict=True):
        before, after = section["ece"][cameras]["before"], section["ece"][cameras]["after"]
        assert after < before
        temperature = section["temperature"][cameras]
        assert line == (
            f"confidence, {cameras}: temperature {temperature:.2f}, ECE {before:.3f} -> {after:.3f}"
        )
        assert f"| {cameras} | {temperature:.2f} | {before:.3f} | {after:.3f} |" in card(
            calibrated.bundle
        )


def confidence(bundle: Bundle, cameras: str) -> tuple[Feed, Image]:
    """Inputs, and the confidence uint8 [1,H,W] that the bundle's file gives."""
    (feed,) = synthetic_feeds(HEIGHT, WIDTH, 1)
    feed["present"] = np.array([PRESENT[cameras]], np.float32)
    (given,) = open_session(bundle.model_path()).run(["confidence"], feed)
    return feed, given


def distance(made: Exported, cameras: str, temperature: float) -> int:
    """Largest difference between the file's confidence and PyTorch's at a temperature."""
    feed, given = confidence(made.bundle, cameras)
    graph = MaskGraph(load_network(made.checkpoint)[0], (temperature,) * 3).eval()
    with torch.no_grad():
        expected = graph(*(torch.from_numpy(feed[each]) for each in INPUTS))[1]
    return int(np.abs(given.astype(int) - expected.numpy()).max())


@pytest.mark.parametrize("cameras", MODALITIES)
def test_fitted_temperatures_are_in_the_graph(calibrated: Exported, cameras: str) -> None:
    fitted = calibrated.bundle.manifest["calibration"]["temperature"][cameras]
    assert distance(calibrated, cameras, fitted) <= 1
    assert distance(calibrated, cameras, 1.0) > 50


def altered(bundle: Bundle, folder: Path, calibration: dict[str, Any]) -> Bundle:
    """A copy of a bundle with another section ``calibration``."""
    shutil.copytree(bundle.path, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**manifest, "calibration": calibration}))
    return load_bundle(folder)


@pytest.fixture(scope="module")
def taken_over(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A bundle whose temperatures are those of another one."""
    folder = tmp_path_factory.mktemp("taken_over")
    source = altered(exported.bundle, folder / "source", KNOWN)
    output = io.StringIO()
    command = ["export", str(exported.checkpoint), "--out", str(folder / "all"), "--json"]
    with contextlib.redirect_stdout(output):
        assert main([*command, "--temperature-from", str(source.path)]) == 0
    return Exported(load_bundle(folder / "all"), exported.checkpoint, output.getvalue(), "")


def test_temperatures_are_taken_over(taken_over: Exported, exported: Exported) -> None:
    section = json.loads(taken_over.output)["calibration"]
    assert section == {**KNOWN, "from": {"name": "tiny", "sha256": exported.bundle.sha256()}}
    assert taken_over.bundle.manifest["calibration"] == section
    assert "this one was not measured" in card(taken_over.bundle)


@pytest.mark.parametrize("cameras", MODALITIES)
def test_the_graph_chooses_the_temperature_by_the_cameras(
    taken_over: Exported, cameras: str
) -> None:
    other = {
        name: distance(taken_over, cameras, temperature)
        for name, temperature in KNOWN["temperature"].items()
    }
    assert other.pop(cameras) <= 1
    assert min(other.values()) > 10


def test_without_a_dev_list_the_confidence_is_said_to_be_plain(exported: Exported) -> None:
    section = exported.bundle.manifest["calibration"]
    assert section == {"temperature": {"rgb+thermal": 1.0, "rgb": 1.0, "thermal": 1.0}}
    assert json.loads(exported.output)["calibration"] == section
    assert "It was not calibrated" in card(exported.bundle)


def test_dev_frames_that_are_elsewhere_are_one_warning(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "site"
    shutil.copytree(site, moved)
    checkpoint = tmp_path / "last.ckpt"
    write_checkpoint(checkpoint, *on_site(moved))
    shutil.rmtree(moved)
    network, trained = load_network(checkpoint)
    section = calibration_section(network, trained.config)
    assert section == {"temperature": dict.fromkeys(MODALITIES, 1.0)}
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: the confidence is not calibrated: ")
    assert str(moved) in warning


@pytest.mark.parametrize("section", [{}, {"temperature": KNOWN["temperature"]}])
def test_a_bundle_that_was_not_calibrated_gives_none(
    exported: Exported, tmp_path: Path, section: dict[str, Any]
) -> None:
    source = altered(exported.bundle, tmp_path / "bundle", section)
    network, trained = load_network(exported.checkpoint)
    with pytest.raises(SartmError, match=r"'tiny' was not calibrated; .*dev_sources"):
        calibration_section(network, trained.config, source.path)


def test_a_bundle_of_other_classes_gives_none(calibrated: Exported, tmp_path: Path) -> None:
    network, _ = load_network(calibrated.checkpoint)
    config = tiny_config(tmp_path / "run", "data.classes=pst900+mfnet")
    with pytest.raises(SartmError, match="'tiny' are for other classes"):
        calibration_section(network, config, calibrated.bundle.path)


@pytest.mark.parametrize("kind", ["bundle", "weights"])
def test_temperatures_go_into_bundles_of_checkpoints_only(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    source = exported.bundle.path if kind == "bundle" else exported.checkpoint
    out = tmp_path / ("copy" if kind == "bundle" else "weights.safetensors")
    command = ["export", str(source), "--out", str(out)]
    assert main([*command, "--temperature-from", str(exported.bundle.path)]) == 2
    assert "--temperature-from" in capsys.readouterr().err
    assert not out.exists()
