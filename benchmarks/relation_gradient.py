"""How strongly the relation between classes pulls at the fused feature, beside the label loss.

    python -m benchmarks.relation_gradient [--steps 200]

Trains the teacher of config/train/teacher_lite.yaml on small crops of the real train lists, once as
sartm computes the relation and once as the code released with the paper does, and measures both
gradients at every step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.training.config import load_config
from sartm_core.training.run_folder import read_metrics
from sartm_core.training.train import train

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config" / "train" / "teacher_lite.yaml"
RESULT = ROOT / "benchmarks" / "results" / "relation_gradient.json"

COMMON = [
    "model.encoder=efficientnet_lite0",
    "model.fusion_channels=[32,48,64,96]",
    "model.heads=[aux]",
    "model.inference_head=aux",
    "model.width=64",
    "augment.crop_height=160",
    "augment.crop_width=192",
    "train.batch=4",
    "train.gradient_norms_every=1",
    "train.tensorboard=false",
    "language.alignment=0",
    "language.grounding=false",
    "cmkd.gap=0",
    "cmkd.gap_prototype=0",
]
WEIGHTS = {"sartm": 0.02, "released": 0.1}  # as in config/train and in the released recipe


def measure(method: str, steps: int, folder: Path) -> dict[str, Any]:
    """Medians over the steps of a run."""
    weight = WEIGHTS[method]
    words = [f"method={method}", f"cmkd.relation={weight}", f"train.steps={steps}"]
    train(load_config(CONFIG, [*COMMON, *words, f"out={folder}"]))
    ratios = []
    for row in read_metrics(folder):
        ratios.append(row["gradient/cmkd/relation"] / row["gradient/label/aux"])
    return {
        "steps": len(ratios),
        "weight": weight,
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    rows = {}
    for method in WEIGHTS:
        with tempfile.TemporaryDirectory() as folder:
            rows[method] = measure(method, steps, Path(folder))
        row = rows[method]
        print(
            f"{method:8} |grad of the weighted L_rel| / |grad L_label| at the fused feature: "
            f"median {row['ratio']:.5f} over {row['steps']} steps, weight {row['weight']}"
        )
    write_json_atomic(RESULT, {"overrides": COMMON, "methods": rows, "machine": describe_machine()})


if __name__ == "__main__":
    try:
        main()
    except SartmError as error:
        sys.exit(f"error: {error}")
