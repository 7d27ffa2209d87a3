"""A run learns, stops, and goes on bit for bit, whatever ended it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sartm_core.cli import main
from sartm_core.data.synthetic import write_folder
from sartm_core.errors import SartmError
from sartm_core.training import train as recipe
from sartm_core.training.checkpoint import BEST, LAST, Checkpoint, load_checkpoint, save_checkpoint
from sartm_core.training.config import Config
from sartm_core.training.run_folder import RunFolder, read_metrics
from sartm_core.training.train import train
from tests.training_runs import tiny_config, write_config

ROOT = Path(__file__).resolve().parents[3]
ONE_STEP = "train.max_minutes=1e-9"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of all eight steps in one go."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert train(tiny_config(out)).finished
    return out


def assert_same(value: Any, expected: Any) -> None:
    """Equal to the last bit, through nested containers."""
    assert type(value) is type(expected)
    if isinstance(expected, dict):
        assert value.keys() == expected.keys()
        for key in expected:
            assert_same(value[key], expected[key])
    elif isinstance(expected, list):
        assert len(value) == len(expected)
        for one, other in zip(value, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(value, expected)
    else:
        assert value == expected


def assert_same_run(folder: Path, expected: Path) -> None:
    """Both runs ended in the same state, with the same last loss."""
    state, reference = load_checkpoint(folder / LAST), load_checkpoint(expected / LAST)
    for name in ("step", "training", "ema", "optimizer", "rng", "best"):
        assert_same(getattr(state, name), getattr(reference, name))
    assert losses(folder)[reference.step] == losses(expected)[reference.step]


def losses(folder: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in read_metrics(folder) if "loss" in row}


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a step, once."""
    monkeypatch.setattr(recipe, "LOG_EVERY", 1)
    log = RunFolder.log

    def log_and_interrupt(run: RunFolder, row: dict[str, Any]) -> None:
        log(run, row)
        if row["step"] == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "log", log_and_interrupt)


def test_loss_falls_on_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "LOG_EVERY", 1)
    always_the_same = [
        "data.sources=[{dataset: synthetic, frames: 1, width: 96, height: 64}]",
        "data.centered=0",
        *(f"augment.{name}=0" for name in ("flip", "photometric", "darken", "thermal_gain")),
        *(f"augment.{name}=0" for name in ("thermal_shift", "narrow_view")),
        *(f"augment.{name}=0" for name in ("drop_rgb", "drop_thermal")),
        "augment.scale=[1.0,1.0]",
    ]
    schedule = ["train.checkpoint_every=0", "train.lr_encoder=0.01", "train.lr_decoder=0.01"]
    train(tiny_config(tmp_path / "run", *always_the_same, *schedule, "train.steps=20"))
    values = losses(tmp_path / "run")
    assert values[20] < 0.7 * values[1]


def test_ctrl_c_and_resume_change_no_bit(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path / "run", "train.checkpoint_every=0")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        result = train(config)
    assert (result.step, result.finished, result.interrupted) == (4, False, True)
    assert load_checkpoint(result.checkpoint).step == 4

    result = train(config)
    assert (result.step, result.finished, result.interrupted) == (8, True, False)
    assert_same_run(tmp_path / "run", uninterrupted)


