"""Runs of a teacher go on bit for bit, and so does a run that is killed over and over."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path

import pytest

from sartm_core.training.checkpoint import LAST, load_checkpoint
from sartm_core.training.train import train
from tests.core.training.killed_run import STEPS, run
from tests.core.training.test_train import assert_same_run
from tests.training_runs import teacher_config

KILLS = 20


def test_teacher_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Every term on, averages of prototypes among the state; stopped after every step."""
    options = ("train.steps=4", "train.tensorboard=false")
    assert train(teacher_config(tmp_path / "a" / "run", *options)).finished
    for step in (1, 2, 3, 4):
        interrupted = (*options, "train.max_minutes=1e-9")
        config = teacher_config(tmp_path / "b" / "run", *interrupted)
        assert train(config).step == step
    assert_same_run(tmp_path / "b" / "run", tmp_path / "a" / "run")
    state = load_checkpoint(tmp_path / "a" / "run" / LAST).training
    seen = [value for name, value in state.items() if name.endswith(".seen")]
    assert len(seen) == 3
    assert all(value.any() for value in seen)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_change_no_bit(tmp_path: Path) -> None:
    """Kill -9 at any moment: between steps, in the middle of one, while a checkpoint is written."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.core.training.killed_run"])
    moments = random.Random(0)
    out, last = tmp_path / "killed" / "run", tmp_path / "killed" / "run" / LAST
    steps = []
    for _ in range(KILLS):
        process = context.Process(target=run, args=(out,))
        process.start()
        for _ in range(moments.randint(1, 2)):
            written = last.stat().st_mtime_ns if last.is_file() else 0
            while process.is_alive() and not (
                last.is_file() and last.stat().st_mtime_ns != written
            ):
                time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        steps.append(load_checkpoint(last).step)
    assert sorted(set(steps)) == steps
    assert steps[-1] < STEPS

    assert run(out).finished
    assert run(tmp_path / "uninterrupted" / "run").finished
    assert_same_run(out, tmp_path / "uninterrupted" / "run")
