"""One optimiser step of the SAM ViT-B teacher: its size, its time and its memory.

    python -m benchmarks.teacher_step [--threads 2]

On a machine that does other work too, ``cpu_seconds`` tells more than ``seconds``: it counts this
process alone, all its threads.

The whole configuration for MFNet (LoRA, CMX fusion, both heads, text head, CMKD) on one 512x512
sample of a synthetic scene. SAM's weights are those that segment-anything draws at random, saved
and loaded as the published file is: neither size nor time depends on them. The text encoder and
the ImageNet encoder of the grounding come from their packages.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.models.network import RgbThermalNetwork
from sartm_core.models.sam.variants import SAM_VARIANTS, build_sam
from sartm_core.progress import console
from sartm_core.training.build import build_step
from sartm_core.training.config import Config, load_config
from sartm_core.training.data import load_data
from sartm_core.training.loader import load_batches
from sartm_core.training.optimizer import build_optimizer, train_mode

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "config/train/teacher_sam_vit_b_mfnet.yaml"
RESULT = ROOT / "benchmarks/results/teacher_step.json"
SIZE = 512
LIMIT = 12_000_000  # trainable parameters: LoRA, fusion and heads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "sam_vit_b_random.pth"
        torch.manual_seed(0)
        torch.save(build_sam(SAM_VARIANTS["sam_vit_b"]).state_dict(), checkpoint)
        config = configuration(checkpoint)
        result = measure(config)
    trained = sum(part["trained"] for part in result["parameters"].values())
    result = {
        "machine": describe_machine(),
        "threads": arguments.threads,
        "config": CONFIG,
        "input": [SIZE, SIZE],
        "trained_total": trained,
        "trained_limit": LIMIT,
        **result,
    }
    write_json_atomic(arguments.out, result)
    for name, part in result["parameters"].items():
        console.print(
            f"{name:22} {part['trained'] / 1e6:6.2f} M trained of {part['all'] / 1e6:6.2f} M"
        )
    console.print(
        f"{'together':22} {trained / 1e6:6.2f} M trained, limit {LIMIT / 1e6:.0f} M\n"
        f"one step: {result['seconds']:.1f} s ({result['cpu_seconds']:.1f} s of CPU), peak memory "
        f"{result['peak_mib']:.0f} MiB ({result['built_mib']:.0f} MiB before the step), "
        f"loss {result['loss']:.3f}"
    )
    return 0 if trained < LIMIT else 1


def configuration(checkpoint: Path) -> Config:
    """That of MFNet, with this checkpoint, one synthetic sample a step, and float32."""
    source = f"{{dataset: synthetic, frames: 1, width: {SIZE}, height: {SIZE}}}"
    return load_config(
        ROOT / CONFIG,
        [
            f"model.checkpoint={checkpoint}",
            f"model.input_height={SIZE}",
            f"model.input_width={SIZE}",
            f"data.sources=[{source}]",
            "data.dev_sources=[]",
            f"augment.crop_height={SIZE}",
            f"augment.crop_width={SIZE}",
            "augment.masking=1",  # the dearest case: the unmasked pair takes a pass of its own
            *("train.steps=1", "train.batch=1", "train.accumulate=1"),
            *("train.precision='no'", "train.workers=0"),
        ],
    )


def measure(config: Config) -> dict[str, Any]:
    """Parameters of each part, and seconds, peak memory and losses of the first step."""
    plan = config.train
    torch.manual_seed(plan.seed)
    step = build_step(config, fresh=True)
    optimizer = build_optimizer(step.network, plan)
    sources, _ = load_data(config)
    batch = next(load_batches(config, sources, 0, 0))
    train_mode(step, plan)
    before = {name: p.detach().clone() for name, p in step.named_parameters() if p.requires_grad}

    built = peak_mib()
    started, cpu = time.monotonic(), time.process_time()
    result = step(batch, progress=1.0)
    result.total.backward()
    optimizer.step()
    if step.cmkd is not None:
        step.cmkd.update()
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    without = [name for name, p in step.named_parameters() if p.requires_grad and p.grad is None]
    moved = sum(
        not torch.equal(before[name], p) for name, p in step.named_parameters() if name in before
    )
    return {
        "parameters": parameters(step.network),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "built_mib": built,
        "peak_mib": peak_mib(),
        "loss": result.total.item(),
        "losses": {name: round(part.item(), 5) for name, part in result.parts.items()},
        "tensors_trained": len(before),
        "tensors_moved": moved,
        "tensors_without_gradient": without,
    }


def parameters(network: RgbThermalNetwork) -> dict[str, dict[str, int]]:
    """Part -> how many numbers it has, and how many of them are trained. Of the encoder, LoRA, the
    pyramid to four levels, and the rest, which is SAM's own."""
    parts: dict[str, dict[str, int]] = {}
    for name, parameter in network.named_parameters():
        part = parts.setdefault(part_of(name), {"trained": 0, "all": 0})
        part["all"] += parameter.numel()
        part["trained"] += parameter.numel() if parameter.requires_grad else 0
    return parts


def part_of(name: str) -> str:
    if not name.startswith("encoder."):
        return name.split(".")[0]
    if ".lora_" in name:
        return "encoder: LoRA"
    return "encoder: pyramid" if ".pyramid." in name else "encoder: SAM"


def peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
