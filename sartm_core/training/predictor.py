"""A checkpoint used like a bundle, without an export: for evaluation between two trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sartm_core.bundle import Bundle
from sartm_core.classes import class_table
from sartm_core.export.graph import MaskGraph
from sartm_core.frames import Image
from sartm_core.segmenter import Segmenter
from sartm_core.thermal import ThermalSpec
from sartm_core.training.checkpoint import load_student


class CheckpointRuntime:
    """The graph that export writes, run by PyTorch on the CPU."""

    name = "torch"
    device = "cpu"
    precision = "fp32"

    def __init__(self, graph: MaskGraph) -> None:
        self._graph = graph

    @torch.inference_mode()
    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        mask, confidence, _ = self._graph(
            torch.tensor(rgb)[None],
            torch.tensor(thermal)[None, ..., None],
            torch.tensor(thermal_valid)[None, ..., None],
            torch.from_numpy(present)[None],
        )
        return mask[0].numpy(), confidence[0].numpy()

    def close(self) -> None:
        del self._graph


def load_predictor(path: Path) -> Segmenter:
    """The averaged weights of a checkpoint, in the line that a bundle of it would run in.

    Raises:
        SartmError: no such file, or not a checkpoint.
    """
    student, checkpoint = load_student(path)
    config = checkpoint.config
    bundle = Bundle(
        path=path,
        name=config.name,
        classes=class_table(config.data.classes),
        input_size=(config.model.input_height, config.model.input_width),
        resize="stretch",
        thermal=ThermalSpec("agc8"),
        manifest={"files": {}},
    )
    return Segmenter(bundle, CheckpointRuntime(MaskGraph(student).eval()))
