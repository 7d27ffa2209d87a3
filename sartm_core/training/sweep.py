"""Runs of a sweep, one after the other: finished ones are skipped, stopped ones go on."""

from __future__ import annotations

import fcntl
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from sartm_core.errors import SartmError
from sartm_core.machine import describe_machine, git_revision
from sartm_core.progress import console
from sartm_core.training.build import load_network
from sartm_core.training.checkpoint import LAST, load_checkpoint
from sartm_core.training.config import config_from_dict
from sartm_core.training.data import load_dev_frames
from sartm_core.training.run_folder import public_values, read_metrics
from sartm_core.training.sweep_file import Run, Sweep, deciding_values
from sartm_core.training.sweep_result import (
    INPUTS,
    SweepResult,
    dev_scores,
    read_result,
    write_result,
)
from sartm_core.training.train import train


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        run: which one.
        result: of a finished run, or of one whose configuration has changed since.
        changed: keys whose values differ between ``result`` and the sweep file: it is stale.
        step: of the checkpoint of a run that is not finished; None if there is none.
        seconds_per_step: median of what was measured, None if nothing was.
    """

    run: Run
    result: SweepResult | None
    changed: tuple[str, ...]
    step: int | None
    seconds_per_step: float | None

    @property
    def finished(self) -> bool:
        """Whether the result belongs to the configuration of the sweep file."""
        return self.result is not None and not self.changed

    @property
    def steps_left(self) -> int:
        """Optimiser steps until the run is finished."""
        return 0 if self.finished else self.run.config.train.steps - (self.step or 0)


@dataclass
class SweepOutcome:
    """How a call of :func:`run_sweep` ended.

    Attributes:
        finished: runs that this call finished.
        failed: run -> why it cannot be trained.
        interrupted: whether Ctrl-C or SIGTERM ended the call.
    """

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def run_sweep(
    sweep: Sweep,
    *,
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
    max_minutes: float = 0.0,
) -> SweepOutcome:
    """Train what is not finished: all rows with the first seed, then with the next one.

    A run that fails does not stop the ones behind it.

    Args:
        sweep: the table.
        only: names of rows; all by default.
        seeds: by default those of the sweep file.
        max_minutes: stop then; the run under way keeps a checkpoint. 0 = no limit.

    Raises:
        SartmError: an unknown row, or the sweep is being run by another process.
    """
    rows = sweep.select(only) if only else sweep.rows
    runs = [sweep.run(row, seed) for seed in seeds or sweep.seeds for row in rows]
    deadline = time.monotonic() + 60 * max_minutes if max_minutes else None
    outcome = SweepOutcome()
    with _alone(sweep.folder):
        for run in runs:
            if run_state(run).finished:
                continue
            _announce(run, [run_state(each) for each in runs])
            try:
                finished, outcome.interrupted = _train(run, deadline)
            except SartmError as error:
                console.print(f"{run} failed: {error}")
                outcome.failed[str(run)] = str(error)
                finished = False
            if finished:
                outcome.finished.append(str(run))
            if outcome.interrupted or (deadline is not None and time.monotonic() >= deadline):
                break
    return outcome


def run_state(run: Run) -> RunState:
    """What the result folder and the run folder know of a run.

    Raises:
        SartmError: a result or a checkpoint that cannot be read.
    """
    result = read_result(run.result) if run.result.is_file() else None
    changed = _changed(result, run) if result else ()
    if result and not changed:
        return RunState(run, result, (), run.config.train.steps, result.seconds_per_step)
    last = run.config.folder / LAST
    step = load_checkpoint(last).step if last.is_file() else None
    return RunState(run, result, changed, step, seconds_per_step(run.config.folder))


def seconds_left(states: Sequence[RunState]) -> float | None:
    """Median seconds of a step, over the runs that have made any, times the steps that are left."""
    known = [state.seconds_per_step for state in states if state.seconds_per_step is not None]
    if not known:
        return None
    return statistics.median(known) * sum(state.steps_left for state in states)


def seconds_per_step(folder: Path) -> float | None:
    """Median over the steps that a run folder's metrics tell of."""
    seconds = [row["seconds"] for row in read_metrics(folder) if "seconds" in row]
    return statistics.median(seconds) if seconds else None


def _train(run: Run, deadline: float | None) -> tuple[bool, bool]:
    """(finished, interrupted) after training until the deadline at the latest."""
    plan = run.config.train
    if deadline is not None:
        minutes = max((deadline - time.monotonic()) / 60, 1e-9)
        plan = replace(plan, max_minutes=min(minutes, plan.max_minutes or minutes))
    ended = train(replace(run.config, train=plan))
    if ended.finished:
        write_result(run.result, _result(run, ended.checkpoint))
        console.print(f"{run}: {run.result}")
    return ended.finished, ended.interrupted


def _result(run: Run, checkpoint: Path) -> SweepResult:
    from sartm_core.training.validate import evaluate_modalities

    device = "cuda" if torch.cuda.is_available() else "cpu"
    only = run.config.data.modalities
    inputs = INPUTS if only == INPUTS[0] else (only,)
    network, state = load_network(checkpoint)
    frames = load_dev_frames(run.config)
    tallies = evaluate_modalities(network.to(device), frames, run.config, inputs)
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    rate = seconds_per_step(run.config.folder) or 0.0
    return SweepResult(
        row=run.row.name,
        seed=run.seed,
        hash=run.row.hash,
        overrides=list(run.row.overrides),
        config=public_values(run.config),
        steps=run.config.train.steps,
        scored_step=state.step,
        seconds=round(rate * run.config.train.steps, 1),
        seconds_per_step=rate,
        machine={**describe_machine(), "device": name},
        git_revision=git_revision(),
        torch=torch.__version__,
        **dev_scores(tallies),
    )


def _changed(result: SweepResult, run: Run) -> tuple[str, ...]:
    """Keys that differ. A key that is younger than the result counts as its default, as it does
    when a checkpoint is resumed."""
    if result.hash == run.row.hash:
        return ()
    try:
        then = public_values(config_from_dict(result.config))
    except SartmError:  # it has keys or values that are no longer known
        then = result.config
    differing = deciding_values(then).items() ^ deciding_values(public_values(run.config)).items()
    return tuple(sorted({key for key, _ in differing}))


def _announce(run: Run, states: Sequence[RunState]) -> None:
    done = sum(state.finished for state in states)
    seconds = seconds_left(states)
    left = "" if seconds is None else f", about {seconds / 60:.0f} min left for all"
    console.print(f"{run}: run {done + 1} of {len(states)}{left}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two trainings at once would be slower than one after the other, and share run folders."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SartmError(
                "this sweep is running already",
                got=folder,
                remedy="wait for it; --table shows how far it is",
            ) from error
        yield
