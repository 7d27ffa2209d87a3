"""A checkpoint used like a bundle, without an export: for evaluation between two trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from sartm_core.bundle import Bundle
from sartm_core.classes import class_table
from sartm_core.evaluation.test_time import AveragedGraph, Looks
from sartm_core.export.graph import MaskGraph
from sartm_core.frames import Image
from sartm_core.models import RgbThermalNetwork
from sartm_core.runtime.interface import batch_of_one
from sartm_core.runtime.torch import run_graph
from sartm_core.segmenter import Segmenter
from sartm_core.thermal import ThermalSpec
from sartm_core.training.build import load_network
from sartm_core.training.config import Config


class CheckpointRuntime:
    """The graph that export writes, or one with its outputs, run by PyTorch where it is."""

    name = "torch"
    precision = "fp32"

    def __init__(self, graph: nn.Module) -> None:
        self._graph = graph
        self.device = str(next(graph.parameters()).device)

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        batch = batch_of_one(rgb, thermal, thermal_valid, present)
        return run_graph(self._graph, self.device, batch)

    def close(self) -> None:
        del self._graph


def load_predictor(
    path: Path, *, looks: Looks | None = None, input_size: tuple[int, int] | None = None
) -> Segmenter:
    """The averaged weights of a checkpoint, in the line that a bundle of it would run in.

    Args:
        path: of the checkpoint.
        looks, input_size: as in :func:`segmenter_of`.

    Raises:
        SartmError: no such file, not a checkpoint, or a window that does not fit the network.
    """
    network, checkpoint = load_network(path)
    return segmenter_of(network, checkpoint.config, path, looks=looks, input_size=input_size)


def segmenter_of(
    network: RgbThermalNetwork,
    config: Config,
    path: Path | None = None,
    *,
    looks: Looks | None = None,
    input_size: tuple[int, int] | None = None,
    temperature: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Segmenter:
    """A network in memory, in evaluation mode, in the line that a bundle of it would run in.

    Args:
        network: on the device that it shall run on.
        config: of its run.
        path: of its checkpoint, if it has one.
        looks: at each frame; None = one, as a bundle of it would see it.
        input_size: (height, width) that frames are brought to; None = the configuration's.
        temperature: of the confidence of one look, for (rgb+thermal, rgb, thermal).

    Raises:
        SartmError: a window that does not fit the network.
    """
    bundle = Bundle(
        path=path or config.folder,
        name=config.name,
        classes=class_table(config.data.classes),
        input_size=input_size or (config.model.input_height, config.model.input_width),
        resize="stretch",
        thermal=ThermalSpec("agc8"),
        manifest={"files": {}},
    )
    graph = MaskGraph(network, temperature) if looks is None else AveragedGraph(network, looks)
    return Segmenter(bundle, CheckpointRuntime(graph.eval()))
