"""`sartm compare`: is the new model better?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sartm_core.cli.output import emit


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="metrics.json of the old model.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="metrics.json of the new model.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.json and compare.html; default none.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="KIND:PATH of the frames: shows those that got worse; needs masks."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two evaluations of the same frames, with intervals; per_frame.npz lies beside each.

    Example: sartm compare out/old/metrics.json out/new/metrics.json --out out/compare
    """
    from sartm_core.evaluation.compare import Evaluation
    from sartm_core.evaluation.compare import compare as run

    if data is not None and out is None:
        raise typer.BadParameter("pictures need a folder: give --out too", param_hint="--data")
    old, new = Evaluation.read(a), Evaluation.read(b)
    comparison = run(old, new)
    lines = summary_lines(comparison)
    if out is not None:
        from sartm_core.data.datasets import open_dataset
        from sartm_core.evaluation.compare_report import regression_pictures, write_comparison
        from sartm_core.files import write_json_atomic

        pictures = []
        if data is not None:
            dataset = open_dataset(data, comparison["split"])
            pictures = regression_pictures(old, new, comparison, dataset)
        write_json_atomic(out / "compare.json", comparison)
        lines.append(f"report: {write_comparison(comparison, pictures, out)}")
    emit(comparison, as_json, lines)


def summary_lines(comparison: Mapping[str, Any]) -> list[str]:
    """A comparison for a person at a terminal."""
    lines = [
        f"A: {comparison['a']['model']}  B: {comparison['b']['model']}  "
        f"({comparison['frames']} frames, {comparison['blocks']} blocks)",
        *comparison["verdict"],
    ]
    for heading in ("protocols", "subsets", "classes"):
        lines += [_line(name, row) for name, row in comparison[heading].items()]
    if comparison["worse_frames"]:
        lines.append("frames that got worse (share of the foreground right):")
        lines += [
            f"  {row['name']:<20} {row['a']:.2f} -> {row['b']:.2f}  {row['note']}"
            for row in comparison["worse_frames"]
        ]
    return lines


def _line(name: str, row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return f"  {name:<20} -"
    line = f"  {name:<20} {row['a']:.3f} -> {row['b']:.3f}  {row['difference']:+.3f}"
    if row["low"] is None:
        return line
    return f"{line}  [{row['low']:+.3f}, {row['high']:+.3f}]"
