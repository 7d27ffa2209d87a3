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
WEIGHT = 0.1  # the released code's, and ours
METHODS = ("sartm", "released")


def measure(method: str, steps: int, folder: Path) -> dict[str, Any]:
    """Medians over the steps of a run."""
    words = [f"method={method}", f"cmkd.relation={WEIGHT}", f"train.steps={steps}"]
    train(load_config(CONFIG, [*COMMON, *words, f"out={folder}"]))
    ratios, relations = [], []
    for row in read_metrics(folder):
        relation, label = row["gradient/cmkd/relation"] / WEIGHT, row["gradient/label/aux"]
        relations.append(relation)
        ratios.append(relation / label)
    return {
        "steps": len(ratios),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        "weighted_ratio": WEIGHT * statistics.median(ratios),
        "relation_gradient": statistics.median(relations),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    rows = {}
    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            rows[method] = measure(method, steps, Path(folder))
        print(
            f"{method:8} |grad L_rel| / |grad L_label| at the fused feature: median "
            f"{rows[method]['ratio']:.5f} over {rows[method]['steps']} steps "
            f"({rows[method]['weighted_ratio']:.6f} at weight {WEIGHT})"
        )
    write_json_atomic(RESULT, {"overrides": COMMON, "methods": rows, "machine": describe_machine()})


if __name__ == "__main__":
    try:
        main()
    except SartmError as error:
        sys.exit(f"error: {error}")
