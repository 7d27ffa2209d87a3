"""`sartm train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sartm_core.cli.output import emit


def train(
    config: Annotated[Path, typer.Option(help="YAML file, see config/train/.")],
    overrides: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer evaluates annotations on Python 3.10
        typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace those of the file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a model; running the same command again goes on from the last checkpoint.

    Ctrl-C keeps a checkpoint and ends with exit code 130.

    Example: sartm train --config config/train/student_s.yaml train.steps=2000 out=out/train/long
    """
    from sartm_core.training.config import load_config
    from sartm_core.training.train import train as run

    result = run(load_config(config, overrides or ()))
    emit(
        {
            "checkpoint": str(result.checkpoint),
            "step": result.step,
            "finished": result.finished,
            "seconds_per_step": result.seconds_per_step,
            "dev": result.dev,
        },
        as_json,
        [
            f"{'finished' if result.finished else 'stopped'} after {result.step} steps: "
            f"{result.checkpoint}",
            f"next: sartm export {result.checkpoint} --out BUNDLE"
            if result.finished
            else "next: the same command goes on from here",
        ],
    )
    if result.interrupted:
        raise typer.Exit(130)
