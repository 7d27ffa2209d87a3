"""Let the real TensorRT-RTX parse and compile files of a bundle: `python compile_rtx.py BUNDLE`.

A process of its own: what NVIDIA's compiler does not like may end it. It needs no GPU. Prints one
JSON object; what is compiled is what sartm_core.runtime.tensorrt.builder would build on a robot.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.runtime.tensorrt.builder import build_engine
from sartm_core.runtime.tensorrt.library import load_library


def compile_bundle(bundle: Bundle, precision: str) -> dict[str, Any]:
    """Build an engine; names, dtypes and shapes are compared with the bundle on the way."""
    shares: list[float] = []
    start = time.monotonic()
    engine, timings = build_engine(
        load_library("tensorrt_rtx"), bundle, precision, on_progress=shares.append
    )
    return {
        "seconds": round(time.monotonic() - start, 1),
        "bytes": len(engine),
        "timings": len(timings),
        "progress": shares == sorted(shares) and len(shares),
        **operators(bundle.model_path(precision)),
    }


def operators(path: Path) -> dict[str, int]:
    """How many tensors the file quantizes and dequantizes, and how many of its weights are half."""
    graph = onnx.load(path).graph
    kinds = Counter(node.op_type for node in graph.node)
    halves = sum(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer)
    return {
        "quantize": kinds["QuantizeLinear"],
        "dequantize": kinds["DequantizeLinear"],
        "half": halves,
    }


if __name__ == "__main__":
    opened = load_bundle(sys.argv[1])
    wanted = [precision for precision in opened.precisions if precision != "int8cpu"]
    print(json.dumps({precision: compile_bundle(opened, precision) for precision in wanted}))
