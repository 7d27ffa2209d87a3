"""How far two renderings of the same thermal frames come together.

    python -m benchmarks.thermal_normalisation [FOLDER_A FOLDER_B]

The frames that the train lists of both data sets name are compared: by default those of
mfnet_subset and msrs_subset, which share scenes but not the thermal rendering.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.frames import Image
from sartm_core.machine import describe_machine
from sartm_core.thermal import HIGH_PERCENTILE, LOW_PERCENTILE, ThermalSpec, normalise

RESULT = Path(__file__).parent / "results" / "thermal_normalisation.json"


def stretch(thermal: Image) -> Image:
    """Percentiles alone, without bringing the median to a level."""
    low, high = np.percentile(thermal, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return normalise(thermal, ThermalSpec("agc8", window=(low, max(high, low + 1))))


METHODS: dict[str, Callable[[Image], Image]] = {
    "raw": lambda thermal: thermal,
    "stretch": stretch,
    "sartm": normalise,
}


def difference(first: Image, second: Image) -> float:
    """Mean absolute difference in units of the images' mean standard deviation."""
    spread = (first.std() + second.std()) / 2
    return float(np.abs(first.astype(float) - second).mean() / spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    folders = parser.parse_args().folders
    if not folders:
        root = sample_data_root()
        if root is None:
            raise SartmError("no real frames found", remedy="export SARTM_DATA=FOLDER")
        folders = [root / "mfnet_subset", root / "msrs_subset"]
    first, second = (open_dataset(f"folder:{folder}", "train") for folder in folders)
    common = sorted({*first.stems} & {*second.stems})
    rows = {}
    for name, method in METHODS.items():
        pairs = [[method(data.read(stem).thermal) for data in (first, second)] for stem in common]
        rows[name] = {
            "difference": round(float(np.mean([difference(a, b) for a, b in pairs])), 3),
            "correlation": round(
                float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])), 3
            ),
        }
        print(f"{name:8} difference {rows[name]['difference']:.3f} standard deviations, "
              f"correlation {rows[name]['correlation']:.3f}")  # fmt: skip
    write_json_atomic(
        RESULT,
        {
            "data": [f"{data.name}/train" for data in (first, second)],
            "frames": len(common),
            "methods": rows,
            "machine": describe_machine(),
        },
    )


if __name__ == "__main__":
    try:
        main()
    except SartmError as error:
        sys.exit(f"error: {error}")
