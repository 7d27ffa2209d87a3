"""The page that `sartm compare` writes: differences with their intervals, and what got worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sartm_core.data.sample import Dataset
from sartm_core.errors import SartmError
from sartm_core.evaluation.compare import Evaluation
from sartm_core.evaluation.evaluate import fit_to_label, require_label
from sartm_core.evaluation.report import ERROR_COLORS, error_picture, panel, render
from sartm_core.files import write_bytes_atomic
from sartm_core.thermal import normalise
from sartm_core.viz import thermal_to_rgb

COMPARISON = "compare.html"


def write_comparison(
    comparison: Mapping[str, Any], pictures: list[dict[str, Any]], out_dir: Path
) -> Path:
    """Write compare.html: self-contained, without scripts.

    Args:
        comparison: what ``compare.compare`` gave.
        pictures: what :func:`regression_pictures` gave, or none.
        out_dir: folder to write to; made if missing.

    Returns:
        The file.
    """
    head = comparison["protocols"][comparison["protocol"]]
    rows = [("mean IoU", head, "best")]
    rows += [(f"mean IoU, {name}", row, "sub") for name, row in comparison["subsets"].items()]
    rows += [(name, row, "") for name, row in comparison["classes"].items()]
    others = [item for item in comparison["protocols"].items() if item[1] is not head]
    groups = [rows, [(name, row, "") for name, row in others]]
    html = render(
        "compare.html.j2",
        comparison=comparison,
        groups=[list(_plotted(group)) for group in groups if group],
        gallery=pictures,
        error_colors=ERROR_COLORS,
    )
    path = Path(out_dir) / COMPARISON
    write_bytes_atomic(path, html.encode())
    return path


def regression_pictures(
    a: Evaluation, b: Evaluation, comparison: Mapping[str, Any], dataset: Dataset
) -> list[dict[str, Any]]:
    """The frames that got worse as both cameras see them, with the errors of A and of B.

    Raises:
        SartmError: the masks of A or B were not kept, or a frame is not in the data set.
    """
    gallery = []
    for row in comparison["worse_frames"]:
        sample = dataset.read(row["name"])
        label = require_label(sample, dataset)
        thermal = thermal_to_rgb(normalise(sample.thermal, valid=sample.thermal_valid))
        panels = [panel("RGB", sample.rgb, sample.stem), panel("Thermal", thermal, sample.stem)]
        for title, run in (("Errors of A", a), ("Errors of B", b)):
            mask = run.mask(sample.stem)
            if mask is None:
                raise SartmError(
                    "there are no masks to show",
                    got=f"none of frame {sample.stem} beside {run.path}",
                    remedy="run `sartm evaluate` with --masks, or leave out --data",
                )
            errors = error_picture(sample.rgb, fit_to_label(mask, label), label)
            panels.append(panel(title, errors, sample.stem))
        gallery.append({"name": sample.stem, "note": row["note"], "panels": panels})
    return gallery


def _plotted(rows: list[tuple[str, Mapping[str, Any], str]]) -> Iterator[dict[str, Any]]:
    """Rows with their interval in units of a plot: 0 and 1 are the ends, 0.5 no difference."""
    values = [row[key] for _, row, _ in rows for key in ("low", "high", "difference")]
    reach = max([abs(value) for value in values if value is not None], default=0.0) * 1.05 or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else 0.5 + value / (2 * reach)

    for name, row, style in rows:
        decided = row["low"] is not None and (row["low"] > 0 or row["high"] < 0)
        plot = {key: place(row[key]) for key in ("low", "high", "difference")}
        yield {"name": name, "style": style, "row": row, "plot": plot, "decided": decided}