def start(folder: Path) -> subprocess.Popen[str]:
    """The tiny run as a user starts it, into ``folder/run``; returns after its first checkpoint."""
    process = subprocess.Popen(
        [
            *(sys.executable, "training/train.py", "--config", str(write_config(folder))),
            *(f"out={folder / 'run'}", "--json"),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "run" / LAST).is_file() and process.poll() is None:
        time.sleep(0.002)
    return process


def test_killed_process_resumes_bit_for_bit(tmp_path: Path, uninterrupted: Path) -> None:
    process = start(tmp_path)
    process.kill()
    _, messages = process.communicate()
    assert process.returncode == -signal.SIGKILL, messages
    assert 0 < load_checkpoint(tmp_path / "run" / LAST).step < 8

    assert train(tiny_config(tmp_path / "run")).finished
    assert_same_run(tmp_path / "run", uninterrupted)


def test_ctrl_c_keeps_a_checkpoint_and_exits_with_130(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate()
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    printed = json.loads(output)
    assert printed["finished"] is False
    assert 0 < printed["step"] < 8
    assert load_checkpoint(Path(printed["checkpoint"])).step == printed["step"]
    assert train(tiny_config(tmp_path / "run", ONE_STEP)).step == printed["step"] + 1


def test_max_minutes_stops_with_a_checkpoint_and_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(write_config(tmp_path)), f"out={tmp_path / 'run'}", ONE_STEP]
    for step in (1, 2):  # each call makes the step that was under way
        assert main(["train", *words, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["step"], printed["finished"]) == (step, False)


def test_finished_run_is_not_repeated(uninterrupted: Path) -> None:
    result = train(tiny_config(uninterrupted))
    assert (result.step, result.finished, result.seconds_per_step) == (8, True, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr_decoder=0.5", r"another configuration; got other values of train.lr_decoder;"),
        ("train.steps=9", "other values of train.steps"),  # the cosine depends on it
        ("augment.crop_width=64", "other values of augment.crop_width"),
        ("resume=never", "already holds a run; remedy: choose another out=FOLDER"),
        ("resume=nowhere.ckpt", "no such checkpoint; got nowhere.ckpt"),
    ],
)
def test_resume_that_would_mix_two_runs_is_refused(
    uninterrupted: Path, override: str, message: str
) -> None:
    before = (uninterrupted / LAST).read_bytes()
    with pytest.raises(SartmError, match=message):
        train(tiny_config(uninterrupted, override))
    assert (uninterrupted / LAST).read_bytes() == before


def dev_config(tmp_path: Path, *overrides: str) -> Config:
    if not (tmp_path / "site").exists():
        write_folder(tmp_path / "site", 6, 0, width=96, height=64, val_share=0.0)
    source = f"data.sources=[{{dataset: 'folder:{tmp_path / 'site'}', split: train}}]"
    return tiny_config(
        tmp_path / "run", source, "data.dev=[00002D-00003N]", "train.steps=4", *overrides
    )


def test_dev_frames_choose_the_weights(tmp_path: Path) -> None:
    result = train(dev_config(tmp_path, "train.evaluate_every=1"))
    scores = {
        row["step"]: row["dev"]["score"] for row in read_metrics(tmp_path / "run") if "dev" in row
    }
    assert sorted(scores) == [1, 2, 3, 4]
    best = load_checkpoint(result.checkpoint)
    assert result.checkpoint.name == BEST
    assert result.dev == best.best == max(scores.values())
    assert scores[best.step] == result.dev
    assert best.provenance["dev_frames"] == 2
    assert best.provenance["dataset"] == [
        {"dataset": "folder:site", "split": "train", "frames": 4, "weight": 1.0}
    ]
    assert best.provenance["metrics"]["dev"]["protocol"] == "mfnet8"


def test_dev_scores_survive_a_resume(tmp_path: Path) -> None:
    train(dev_config(tmp_path, "train.evaluate_every=1", ONE_STEP))
    first = load_checkpoint(tmp_path / "run" / LAST)
    train(dev_config(tmp_path, "train.evaluate_every=0", ONE_STEP))
    second = load_checkpoint(tmp_path / "run" / LAST)
    assert second.step == 2
    assert second.best == first.best >= 0
    assert second.provenance["metrics"] == first.provenance["metrics"] != {}


def test_run_folder_tells_how_to_repeat_it(uninterrupted: Path) -> None:
    again = tiny_config(uninterrupted)
    written = (uninterrupted / "config.yaml").read_text()
    assert f"out: {again.out}" in written
    environment = json.loads((uninterrupted / "environment.json").read_text())
    assert environment["machine"]
    assert environment["git_revision"]


@pytest.mark.parametrize(
    "content",
    [
        b"",  # a disk that was full
        b"not a checkpoint",
        b"PK\x03\x04 half an archive",
    ],
)
def test_damaged_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(SartmError, match=r"last\.ckpt is not a sartm checkpoint"):
        load_checkpoint(tmp_path / LAST)


class Malicious:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 3",)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"format": 1, "model": Malicious()}, tmp_path / LAST)
    ran: list[str] = []
    monkeypatch.setattr(os, "system", ran.append)
    with pytest.raises(SartmError, match="not a sartm checkpoint"):
        load_checkpoint(tmp_path / LAST)
    assert not ran


def test_full_disk_leaves_the_previous_checkpoint(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint: Checkpoint = load_checkpoint(uninterrupted / LAST)
    save_checkpoint(tmp_path / LAST, checkpoint)
    before = (tmp_path / LAST).read_bytes()

    def half(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / LAST, checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
    assert (tmp_path / LAST).read_bytes() == before
