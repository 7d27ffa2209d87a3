"""From the network to one self-contained ONNX file, checked against PyTorch."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from sartm_core.bundle import OPSETS
from sartm_core.errors import SartmError
from sartm_core.export.graph import MaskGraph
from sartm_core.runtime import default_threads
from sartm_core.runtime import onnxruntime as runtime

INPUTS = ("rgb", "thermal", "thermal_valid", "present")
OUTPUTS = ("mask", "confidence")
LOGITS = "logits"
OPSET = 18
LOGIT_TOLERANCE = 1e-4
LOGIT_ROUNDING = 5e-5
"""Part of the largest logit. ONNX Runtime rounds the factor of a resize to float32: from 640x480 to
352x256 grey levels come out up to 0.02 beside PyTorch's, and logits of sartm-n 2e-4."""
MASK_TOLERANCE = 1e-4  # part of the pixels, at least one: equal logits may swap

Feed = dict[str, npt.NDArray[np.generic]]


def export_onnx(graph: MaskGraph, height: int, width: int, path: Path) -> None:
    """Write the graph for one input size; the logits are an output as well.

    Raises:
        SartmError: another opset than 18 to 20 came out, or a BatchNorm was left unfolded.
    """
    example = (
        torch.zeros(1, height, width, 3, dtype=torch.uint8),
        torch.zeros(1, height, width, 1, dtype=torch.uint8),
        torch.ones(1, height, width, 1, dtype=torch.uint8),
        torch.ones(1, 2),
    )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            example,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=[*OUTPUTS, LOGITS],
            verbose=False,
        )
    if program is None:
        raise SartmError("torch.onnx.export returned nothing")
    model = program.model_proto
    # The exporter notes which line of which folder made a node: the file would depend on the place.
    for part in (*model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    opset = max(entry.version for entry in model.opset_import if entry.domain == "")
    if opset not in OPSETS:
        raise SartmError(
            "the exporter wrote an opset that TensorRT may refuse",
            got=opset,
            expected=f"{OPSETS[0]} to {OPSETS[-1]}",
            remedy="install the versions pinned in requirements/export.txt",
        )
    if any(node.op_type == "BatchNormalization" for node in model.graph.node):
        raise SartmError(
            "BatchNorm was not folded into the convolutions",
            remedy="install the versions pinned in requirements/export.txt",
        )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def drop_logits(source: Path, target: Path) -> None:
    """Write the shipped graph: that of ``source`` with mask and confidence as its only outputs.

    Raises:
        SartmError: it does not equal ``source`` in everything but the list of outputs.
    """
    model = onnx.load(source)
    outputs = [output for output in model.graph.output if output.name in OUTPUTS]
    logits = [output for output in model.graph.output if output.name == LOGITS]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)

    shipped = onnx.load(target)
    shipped.graph.output.extend(logits)
    if shipped.SerializeToString(deterministic=True) != onnx.load(source).SerializeToString(
        deterministic=True
    ):
        raise SartmError("the shipped graph differs from the one that was checked")


def open_session(path: Path) -> Any:
    """The file on ONNX Runtime, on the CPU: the reference of every other runtime."""
    return runtime.open_session(path, default_threads())


def check_parity(graph: MaskGraph, path: Path, feeds: Sequence[Feed]) -> float:
    """Compare PyTorch and ONNX Runtime on the given inputs.

    Args:
        graph: what was exported.
        path: the file with logits as an output.
        feeds: inputs by name.

    Returns:
        The largest difference between two logits.

    Raises:
        SartmError: logits differ by more than 1e-4 and 5e-5 of the largest one, or masks in more
            than 1 of 10,000 pixels, of which one may always differ.
    """
    session = open_session(path)
    worst = 0.0
    for feed in feeds:
        with torch.no_grad():
            expected = graph(*(torch.from_numpy(feed[name]) for name in INPUTS))
        mask, _, logits = session.run([*OUTPUTS, LOGITS], feed)
        theirs = expected[2].numpy()
        difference = float(np.abs(logits - theirs).max())
        allowed = max(LOGIT_TOLERANCE, LOGIT_ROUNDING * float(np.abs(theirs).max()))
        changed = int((mask != expected[0].numpy()).sum())
        worst = max(worst, difference)
        if not difference <= allowed or changed > max(1, MASK_TOLERANCE * mask.size):
            raise SartmError(
                "the exported graph does not compute what PyTorch computes",
                got=f"logits differ by {difference:.2e}, masks in {changed / mask.size:.2%} of "
                "the pixels",
                expected=f"at most {allowed:.2e} and {MASK_TOLERANCE:.2%}",
                remedy="install the versions pinned in requirements/export.txt",
            )
    return worst
