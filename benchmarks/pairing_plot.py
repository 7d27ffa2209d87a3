"""The curve of benchmarks/pairing.py: what waiting longer for a thermal image gives, and costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.synchronizer import SyncParameters

COLOURS = {"reuse": "#0b62c4", "match": "#a2500a"}
PANELS = (
    ("offset_ms", "mean offset [ms]", 1.0),
    ("share", "RGB images with a partner [%]", 100.0),
    ("added_ms", "added latency, mean [ms]", 1.0),
)


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write the curve of both modes as a PNG.

    Raises:
        SartmError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SartmError(
            "matplotlib is not installed",
            got=error,
            remedy="pip install -c requirements/constraints.txt -r requirements/bench.txt",
        ) from error
    with mpl.rc_context({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(8.0, 2.6), layout="constrained")
        for panel, (key, label, unit) in zip(figure.subplots(1, 3), PANELS, strict=True):
            for mode, colour in COLOURS.items():
                points = [point for point in result["curve"] if point["mode"] == mode]
                panel.plot(
                    [point["max_wait_ms"] for point in points],
                    [unit * point[key] for point in points],
                    "o-",
                    color=colour,
                    markersize=3,
                    linewidth=1.2,
                    label=f"sync.mode: {mode}",
                )
            default = 1e3 * SyncParameters().max_wait_s
            panel.axvline(default, color="#777777", linewidth=1, linestyle=":", label="default")
            panel.set(xlabel="sync.max_wait_s [ms]", ylabel=label, ylim=(0, None))
        figure.axes[1].legend(loc="center right")
        with atomic_path(path) as aside:
            # No version of the library in the file: the same picture for the same figures.
            figure.savefig(aside, format="png", dpi=100, metadata={"Software": None})
