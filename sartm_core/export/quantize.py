"""INT8 out of the fp32 ONNX file: static quantisation, written as QuantizeLinear/DequantizeLinear.

Two forms, because engines differ:

- ``int8``: symmetric int8 activations and weights, floating-point bias: what TensorRT takes;
- ``int8cpu``: uint8 activations that start at 0, into which ReLU6 vanishes, and weights of 7 bits.
  CPUs without VNNI add two products in 16 bits, which cannot saturate then. With 8-bit weights ONNX
  Runtime must add them exactly there, in twice the time: slower than float32.

The mean that rounding the weights adds to each channel is taken out of the bias before (Nagel et
al., Data-Free Quantization, ICCV 2019, section 4.2): it would go through all layers behind.

Images before the first convolution, the logits and everything behind them stay in floating point.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

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
        frames = list(feeds)
        model = onnx.load(ready)
        shrink_constants(model)
        correct_biases(model, frames, levels=127 if symmetric else 64)
        onnx.save(model, ready)
        quantize_static(
            ready,
            target,
            _Reader(frames),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=not symmetric,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=outside_the_network(model),
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


def shrink_constants(model: onnx.ModelProto) -> None:
    """Keep one element of each constant whose elements are all the same and that only Where takes.

    Folding has written out the zeros that stand in for an absent camera, megabytes of them.
    """
    infos = model.graph.value_info
    for tensor in model.graph.initializer:
        takers = [node for node in model.graph.node if tensor.name in node.input]
        if all(node.op_type == "Where" and node.input[0] != tensor.name for node in takers):
            values = numpy_helper.to_array(tensor)
            if values.size > 1 and (values == values.flat[0]).all():
                one = values[(slice(1),) * values.ndim]
                tensor.CopyFrom(numpy_helper.from_array(one, tensor.name))
                for shape in [each for each in infos if each.name == tensor.name]:
                    infos.remove(shape)


def correct_biases(model: onnx.ModelProto, feeds: Sequence[Feed], levels: int) -> None:
    """Change the biases of a model's convolutions by what rounding their weights will add, on
    average over the feeds: b -= (Q(W) - W) E[x], Q per output channel with ``levels`` steps on
    either side of 0."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    convolutions = [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and len(node.input) == 3 and {*node.input[1:]} <= weights.keys()
    ]
    means = _channel_means(model, sorted({node.input[0] for node in convolutions}), feeds)
    for node in convolutions:
        data, weight, bias = node.input
        exact = numpy_helper.to_array(weights[weight])
        step = np.abs(exact).max(axis=(1, 2, 3), keepdims=True) / levels
        rounded = np.rint(exact / np.maximum(step, 1e-12)) * step
        error = (rounded - exact).sum(axis=(2, 3))  # [O,I/groups]
        groups = len(means[data]) // exact.shape[1]
        seen = means[data].reshape(groups, -1).repeat(len(exact) // groups, axis=0)
        shift = (error * seen).sum(axis=1)
        corrected = numpy_helper.to_array(weights[bias]) - shift.astype(np.float32)
        weights[bias].CopyFrom(numpy_helper.from_array(corrected, bias))


def _channel_means(
    model: onnx.ModelProto, tensors: Sequence[str], feeds: Sequence[Feed]
) -> dict[str, npt.NDArray[np.float64]]:
    """Mean of each channel of NCHW tensors over the feeds."""
    import onnxruntime

    asked = copy.deepcopy(model)
    axes = numpy_helper.from_array(np.array([0, 2, 3]), "mean_axes")
    asked.graph.initializer.append(axes)
    outputs = [f"{name}_mean" for name in tensors]
    for name, output in zip(tensors, outputs, strict=True):
        asked.graph.node.append(
            helper.make_node("ReduceMean", [name, axes.name], [output], keepdims=0)
        )
        asked.graph.output.append(helper.make_empty_tensor_value_info(output))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        asked.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    sums = [np.asarray(session.run(outputs, feed), object) for feed in feeds]
    return {
        name: np.mean([row[index].astype(np.float64) for row in sums], axis=0)
        for index, name in enumerate(tensors)
    }


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
