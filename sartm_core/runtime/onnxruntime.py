"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.frames import Image

_SEVERITY_ERROR = 3


class OnnxRuntime:
    """A bundle's ONNX model in an ``onnxruntime.InferenceSession``.

    Args:
        bundle: whose model.
        precision: of its file.
        threads: CPU threads.
        as_written: compute every operator as the file says, without fusing any, which is slow. On
            a CPU without VNNI fused INT8 convolutions saturate; as written they do not.

    Raises:
        SartmError: onnxruntime is not installed, refuses the model, or the model's inputs and
            outputs are not the bundle's.
    """

    name = "onnxruntime"
    device = "cpu"

    def __init__(
        self, bundle: Bundle, *, precision: str, threads: int, as_written: bool = False
    ) -> None:
        path = bundle.model_path(precision)
        self._session = open_session(path, threads, as_written=as_written)
        self.precision = precision
        _check_interface(self._session, bundle)

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        mask, confidence = self._session.run(
            ["mask", "confidence"],
            {
                "rgb": rgb[np.newaxis],
                "thermal": thermal[np.newaxis, ..., np.newaxis],
                "thermal_valid": thermal_valid[np.newaxis, ..., np.newaxis],
                "present": present[np.newaxis],
            },
        )
        return cast(Image, mask[0]), cast(Image, confidence[0])

    def close(self) -> None:
        del self._session


def open_session(
    path: Path, threads: int, *, memory_pattern: bool = False, as_written: bool = False
) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU.

    Args:
        path: of the ONNX file.
        threads: CPU threads.
        memory_pattern: plan one block for all tensors, as ONNX Runtime does by default. It costs
            100 MB more for sartm-s and no less time.
        as_written: without graph optimisation.

    Raises:
        SartmError: onnxruntime is not installed or refuses the file.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise SartmError(
            "onnxruntime is not installed", got=error, remedy="pip install onnxruntime"
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = memory_pattern
    options.log_severity_level = _SEVERITY_ERROR
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _ort_errors() as error:
        raise SartmError(
            f"onnxruntime {ort.__version__} refuses {path}",
            got=error,
            remedy="export the bundle again with this version's opset",
        ) from error


def _ort_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)


def _check_interface(session: Any, bundle: Bundle) -> None:
    height, width = bundle.input_size
    expected = {
        "rgb": ("tensor(uint8)", [1, height, width, 3]),
        "thermal": ("tensor(uint8)", [1, height, width, 1]),
        "thermal_valid": ("tensor(uint8)", [1, height, width, 1]),
        "present": ("tensor(float)", [1, 2]),
        "mask": ("tensor(uint8)", [1, height, width]),
        "confidence": ("tensor(uint8)", [1, height, width]),
    }
    found = {
        tensor.name: (tensor.type, list(tensor.shape))
        for tensor in (*session.get_inputs(), *session.get_outputs())
    }
    for name, (dtype, shape) in expected.items():
        if found.get(name) != (dtype, shape):
            raise SartmError(
                f"the model of bundle '{bundle.name}' has the wrong interface at '{name}'",
                got=found.get(name, f"only {', '.join(found)}"),
                expected=f"{dtype} {shape}",
                remedy="export it with `sartm export`",
            )
