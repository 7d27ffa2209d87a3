"""FP16 out of the fp32 ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx

from sartm_core.export.quantize import outside_the_network

# Sums over many values, whose result overflows or loses its digits in 10 bits of mantissa.
SINGLE = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceL2", "Pow", "Exp")


def to_half(source: Path, target: Path) -> None:
    """Write the network with float16 weights and tensors.

    Norms, softmax, what lies before the first convolution and what lies behind the logits stay
    float32, and so do inputs and outputs: TensorRT 10.3 has reduced whole networks to one class
    where norms ran in FP16 (TensorRT issue 4723).
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(source)
    half = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=list(SINGLE),
        node_block_list=outside_the_network(model),
    )
    # The converter appends its casts behind what reads them and leaves types that are no more.
    OnnxModel(half).topological_sort()
    del half.graph.value_info[:]
    onnx.checker.check_model(half, full_check=True)
    onnx.save(half, target)
