"""`sartm data`: look at data sets before anything learns from them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from sartm_core.cli.output import emit, progress

app = typer.Typer(no_args_is_help=True, add_completion=False)

REPORT = "data_check.json"
SHEET = "contact_sheet.png"

_SHOWN = 20


@app.callback()
def data() -> None:
    """Data sets: KIND:PATH with KIND folder, mfnet, msrs, pst900 or fmb."""


@app.command()
def check(
    sets: Annotated[list[str], typer.Argument(metavar="KIND:PATH...", help="Data sets.")],
    split: Annotated[
        str | None, typer.Option(help="Lists to look at, a,b,... [those that the sets bring].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {REPORT} and {SHEET} [none].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find missing pairs, bad labels, sizes that differ, and near-duplicates between lists.

    Problems make it fail (exit 1); warnings are yours to judge. Several data sets are also
    compared with each other. The report counts the pixels and frames of each class.

    Example: sartm data check mfnet:data/MFNet msrs:data/MSRS --out out/check
    """
    from sartm_core.data.check import check as run
    from sartm_core.data.check import count_frames, open_lists

    lists = open_lists(sets, [name.strip() for name in split.split(",")] if split else [])
    with progress("checking frames", count_frames(lists)) as bar:
        result = run(lists, bar.advance)
    report = result.to_json()
    lines = list(_lines(report))
    if out:
        from sartm_core.data.contact_sheet import contact_sheet
        from sartm_core.data.images import write_png
        from sartm_core.files import write_json_atomic

        write_png(out / SHEET, contact_sheet(result))
        report["contact_sheet"] = str(out / SHEET)
        write_json_atomic(out / REPORT, report)
        lines.append(f"report: {out / REPORT}, {out / SHEET}")
    emit(report, as_json, lines)
    if not report["ok"]:
        raise typer.Exit(1)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    for _, group in groupby(report["lists"], key=lambda entry: entry["data"]):
        yield from _table(list(group))
    for kind in ("warning", "problem"):
        found = report[f"{kind}s"]
        yield from (f"{kind}: {text}" for text in found[:_SHOWN])
        if len(found) > _SHOWN:
            yield f"{kind}: {len(found) - _SHOWN} more, see --out or --json"
    problems, warnings = len(report["problems"]), len(report["warnings"])
    verdict = "ok" if report["ok"] else "not ok"
    yield f"{verdict}: problems {problems}, warnings {warnings}"


def _table(lists: list[dict[str, Any]]) -> Iterator[str]:
    """The lists of one data set, their classes side by side."""
    for entry in lists:
        hours = f", {entry['day']} day, {entry['night']} night" if entry["untold"] == 0 else ""
        sizes = f"RGB {_sizes(entry['rgb_sizes'])}, thermal {_sizes(entry['thermal_sizes'])}"
        unlabelled = "" if entry["labelled"] == entry["read"] else f", {entry['labelled']} labelled"
        yield f"{entry['title']}: {entry['frames']} frames{hours}{unlabelled}; {sizes}"
    if not any(entry["labelled"] for entry in lists):
        return
    width = max(19, *(len(entry["list"]) + 2 for entry in lists))
    yield f"  {'':<18}" + "".join(f"{entry['list']:>{width}}" for entry in lists)
    yield f"  {'class':<18}" + f"{'pixels  frames':>{width}}" * len(lists)
    totals = [
        max(1, sum(row["pixels"] for row in entry["classes"].values()) + entry["ignored_pixels"])
        for entry in lists
    ]
    for name in lists[0]["classes"]:
        cells = ""
        for entry, total in zip(lists, totals, strict=True):
            row = entry["classes"][name]
            cells += f"{100 * row['pixels'] / total:.3f} %{row['frames']:>8}".rjust(width)
        yield f"  {name:<18}{cells}"


def _sizes(sizes: dict[str, int]) -> str:
    first = ", ".join(list(sizes)[:2])
    return first + (f" and {len(sizes) - 2} more" if len(sizes) > 2 else "") if sizes else "none"
