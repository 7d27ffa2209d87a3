"""Sweeps of a few seconds: tiny runs on six synthetic frames that lie in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sartm_core.classes import MFNET
from sartm_core.data.synthetic import write_folder
from sartm_core.evaluation.tally import Tally
from sartm_core.training.run_folder import public_values
from sartm_core.training.sweep_file import Run, Sweep, load_sweep
from sartm_core.training.sweep_result import SweepResult, dev_scores, write_result
from tests.training_runs import write_config

ROWS = """
  - {name: rgb, overrides: [data.modalities=rgb]}
  - {name: both}
  - {name: wide, after: both, overrides: [model.width=24]}
"""


def write_sweep(
    folder: Path, *overrides: str, rows: str = ROWS, more: str = "", data: str = "site"
) -> Path:
    """A sweep file in ``folder``, the working directory of the test, with its data set."""
    if not (folder / data).exists():
        write_folder(folder / data, 6, 0, width=96, height=64, val_share=0.0)
    source = f"data.sources=[{{dataset: 'folder:{folder / data}', split: train}}]"
    common = [source, "data.dev=[00002D-00003N]", "train.steps=3", *overrides]
    path = folder / "tiny_sweep.yaml"
    path.write_text(
        f"config: {write_config(folder)}\nresults: results\nreference: both\n"
        f"overrides: {list(common)}\n{more}\nrows:{rows}"
    )
    return path


def tiny_sweep(folder: Path, *overrides: str, rows: str = ROWS, more: str = "") -> Sweep:
    """What :func:`write_sweep` writes, read."""
    return load_sweep(write_sweep(folder, *overrides, rows=rows, more=more))


def row(sweep: Sweep, name: str, seed: int = 0) -> Run:
    """The run of a row."""
    return sweep.run(sweep.select([name])[0], seed)


def finish(run: Run, right: Sequence[float], frames: int = 40) -> SweepResult:
    """Write the result of a run that was never trained.

    Args:
        run: which one.
        right: for each input of the row, the share of the cars and persons that it finds.
        frames: of the dev list, in blocks of four.
    """
    inputs = ["rgb+thermal", "rgb", "thermal"] if len(right) == 3 else ["rgb"]
    tallies = {}
    for name, share in zip(inputs, right, strict=True):
        tally = Tally(MFNET)
        for index in range(frames):
            rng = np.random.default_rng(index)
            truth = np.zeros((20, 20), np.uint8)
            truth[:10], truth[10:15] = 1, 2
            found = rng.random((20, 20)) < share + rng.normal(0, 0.05)
            mask = np.where(found, truth, 0).astype(np.uint8)
            tally.add(f"site/{20 * (index // 4) + index % 4:05}D", truth, mask, night=False)
        tallies[name] = tally
    result = SweepResult(
        row=run.row.name,
        seed=run.seed,
        hash=run.row.hash,
        overrides=list(run.row.overrides),
        config=public_values(run.config),
        steps=run.config.train.steps,
        scored_step=run.config.train.steps,
        seconds=6.0,
        seconds_per_step=2.0,
        machine={},
        git_revision="unknown",
        torch="0",
        **dev_scores(tallies),
    )
    write_result(run.result, result)
    return result
