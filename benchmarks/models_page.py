"""The results of benchmarks/models.py as a table and a plot in docs/models.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.page import page_parts, write_part
from sartm_core.training.sweep_result import INPUTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
BEGIN = "<!-- results: written by `python -m benchmarks.models` -->"
END = "<!-- end of results -->"
PRECISIONS = ("fp32", "int8")
STARTS = {True: "From ImageNet weights", False: "From random weights"}
# Text and lines, ours, peers: dark enough on white, light enough on black.
THEMES = {"light": ("#24292f", "#0b62c4", "#a2500a"), "dark": ("#d0d7de", "#6cb6ff", "#f0a35e")}


@dataclass(frozen=True)
class Line:
    """What is known of a row; None where it was not measured yet.

    Attributes:
        name: of the row.
        ours: whether it is one of our networks.
        imagenet: whether it starts from ImageNet weights.
        beside: the row that it is compared with, of the same start.
        parameters, multiply_adds: of the network as it runs.
        ms: precision -> the fastest round.
        scores: input or ``mean`` -> mIoU on the dev frames.
        difference: to ``beside``, with the keys of ``sweep_table``.
        stale: whether the scores are of an older configuration.
    """

    name: str
    ours: bool
    imagenet: bool
    beside: str | None
    parameters: int | None
    multiply_adds: int | None
    ms: dict[str, float]
    scores: dict[str, float]
    difference: Mapping[str, Any] | None
    stale: bool


def read_lines(result: Mapping[str, Any]) -> list[Line]:
    """The rows of a result file."""
    starts = {row["row"]: row["imagenet"] for row in result["rows"]}
    accuracy = {row["row"]: row for row in result["accuracy"]["rows"]}
    networks = result.get("speed", {}).get("networks", {})
    lines = []
    for row in result["rows"]:
        network, scored = networks.get(row["row"], {}), accuracy[row["row"]]
        same = row["beside"] is not None and starts[row["beside"]] == row["imagenet"]
        beside = row["beside"] if same else None
        full = [part for part in scored["differences"] if part["of"] == "full"]
        lines.append(
            Line(
                name=row["row"],
                ours=row["ours"],
                imagenet=row["imagenet"],
                beside=beside,
                parameters=network.get("parameters"),
                multiply_adds=network.get("multiply_adds"),
                ms={name: values["fastest"] for name, values in network.get("ms", {}).items()},
                scores={name: score["miou"] for name, score in scored["scores"].items()},
                difference=next((part for part in full if part["to"] == beside), None),
                stale=scored["stale"],
            )
        )
    return lines


def tables(result: Mapping[str, Any]) -> str:
    """Markdown: one table for each start, and how it was measured."""
    lines = read_lines(result)
    parts = []
    for imagenet, title in STARTS.items():
        rows = [line for line in lines if line.imagenet == imagenet]
        if rows:
            parts.append(f"### {title}\n\n{_table(rows, lines)}")
    return "\n\n".join([*parts, *_notes(result)])


def front(lines: Sequence[Line]) -> list[Line]:
    """The rows that no other one beats in both time and accuracy, fastest first."""
    best: list[Line] = []
    for line in sorted(lines, key=lambda line: (line.ms["fp32"], -line.scores[INPUTS[0]])):
        if not best or line.scores[INPUTS[0]] > best[-1].scores[INPUTS[0]]:
            best.append(line)
    return best


def plot(result: Mapping[str, Any], page: Path) -> list[Path]:
    """Write accuracy over time as ``images/NAME-light.svg`` and ``-dark.svg`` beside the page.

    Returns:
        The files; none while fewer than two rows have both figures.
    """
    known = [line for line in read_lines(result) if "fp32" in line.ms and INPUTS[0] in line.scores]
    if len(known) < 2:
        return []
    return [
        _draw(known, colours, page.parent / "images" / f"{page.stem}-{theme}.svg")
        for theme, colours in THEMES.items()
    ]


def write_page(page: Path, result: Mapping[str, Any]) -> str:
    """Write tables and plot between the markers of a page, and return the tables.

    Raises:
        SartmError: the page lacks the markers.
    """
    page_parts(page, BEGIN, END)  # before the plot is drawn
    written = tables(result)
    write_part(page, BEGIN, END, f"{_picture(plot(result, page), page)}{written}")
    return written


def _picture(files: Sequence[Path], page: Path) -> str:
    if not files:
        return ""
    light, dark = (file.relative_to(page.parent).as_posix() for file in files)
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img src="{light}" alt="mIoU on the dev frames over the time of a frame">\n'
        "</picture>\n\n"
    )


def _table(rows: Sequence[Line], every: Sequence[Line]) -> str:
    times = {line.name: line.ms.get("fp32") for line in every}
    header = ["network", "parameters", "multiply-adds", "fp32", "int8", "time", "RGB + thermal"]
    header += ["RGB", "thermal", "difference"]
    table = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for line in rows:
        beside = times.get(line.beside) if line.beside else None
        ours = line.ms.get("fp32")
        table.append(
            [
                f"**{line.name}**" if line.ours else line.name,
                _figure(line.parameters, 1e6, ".2f", " M"),
                _figure(line.multiply_adds, 1e9, ".2f", " G"),
                *(_figure(line.ms.get(name), 1, ".1f", " ms") for name in PRECISIONS),
                f"{ours / beside:.2f} x" if ours and beside else "–",
                *(_score(line, name) for name in INPUTS),
                _difference(line.difference),
            ]
        )
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)


def _notes(result: Mapping[str, Any]) -> list[str]:
    notes = []
    if speed := result.get("speed"):
        machine, size = speed["machine"], "x".join(map(str, speed["input"]))
        versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
        notes.append(
            f"Time: fastest of {speed['rounds']} rounds in which all networks take turns, {size}, "
            f"{speed['threads']} threads of {machine['cpu']}, {machine['cores']} cores, load "
            f"{speed['load']:.1f} when it began; {versions}."
        )
    accuracy = result["accuracy"]
    if accuracy["protocol"] is None:
        return [*notes, "Accuracy: no training is finished."]
    blocks = f", {accuracy['blocks']} blocks" if accuracy["blocks"] else ""
    notes.append(
        f"Accuracy: mIoU, protocol {accuracy['protocol']}, {accuracy['frames']} dev frames{blocks}."
    )
    return notes


def _figure(value: float | None, unit: float, form: str, name: str) -> str:
    return "–" if value is None else f"{value / unit:{form}}{name}"


def _score(line: Line, name: str) -> str:
    if name not in line.scores:
        return "–"
    return f"{line.scores[name]:.3f}{' (stale)' if line.stale else ''}"


def _difference(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return "–"
    if part["low"] is None:
        return f"{part['value']:+.3f}"
    return f"{part['value']:+.3f} [{part['low']:+.3f}, {part['high']:+.3f}]"


def _draw(lines: Sequence[Line], colours: tuple[str, str, str], path: Path) -> Path:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullLocator
    except ImportError as error:
        raise SartmError(
            "matplotlib is not installed",
            got=error,
            remedy="pip install -c requirements/constraints.txt -r requirements/bench.txt",
        ) from error
    ink, ours, peers = colours
    style = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink
    )
    # The same file for the same figures.
    style |= {"svg.hashsalt": path.stem, "font.size": "9"}
    with mpl.rc_context(style):
        groups = [start for start in STARTS if any(line.imagenet == start for line in lines)]
        figure = Figure(figsize=(4.4 * len(groups) + 0.4, 4.0), layout="constrained")
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for panel, start in zip(panels, groups, strict=True):
            group = [line for line in lines if line.imagenet == start]
            steps = front(group)
            panel.step(
                [line.ms["fp32"] for line in steps],
                [line.scores[INPUTS[0]] for line in steps],
                where="post",
                color=ink,
                alpha=0.8,
                linewidth=1,
                linestyle="--",
            )
            for line in group:
                point = (line.ms["fp32"], line.scores[INPUTS[0]])
                colour = ours if line.ours else peers
                panel.plot(*point, "o" if line.ours else "s", color=colour, markersize=7)
                panel.annotate(
                    line.name,
                    point,
                    xytext=(0, 8),
                    textcoords="offset points",
                    ha="center",
                    color=colour,
                    fontweight="bold" if line.ours else "normal",
                )
            panel.set_title(STARTS[start], color=ink)
            panel.set_xlabel("ONNX Runtime fp32, ms a frame")
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(NullLocator())
            panel.margins(x=0.3, y=0.15)
            panel.grid(color=ink, alpha=0.15)
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("mIoU on the dev frames, RGB + thermal")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", transparent=True, metadata={"Date": None})
    return path
