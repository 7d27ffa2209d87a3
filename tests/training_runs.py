"""Training runs of a second or two: a small network, small crops, four synthetic scenes."""

from __future__ import annotations

from pathlib import Path

from sartm_core.training.config import Config, load_config

TINY = """
name: tiny
model:
  encoder: mobilenetv4_conv_small
  pretrained: false
  width: 16
  input_height: 64
  input_width: 96
data:
  sources: [{dataset: synthetic, frames: 4, width: 96, height: 64}]
augment: {crop_height: 64, crop_width: 96}
train: {steps: 8, batch: 2, threads: 1, warmup_steps: 2, checkpoint_every: 2}
"""


def write_config(folder: Path) -> Path:
    """The tiny run as a YAML file in ``folder``."""
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    return path


def tiny_config(out: Path, *overrides: str) -> Config:
    """The tiny run in the run folder ``out``, with ``key=value`` overrides."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return load_config(write_config(out.parent), [f"out={out}", *overrides])
