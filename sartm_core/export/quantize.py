"""INT8 out of the fp32 ONNX file: static quantisation, written as QuantizeLinear/DequantizeLinear.

Two forms, because engines differ:

- ``int8``: symmetric int8 activations and weights, floating-point bias: what TensorRT takes;
- ``int8cpu``: uint8 activations that start at 0, into which ReLU6 vanishes, and weights of 7 bits.
  CPUs without VNNI add two products in 16 bits, which saturate with 8-bit weights: masks of sartm-s
  0.1 kept a mean IoU of 0.86 that way, and 0.91 with 7 bits; exact sums of 8 bits give 0.95.

Images before the first convolution, the logits and everything behind them stay in floating point.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx

from sartm_core.export.onnx_file import INPUTS, LOGITS, Feed

QUANTIZED = ("Conv", "Add", "Concat", "Resize", "Clip", "Relu", "Mul", "Sigmoid")
_SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


def quantize(source: Path, target: Path, feeds: Iterable[Feed], *, symmetric: bool) -> None:
    """Write the quantised file.

    Args:
        source: the fp32 file; its logits are a tensor named ``logits``.
        target: where to.
        feeds: inputs by name, on which the range of every tensor is measured; real frames, some of
            them without either camera.
        symmetric: the form ``int8``; otherwise ``int8cpu``.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _silenced():
        ready = Path(folder, "ready.onnx")
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=not symmetric,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=outside_the_network(onnx.load(ready)),
            extra_options=dict(_SYMMETRIC) if symmetric else None,
        )


def outside_the_network(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes before the first convolutions, of the one that gives the logits, and of
    those behind it."""
    before = {*INPUTS, "", *(tensor.name for tensor in model.graph.initializer)}
    after, names = {LOGITS}, []
    for node in model.graph.node:
        if node.op_type != "Conv" and before.issuperset(node.input):
            before |= set(node.output)
            names.append(node.name)
        elif LOGITS in node.output or not after.isdisjoint(node.input):
            after |= set(node.output)
            names.append(node.name)
    return names


class _Reader:
    """What ``quantize_static`` reads from, one frame at a time."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Any:
        return next(self._feeds, None)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """The library prints and warns about what was decided here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
