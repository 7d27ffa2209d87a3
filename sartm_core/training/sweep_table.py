"""The table of a sweep: scores over seeds, and differences with intervals from paired resamples."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from sartm_core.errors import SartmError
from sartm_core.evaluation.bootstrap import LEVEL, PerFrame, difference
from sartm_core.page import write_part
from sartm_core.training.sweep import RunState, run_state
from sartm_core.training.sweep_file import Row, Sweep, page_markers
from sartm_core.training.sweep_result import INPUTS, MEAN, SweepResult

FULL = "full"
"""Every camera that a row was trained with; the other measure is the mean over all inputs."""


def build_table(sweep: Sweep) -> dict[str, Any]:
    """What is known of a sweep, from its result and run folders.

    Returns:
        ``sweep``, ``reference``, ``protocol``, ``frames`` and ``blocks`` (of the dev frames),
        ``level`` of the intervals, ``smallest_detectable`` (median over the rows, to the reference,
        with every camera) and ``rows`` in the order of the file. Of each row: ``row``, ``adds``
        (overrides), ``previous``, ``runs`` (``seed``, ``state``, and ``step``, ``steps`` or
        ``changed``), ``scores`` (input or ``mean`` -> ``miou``, ``spread``, ``seeds``), ``iou``
        (per class, with every camera), ``stale`` (whether these are of another configuration) and
        ``differences`` (``to`` a row, ``of`` ``full`` or ``mean``, ``value``, ``low``, ``high``,
        ``smallest_detectable``, ``seeds``). What is not known yet is None or empty.

    Raises:
        SartmError: a result that cannot be read, or results of different dev frames.
    """
    states = {
        row.name: [run_state(sweep.run(row, seed)) for seed in sweep.seeds_of(row)]
        for row in sweep.rows
    }
    finished = {
        name: {state.run.seed: state.result for state in runs if state.result and state.finished}
        for name, runs in states.items()
    }
    rows = [_row(row, sweep.reference, states[row.name], finished) for row in sweep.rows]
    first = next((result for runs in finished.values() for result in runs.values()), None)
    differences = [part for row in rows for part in row["differences"]]
    detectable = [
        part["smallest_detectable"]
        for part in differences
        if part["to"] == sweep.reference and part["of"] == FULL and part["smallest_detectable"]
    ]
    return {
        "sweep": sweep.name,
        "reference": sweep.reference,
        "protocol": first and first.protocol,
        "frames": first and len(_every_camera(first).names),
        "blocks": differences[0]["blocks"] if differences else None,
        "level": LEVEL,
        "smallest_detectable": statistics.median(detectable) if detectable else None,
        "rows": rows,
    }


def _row(
    row: Row,
    reference: str,
    states: Sequence[RunState],
    finished: Mapping[str, Mapping[int, SweepResult]],
) -> dict[str, Any]:
    fresh = list(finished[row.name].values())
    shown = fresh or [state.result for state in states if state.result]
    others = dict.fromkeys(name for name in (reference, row.previous) if name and name != row.name)
    return {
        "row": row.name,
        "adds": list(row.adds),
        "previous": row.previous,
        "runs": [_run(state) for state in states],
        "scores": {
            name: _over_seeds([run.scores[name]["miou"] for run in shown])
            for name in (*INPUTS, MEAN)
            if shown and all(name in run.scores for run in shown)
        },
        "iou": _class_iou(shown),
        "stale": bool(shown and not fresh),
        "differences": [
            part
            for other in others
            for part in _differences(finished[row.name], other, finished[other])
        ],
    }


def _differences(
    ours: Mapping[int, SweepResult], other: str, theirs: Mapping[int, SweepResult]
) -> Iterator[dict[str, Any]]:
    """``ours`` minus ``theirs``, the runs of row ``other``, over the seeds that both have."""
    seeds = sorted(ours.keys() & theirs.keys())
    mine, yours = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    measures = [FULL] if seeds else []
    if seeds and all(MEAN in run.scores for run in (*mine, *yours)):
        measures.append(MEAN)
    for measure in measures:
        estimates = difference(
            _variants(yours, measure), _variants(mine, measure), mine[0].protocol
        )
        gain = estimates.miou
        yield {
            "to": other,
            "of": measure,
            "value": gain.value,
            "low": gain.low,
            "high": gain.high,
            "smallest_detectable": gain.smallest_detectable,
            "blocks": estimates.blocks,
            "seeds": seeds,
        }


def _variants(runs: Sequence[SweepResult], measure: str) -> PerFrame:
    """The dev frames of several seeds and inputs, whose scores are averaged.

    The same scene of two data sets has the same name there, so that both are in one block.
    """
    parts = [
        part
        for run in runs
        for part in (run.frames.values() if measure == MEAN else [_every_camera(run)])
    ]
    if any(part.names != parts[0].names for part in parts):
        raise SartmError(
            f"the runs of row '{runs[0].row}' were not scored on the same dev frames",
            remedy="remove the older results and run the sweep again",
        )
    names = tuple(PurePosixPath(name).name for name in parts[0].names)
    return PerFrame(names, np.stack([part.confusion for part in parts], axis=1), parts[0].night)


def _every_camera(run: SweepResult) -> PerFrame:
    return next(iter(run.frames.values()))


def _run(state: RunState) -> dict[str, Any]:
    values: dict[str, Any] = {"seed": state.run.seed, "state": "finished"}
    if not state.finished:
        values["state"] = "not started" if state.step is None else "unfinished"
        values |= {"step": state.step or 0, "steps": state.run.config.train.steps}
    if state.changed:
        values["changed"] = list(state.changed)
    return values


def _over_seeds(values: Sequence[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"miou": statistics.fmean(values), "spread": spread, "seeds": len(values)}


def _class_iou(runs: Sequence[SweepResult]) -> dict[str, float | None]:
    """Class -> mean over the runs, with every camera; None for a class that does not count."""
    per_run = [next(iter(run.scores.values()))["iou"] for run in runs]
    return {
        name: None if None in column else statistics.fmean(column)
        for name in (per_run[0] if per_run else {})
        for column in [[iou[name] for iou in per_run]]
    }


@dataclass(frozen=True)
class Section:
    """One table for a reader: ``title``, ``header``, and ``rows`` of as many cells."""

    title: str
    header: list[str]
    rows: list[list[str]]


def sections(table: Mapping[str, Any]) -> list[Section]:
    """A table of :func:`build_table` as text, without its notes."""
    rows = table["rows"]
    scores = Section(
        f"mIoU ({table['protocol'] or 'no result yet'})",
        ["row", *INPUTS, MEAN, "runs", "adds"],
        [
            [
                row["row"],
                *(_score(row, name) for name in (*INPUTS, MEAN)),
                _runs(row),
                " ".join(row["adds"]),
            ]
            for row in rows
        ],
    )
    reference = table["reference"]
    differences = Section(
        "Differences",
        ["row", f"to {reference}", "mean of the inputs", "to the row before", "mean of the inputs"],
        [
            [
                row["row"],
                *(
                    _difference(row, other, measure)
                    for other in (reference, row["previous"])
                    for measure in (FULL, MEAN)
                ),
            ]
            for row in rows
        ],
    )
    names = next((list(row["iou"]) for row in rows if row["iou"]), [])
    classes = Section(
        "IoU of each class, with every camera of the row",
        ["row", *names],
        [[row["row"], *(_figure(row["iou"].get(name)) for name in names)] for row in rows],
    )
    return [scores, differences, classes] if names else [scores]


def notes(table: Mapping[str, Any]) -> list[str]:
    """What a reader must know of the figures."""
    if table["protocol"] is None:
        return ["No run is finished."]
    lines = [
        f"{table['protocol']} on {table['frames']} dev frames; mean and standard deviation over "
        "seeds where there are several. A run whose configuration has changed since is stale.",
    ]
    if table["blocks"] is not None:
        lines.append(
            "Differences: each row with every camera that it was trained with, over the seeds that "
            f"both rows have, with the {100 * table['level']:.0f} % interval of a paired bootstrap "
            f"over {table['blocks']} blocks of neighbouring frames; * = the interval leaves out 0. "
            "The spread over seeds is not in the intervals."
        )
    if table["smallest_detectable"] is not None:
        lines.append(
            f"Smallest detectable difference to {table['reference']} (found in 80 % of the cases "
            f"at 5 % error, median of the rows): {table['smallest_detectable']:.3f}."
        )
    return lines


def markdown(table: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    parts = []
    for section in sections(table):
        lines = [section.header, ["---"] * len(section.header), *section.rows]
        text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        parts.append(f"{section.title}\n\n{text}")
    return "\n\n".join([*parts, *notes(table)])


def write_page(sweep: Sweep, table: Mapping[str, Any]) -> None:
    """Write the table between the markers of the sweep's page; without a page, do nothing.

    Raises:
        SartmError: the page lacks the markers.
    """
    if sweep.page:
        write_part(sweep.page, *page_markers(sweep.name), markdown(table))


def _score(row: Mapping[str, Any], name: str) -> str:
    if name not in row["scores"]:
        return "-"
    score = row["scores"][name]
    spread = "" if score["spread"] is None else f" ± {score['spread']:.3f}"
    return f"{score['miou']:.3f}{spread}{' (stale)' if row['stale'] else ''}"


def _difference(row: Mapping[str, Any], other: str | None, measure: str) -> str:
    for part in row["differences"]:
        if (part["to"], part["of"]) == (other, measure):
            if part["low"] is None:
                return f"{part['value']:+.3f} (too few blocks)"
            sure = " *" if part["low"] > 0 or part["high"] < 0 else ""
            return f"{part['value']:+.3f} [{part['low']:+.3f}, {part['high']:+.3f}]{sure}"
    return "-"


def _runs(row: Mapping[str, Any]) -> str:
    """``seeds 0, 1``, ``unfinished (step 40/100)``, ``stale: train.steps`` or ``-``."""
    runs = row["runs"]
    parts = []
    if done := [str(run["seed"]) for run in runs if run["state"] == "finished"]:
        parts.append(f"seed{'s' if len(done) > 1 else ''} {', '.join(done)}")
    for run in runs:
        which = f"seed {run['seed']} " if len(runs) > 1 else ""
        if "changed" in run:
            parts.append(f"{which}stale: {', '.join(run['changed'])}")
        if run["state"] == "unfinished":
            parts.append(f"{which}unfinished (step {run['step']}/{run['steps']})")
    return "; ".join(parts) or "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
