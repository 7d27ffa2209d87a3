"""What the teachers say about each training frame: asked once, kept in a folder.

A file is named by what it was made from: the teachers' files, how they look, the run's classes and
the frame itself. Whatever changes leads to another file; a run that was stopped goes on from there.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import distributed

from sartm_core.classes import ClassTable, class_table
from sartm_core.data.teacher_planes import (
    FEATURE_STRIDE,
    PROBABILITY_STRIDE,
    Floats,
    TeacherPlanes,
    confident,
)
from sartm_core.errors import SartmError
from sartm_core.evaluation.test_time import AveragedGraph, Looks
from sartm_core.files import sha256_file, write_bytes_atomic
from sartm_core.losses import DistillConfig
from sartm_core.losses.distributed import world_size
from sartm_core.models import RgbThermalNetwork
from sartm_core.progress import console, progress
from sartm_core.training.build import load_network
from sartm_core.training.config import Config
from sartm_core.training.frame import Frame
from sartm_core.training.samples import Source

FORMAT = 1


def ask_teachers(config: Config, sources: Sequence[Source], device: torch.device) -> list[Source]:
    """The sources with what the teachers say about each frame.

    Several processes share the work and meet before they go on.

    Args:
        config: of a run with teachers.
        sources: of the run.
        device: that the teachers run on.

    Raises:
        SartmError: a teacher cannot be read, has other classes than the run, or no multi-scale
            feature although a term needs it.
    """
    distill = config.distill
    outputs = TeacherOutputs(distill, class_table(config.data.classes), device)
    frames = [frame for source in sources for frame in source.frames]
    rank = distributed.get_rank() if world_size() > 1 else 0
    if unasked := sum(not outputs.path(frame).is_file() for frame in frames):
        console.print(f"asking {', '.join(distill.teachers)} about {unasked} frames")
    with progress("asking the teachers", len(frames)) as bar:
        for index, frame in enumerate(frames):
            if index % world_size() == rank and not outputs.path(frame).is_file():
                outputs.write(frame)
            bar.advance()
    if world_size() > 1:
        distributed.barrier()
    needs_feature = distill.feature > 0 or distill.relation > 0
    asked: list[list[TeacherPlanes]] = []
    with progress("reading what they said", len(frames)) as bar:
        for source in sources:
            asked.append([])
            for frame in source.frames:
                planes = outputs.read(frame)
                asked[-1].append(planes if needs_feature else replace(planes, feature=None))
                bar.advance()
    if needs_feature:
        if any(planes.feature is None for rows in asked for planes in rows):
            raise SartmError(
                f"{distill.teachers[0]} has no multi-scale feature to learn from",
                expected="aux in its model.heads, for distill.feature and distill.relation",
                remedy="name another teacher first, or set both to 0",
            )
        means = [planes.mean_feature() for rows in asked for planes in rows]
        centre = np.stack(means).mean(axis=0, dtype=np.float64).astype(np.float32)
        asked = [[planes.around(centre) for planes in rows] for rows in asked]
    return [
        Source(
            [replace(f, teacher=p) for f, p in zip(source.frames, planes, strict=True)],
            source.weight,
            source.labelled,
            confident(planes, distill.unlabelled_share, distill.least_confidence),
        )
        for source, planes in zip(sources, asked, strict=True)
    ]


class TeacherOutputs:
    """The folder, and the teachers, which are loaded when the first file is missing.

    Args:
        config: names teachers, looks and folder.
        classes: of the run.
        device: that the teachers run on.

    Raises:
        SartmError: a file that is not there.
    """

    def __init__(self, config: DistillConfig, classes: ClassTable, device: torch.device) -> None:
        self._config = config
        self._classes = classes
        self._device = device
        files = [Path(name) for name in config.teachers]
        for file in files:
            if not file.is_file():
                raise SartmError(
                    "distill.teachers names no such file",
                    got=file,
                    expected="a checkpoint or a weights file of a training run",
                )
        recipe = {
            "format": FORMAT,
            "teachers": [sha256_file(file) for file in files],
            "flip": config.flip,
            "scales": list(config.scales),
            "classes": classes.names,
        }
        digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
        self._folder = Path(config.cache) / digest[:16]

    def path(self, frame: Frame) -> Path:
        """Where what they say about a frame is kept."""
        digest = hashlib.sha256(repr(frame.rgb.shape).encode())
        for image in (frame.rgb, frame.thermal, frame.thermal_valid):
            digest.update(np.ascontiguousarray(image).data)
        return self._folder / f"{frame.stem}-{digest.hexdigest()[:16]}.npz"

    def read(self, frame: Frame) -> TeacherPlanes:
        """From the file; a file that cannot be read is made again."""
        path = self.path(frame)
        try:
            return self._read(path, frame)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            console.print(f"{path} is made again: {type(error).__name__}: {error}")
            return self.write(frame)

    def write(self, frame: Frame) -> TeacherPlanes:
        """Ask, and keep the answer."""
        planes = self._teachers.ask(frame)
        arrays: dict[str, Any] = {"codes": planes.codes}
        if planes.feature is not None:
            arrays |= {"feature": planes.feature, "scale": planes.scale}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_bytes_atomic(self.path(frame), buffer.getvalue())
        return planes

    def _read(self, path: Path, frame: Frame) -> TeacherPlanes:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        planes = TeacherPlanes(arrays["codes"], arrays.get("feature"), arrays.get("scale"))
        shape = (*grid(frame, PROBABILITY_STRIDE), len(self._classes))
        if planes.codes.shape != shape or planes.codes.dtype != np.uint8:
            raise ValueError(f"{planes.codes.dtype} {planes.codes.shape}, not uint8 {shape}")
        if planes.feature is not None and planes.feature.shape[:2] != grid(frame, FEATURE_STRIDE):
            raise ValueError(f"a feature of {planes.feature.shape}")
        return planes

    @cached_property
    def _teachers(self) -> _Teachers:
        return _Teachers(self._config, self._classes, self._device)


class _Teachers:
    """Networks that are asked about frames; arguments as in :class:`TeacherOutputs`."""

    def __init__(self, config: DistillConfig, classes: ClassTable, device: torch.device) -> None:
        self._device = device
        looks = Looks(scales=tuple(config.scales), flip=config.flip)
        networks = [_load(Path(name), classes, device) for name in config.teachers]
        self._first = networks[0]
        self._graphs = [AveragedGraph(network, looks).eval() for network in networks]

    @torch.inference_mode()
    def ask(self, frame: Frame) -> TeacherPlanes:
        """Mean probabilities of all, and the first one's feature, of the whole pair."""
        images = (frame.rgb, frame.thermal[..., None], (frame.thermal_valid > 0)[..., None])
        rgb, thermal, valid = (
            torch.from_numpy(np.ascontiguousarray(image, np.uint8))[None].to(self._device)
            for image in images
        )
        both = torch.ones(1, 2, device=self._device)
        # Windows are not among the looks, so the graph brings any size to one that fits.
        found = [graph(rgb, thermal, valid, both)[2] for graph in self._graphs]
        probability = _pooled(torch.stack(found).mean(dim=0), grid(frame, PROBABILITY_STRIDE))
        feature = self._feature(rgb, thermal, valid, both)
        return TeacherPlanes.encode(
            probability,
            None if feature is None else _pooled(feature, grid(frame, FEATURE_STRIDE)),
        )

    def _feature(self, *inputs: torch.Tensor) -> torch.Tensor | None:
        *images, both = inputs
        planes = [image.permute(0, 3, 1, 2).float() for image in images]
        divisor = self._first.divisor
        size = tuple(max(1, round(side / divisor)) * divisor for side in planes[0].shape[2:])
        fitted = [
            F.interpolate(image, size=size, mode=mode)
            for image, mode in zip(planes, ("bilinear", "bilinear", "nearest"), strict=True)
        ]
        rgb, thermal, valid = (p.round().to(torch.uint8).permute(0, 2, 3, 1) for p in fitted)
        return self._first.decode(self._first.encode(rgb, thermal, valid, both), both).feature


def grid(frame: Frame, stride: int) -> tuple[int, int]:
    """(height, width) of the cells that span a frame; those of an odd rest are a bit smaller."""
    height, width = frame.label.shape
    return -(-height // stride), -(-width // stride)


def _pooled(plane: torch.Tensor, size: tuple[int, int]) -> Floats:
    """float32 [h,w,C] of [1,C,H,W]."""
    pooled = F.adaptive_avg_pool2d(plane.float(), size)
    return np.ascontiguousarray(pooled[0].permute(1, 2, 0).cpu().numpy())


def _load(path: Path, classes: ClassTable, device: torch.device) -> RgbThermalNetwork:
    with torch.random.fork_rng(devices=[]):  # a run draws the same with and without this
        network, trained = load_network(path)
    theirs = class_table(trained.config.data.classes)
    if theirs.names != classes.names:
        raise SartmError(
            f"the teacher {path} has other classes than the run",
            got=", ".join(theirs.names),
            expected=", ".join(classes.names),
            remedy="train a teacher with the same data.classes",
        )
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
