"""Training runs of a second or two: a small network, small crops, four synthetic scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sartm_core.classes import class_table
from sartm_core.language.embedding_file import write_embeddings
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


TEACHER = (
    "model.architecture=teacher",
    "model.fusion_channels=[8,8,16,16]",
    "augment.masking=0.5",
)
"""Overrides that make the tiny run one of a teacher."""

CMKD = (
    "cmkd.gap=1",
    "cmkd.gap_prototype=0.5",
    "cmkd.relation=0.3",
    "cmkd.alignment_prototype=0.2",
    "cmkd.min_pixels=10",
    "language.encoder=file",
    "language.alignment=0.4",
)
"""Overrides that switch every term on; ``language.path`` is :func:`write_words`'s."""


def write_words(folder: Path, table: str = "mfnet") -> Path:
    """Random vectors for the words of a class table."""
    names = [word for info in class_table(table).classes for word in info.words]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(names), 12)).astype(np.float32)
    path = folder / "words.npz"
    write_embeddings(path, names, vectors, 0.1 * vectors.mean(axis=0), "random")
    return path


def teacher_config(out: Path, *overrides: str) -> Config:
    """The tiny run of a teacher with every term on, in the run folder ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    words = f"language.path={write_words(out.parent)}"
    return tiny_config(out, *TEACHER, *CMKD, words, *overrides)


def write_teacher(folder: Path, *overrides: str, name: str = "teacher") -> Path:
    """A checkpoint of a teacher that has learned nothing."""
    import torch

    from sartm_core.training.build import build_network
    from sartm_core.training.checkpoint import Checkpoint, save_checkpoint

    config = tiny_config(folder / name / "run", *TEACHER, *overrides)
    torch.manual_seed(len(name))
    path = folder / f"{name}.ckpt"
    weights = build_network(config, pretrained=False).state_dict()
    origin = {"git_rev": "none", "dataset": [], "metrics": {}, "seed": 0, "dev_frames": 0}
    save_checkpoint(path, Checkpoint(config, 0, {}, weights, {}, {}, [], -1.0, origin))
    return path


DISTILL = (
    "distill.logits=1",
    "distill.feature=0.5",
    "distill.relation=0.3",
    "distill.min_pixels=10",
)
"""Overrides that switch every term of the distillation on."""


def distill_config(out: Path, *overrides: str) -> Config:
    """The tiny run of a student that learns from one teacher, in the run folder ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    taught = f"distill.teachers=[{write_teacher(out.parent)}]", f"distill.cache={out.parent}/said"
    return tiny_config(out, *DISTILL, *taught, *overrides)
