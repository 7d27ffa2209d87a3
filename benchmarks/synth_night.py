"""What thermal is worth at night: RGB alone against RGB + thermal on synthetic scenes.

Both are trained with the same budget, once per seed, and scored on fresh night scenes. Finished
runs are not repeated. Example: python benchmarks/synth_night.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sartm_core.classes import class_table
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine, git_revision
from sartm_core.training.checkpoint import load_student
from sartm_core.training.config import SourceConfig, load_config
from sartm_core.training.data import load_frames
from sartm_core.training.train import train
from sartm_core.training.validate import evaluate_frames

ROOT = Path(__file__).resolve().parent.parent
MODALITIES = ("rgb", "rgb+thermal")
FRESH_SEED = 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config/train/synth_night.yaml")
    parser.add_argument("--runs", type=Path, default=ROOT / "out/synth_night")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/synth_night.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--frames", type=int, default=100, help="fresh night scenes to score on")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    started = time.monotonic()

    config = load_config(options.config, options.overrides)
    size = {"width": config.model.input_width, "height": config.model.input_height}
    fresh = SourceConfig(frames=options.frames, seed=FRESH_SEED, period="night", **size)
    frames = list(load_frames(fresh, class_table(config.data.classes)))

    runs: list[dict[str, Any]] = []
    for seed in options.seeds:
        for modalities in MODALITIES:
            name = f"{modalities.replace('+', '_')}-{seed}"
            overrides = [f"train.seed={seed}", f"data.modalities={modalities}"]
            run = load_config(
                options.config, [*options.overrides, *overrides, f"out={options.runs / name}"]
            )
            result = train(run)
            if not result.finished:
                sys.exit("interrupted; the same command goes on from here")
            student, _ = load_student(result.checkpoint)
            scores = evaluate_frames(student, frames, run)
            print(f"{name}: night mIoU {scores['score']:.3f}", file=sys.stderr)
            runs.append({"seed": seed, "modalities": modalities, **scores})

    score = {(run["seed"], run["modalities"]): run["score"] for run in runs}
    ratios = {seed: score[seed, "rgb"] / score[seed, "rgb+thermal"] for seed in options.seeds}
    ratio = statistics.median(ratios.values())
    write_json_atomic(
        options.out,
        {
            "what": "mIoU over the foreground classes present, fresh synthetic night scenes",
            "machine": describe_machine(),
            "git_rev": git_revision(),
            "config": options.config.name,
            "overrides": options.overrides,
            "train_steps": config.train.steps,
            "fresh_scenes": options.frames,
            "fresh_seed": FRESH_SEED,
            "ratio_rgb_to_rgb_thermal": {"median": ratio, "per_seed": ratios},
            "minutes": round((time.monotonic() - started) / 60, 1),
            "runs": runs,
        },
    )
    for seed in options.seeds:
        rgb, both = (score[seed, modalities] for modalities in MODALITIES)
        print(f"seed {seed}: RGB {rgb:.3f}, RGB+T {both:.3f}, ratio {ratios[seed]:.3f}")
    print(f"median ratio {ratio:.3f}; written to {options.out}")


if __name__ == "__main__":
    main()
