"""`sartm sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sartm_core.cli.output import emit

WIDTH = 200  # of the table where stdout is no terminal


def sweep(
    file: Annotated[Path, typer.Argument(help="YAML file, see config/train/sweeps/.")],
    only: Annotated[str | None, typer.Option(help="Rows ROW,ROW,...; default all.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, such as 0,1,2; default those of the file.")
    ] = None,
    max_minutes: Annotated[
        float, typer.Option(min=0, help="Stop after so many minutes; 0 = no limit.")
    ] = 0.0,
    table: Annotated[
        bool, typer.Option("--table", help="Train nothing, only write the table.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a table of configurations and seeds, one run at a time, and write it with intervals.

    Finished runs are skipped and stopped ones go on, so a long table grows by short calls.

    Example: sartm sweep config/train/sweeps/ablation.yaml --only concat,fusion --max-minutes 25
    """
    from sartm_core.training.sweep import SweepOutcome, run_sweep
    from sartm_core.training.sweep_file import load_sweep
    from sartm_core.training.sweep_table import build_table, write_page

    plan = load_sweep(file)
    numbers = _numbers(seeds)
    outcome = SweepOutcome()
    if not table:
        rows = only.split(",") if only else ()
        outcome = run_sweep(plan, only=rows, seeds=numbers, max_minutes=max_minutes)
    result = build_table(plan)
    write_page(plan, result)
    emit({**result, **vars(outcome)}, as_json, _lines(result))
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)


def _numbers(seeds: str | None) -> list[int]:
    words = seeds.split(",") if seeds else []
    if not all(word.strip().isdecimal() for word in words):
        raise typer.BadParameter(
            f"got {seeds!r}, expected numbers such as 0,1,2", param_hint="--seeds"
        )
    return [int(word) for word in words]


def _lines(result: dict[str, Any]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from sartm_core.training.sweep_table import notes, sections

    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen.width = WIDTH
    with screen.capture() as captured:
        for section in sections(result):
            shown = Table(
                *section.header, title=section.title, box=box.SIMPLE, title_justify="left"
            )
            for row in section.rows:
                shown.add_row(*map(Text, row))
            screen.print(shown)
        for line in notes(result):
            screen.print(line, markup=False)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
