"""sample.npz: synthetic frames and the masks that the fp32 model gives for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from sartm_core.classes import IGNORE_ID
from sartm_core.data.synthetic import generate_scene
from sartm_core.export.onnx_file import Feed
from sartm_core.frames import Image
from sartm_core.thermal import normalise

FRAMES = 8
POOL = 48
POOL_SEED = 7_000_000  # far from every training seed
MIN_FOREGROUND = 0.03


@dataclass(frozen=True)
class Candidate:
    """One frame of the pool: the inputs, and the mask uint8 [H,W] that the model gives."""

    feed: Feed
    mask: Image

    @property
    def foreground(self) -> float:
        """Part of the pixels that is some class other than 0."""
        return float(((self.mask != 0) & (self.mask != IGNORE_ID)).mean())

    @property
    def classes(self) -> frozenset[int]:
        """The foreground classes in the mask."""
        return frozenset(np.unique(self.mask).tolist()) - {0, IGNORE_ID}


def synthetic_feeds(height: int, width: int, count: int = POOL) -> Iterator[Feed]:
    """Inputs for the exported graph, both cameras present, deterministic.

    Slightly smoothed and in steps of 8 grey levels: noise would not compress, and the file ships.
    """
    for index in range(count):
        scene = generate_scene(POOL_SEED + index, width=width, height=height)
        thermal = normalise(scene.thermal, valid=scene.thermal_valid)
        yield {
            "rgb": _compressible(scene.rgb)[None],
            "thermal": _compressible(thermal)[None, ..., None],
            "thermal_valid": np.ascontiguousarray(scene.thermal_valid)[None, ..., None],
            "present": np.ones((1, 2), np.float32),
        }


def predict_pool(session: onnxruntime.InferenceSession, feeds: Iterator[Feed]) -> list[Candidate]:
    """Run the model on the pool."""
    return [Candidate(feed, session.run(["mask"], feed)[0][0]) for feed in feeds]


def choose(pool: Sequence[Candidate], count: int = FRAMES) -> list[Candidate]:
    """Frames with enough foreground that together show every class the model predicts in such
    frames; the frame with the most pixels of the rarest missing class comes first. Where fewer
    than ``count`` frames have enough foreground, those with the most fill up.
    """
    ranked = sorted(pool, key=lambda candidate: -candidate.foreground)
    enough = [candidate for candidate in ranked if candidate.foreground >= MIN_FOREGROUND]
    missing = set().union(*(candidate.classes for candidate in enough))
    rarity = {c: sum(c in candidate.classes for candidate in enough) for c in missing}
    chosen: list[Candidate] = []
    while missing:
        rarest = min(missing, key=lambda c: (rarity[c], c))
        best = max(enough, key=lambda candidate: int((candidate.mask == rarest).sum()))
        chosen.append(best)
        missing -= best.classes
    spare = [candidate for candidate in ranked if not any(candidate is c for c in chosen)]
    return chosen + spare[: max(0, count - len(chosen))]


def write_sample(path: Path, chosen: Sequence[Candidate]) -> None:
    """Write rgb [N,H,W,3], thermal, thermal_valid and mask [N,H,W], all uint8."""
    np.savez_compressed(
        path,
        rgb=np.concatenate([candidate.feed["rgb"] for candidate in chosen]),
        thermal=np.concatenate([candidate.feed["thermal"][..., 0] for candidate in chosen]),
        thermal_valid=np.concatenate(
            [candidate.feed["thermal_valid"][..., 0] for candidate in chosen]
        ),
        mask=np.stack([candidate.mask for candidate in chosen]),
    )


def _compressible(image: Image) -> Image:
    smooth = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)
    return smooth & np.uint8(0xF8)
