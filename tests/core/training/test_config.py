"""Configurations that no run can use are refused before anything is read or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sartm_core.cli import main
from sartm_core.errors import SartmError
from sartm_core.training.config import config_from_dict, config_to_dict, load_config
from tests.training_runs import tiny_config, write_config

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "config/train").glob("*.yaml"))


@pytest.mark.parametrize(
    ("override", "key", "choices"),
    [
        ("trian.steps=5", "trian", "name, method, out, resume, model, data, augment, loss, cmkd"),
        ("train.stepps=5", "train.stepps", "steps, batch, lr_encoder"),
        ("train.steps=many", "train.steps", "Integer"),
        ("train.steps=0", "train.steps", "above 0"),
        ("train.lr_decoder=-1", "train.lr_decoder", "above 0"),
        ("train.seed=-1", "train.seed", "0 or more"),
        ("train.ema=1", "train.ema", "0 up to below 1"),
        ("loss.hardest_fraction=0", "loss.hardest_fraction", "above 0 up to 1"),
        ("model.encoder=resnet", "model.encoder", "efficientnet_lite0, efficientnet_lite1"),
        ("model.input_height=60", "model.input_height", "a multiple of 32"),
        ("model.scale=0", "model.scale", "above 0 up to 1"),
        ("model.thermal_scale=0.3", "model.thermal_scale", "1.0, 0.5"),
        ("model.fuse_at=2", "model.fuse_at", "4, 8, 16"),
        ("model.block=rep", "model.block", "separable, branched, dense"),
        ("data.classes=city", "data.classes", "fmb, mfnet, msrs, pst900, KIND:PATH"),
        ("data.modalities=lidar", "data.modalities", "rgb+thermal, rgb, thermal"),
        ("data.sources=[]", "data.sources", "at least one data set"),
        ("data.sources=[{dataset: synthetic}]", "data.sources[0].frames", "number of scenes"),
        ("data.sources=[{dateset: synthetic}]", "dateset", "dataset, split, weight"),
        ("data.dev=[00121D]", "data.dev", "FIRST-LAST"),
        ("data.dev_sources=[{dataset: site}]", "data.dev_sources[0].dataset", "KIND:PATH"),
        ("data.dev_sources=[{dataset: 'mfnet:x', weight: 2}]", "weight", "dataset, split"),
        ("augment.crop_width=100", "100", "augment.crop_width divisible by 32"),
        ("augment.scale=[2,1]", "augment.scale", "0 < low <= high"),
        ("train.steps", "'train.steps'", "key=value"),
    ],
)
def test_refused_in_one_line_that_names_key_and_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, key: str, choices: str
) -> None:
    out = tmp_path / "run"
    words = ["--config", str(write_config(tmp_path)), f"out={out}"]
    assert main(["train", *words, override]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert key in message
    assert choices in message
    assert not out.exists()


def test_missing_real_frames_name_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARTM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SartmError, match=r"SARTM_DATA=.*nowhere.*remedy: export SARTM_DATA=FOLDER"):
        load_config(ROOT / "config/train/student_s.yaml")


def test_missing_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAM_CHECKPOINT", raising=False)
    monkeypatch.setenv("MFNET", "MFNet")
    with pytest.raises(SartmError, match=r"model.checkpoint.*'SAM_CHECKPOINT' not found"):
        load_config(ROOT / "config/train/teacher_sam_vit_b_mfnet.yaml")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match=r"no such configuration; got .*none\.yaml"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.mkdir ['made']",  # a tag that would run code
        "name: [",  # half a list
        "- train",  # a list
    ],
)
def test_file_that_is_no_configuration_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(SartmError, match=r"bad\.yaml"):
        load_config(tmp_path / "bad.yaml")
    assert not (tmp_path / "made").exists()


def test_override_of_one_source(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", "data.sources[0].frames=9")
    assert [(source.frames, source.width) for source in config.data.sources] == [(9, 96)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configuration_is_valid(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARTM_DATA", str(tmp_path))
    for name in ("SAM_CHECKPOINT", "MFNET", "MSRS", "PST900", "FMB"):
        monkeypatch.setenv(name, str(tmp_path / name))
    config = load_config(path, ["train.steps=7", "train.lr_encoder=1e-3"])
    assert (config.train.steps, config.train.lr_encoder) == (7, 1e-3)
    assert "${" not in repr(config)


def test_a_checkpoint_keeps_every_value(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", "data.dev=[00121D-00130D]", "loss.dice=0.25")
    assert config_from_dict(config_to_dict(config)) == config
