"""OpenVINO on CPUs, and on Intel's graphics and neural processors."""

from __future__ import annotations

import sys
import threading
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.machine import sums_int8_exactly
from sartm_core.runtime.interface import batch_of_one, check_interface

_REMEDIES = {
    "cpu": "install an openvino for this processor, or use runtime=onnxruntime",
    "gpu": "install Intel's compute runtime (apt's intel-opencl-icd), or use runtime=openvino",
    "npu": "install Intel's NPU driver (github.com/intel/linux-npu-driver), or use "
    "runtime=openvino",
}


class OpenvinoRuntime:
    """A bundle's ONNX model, compiled by OpenVINO for the latency of one frame.

    The file for fp32 is computed in float32. Left to itself OpenVINO takes bfloat16 where a CPU has
    it and float16 on graphics; that is what the other files get, in what is not INT8. The NPU
    knows nothing but float16.

    Args:
        bundle: whose model.
        precision: of its file.
        threads: CPU threads, where the device is the CPU.
        device: ``cpu``, ``gpu`` or ``npu``.

    Raises:
        SartmError: openvino is not installed, does not see the device or refuses the model, the
            CPU would saturate in int8, or the model's inputs and outputs are not the bundle's.
    """

    def __init__(
        self, bundle: Bundle, *, precision: str, threads: int, device: str = "cpu"
    ) -> None:
        path = bundle.model_path(precision)
        openvino = _import_openvino()
        self.name = "openvino" if device == "cpu" else f"openvino:{device}"
        self.device = device
        self.precision = precision
        core = _core()
        _require_device(core, device)
        if device == "cpu" and precision == "int8" and not sums_int8_exactly():
            raise SartmError(
                "on this CPU openvino gives wrong masks in int8",
                got="no VNNI, so that sums of two products saturate",
                expected="a CPU with VNNI, or a bundle with int8cpu",
                remedy="use precision=fp32, or runtime=onnxruntime, which adds exactly",
            )
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "cpu":
            settings["INFERENCE_NUM_THREADS"] = threads
        if precision == "fp32" and device != "npu":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        try:
            self._model = core.compile_model(str(path), device.upper(), settings)
        except RuntimeError as error:
            raise SartmError(
                f"openvino {openvino.__version__.split('-')[0]} refuses {path} on {device}",
                got=" ".join(str(error).split())[-300:],
                remedy="export the bundle again, or use runtime=onnxruntime",
            ) from error
        # A tensor may have several names: beside its own that of a cast that was removed.
        check_interface(
            bundle,
            {
                name: _described(port)
                for port in (*self._model.inputs, *self._model.outputs)
                for name in port.names
            },
        )
        # One request and a lock, no pool: with the latency hint the device has one stream, on which
        # a second request would wait just the same, with tensors of its own.
        self._request = self._model.create_infer_request()
        self._lock = threading.Lock()

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        with self._lock:
            # Without share_outputs the results are copies, which later frames leave alone.
            results = self._request.infer(
                batch_of_one(rgb, thermal, thermal_valid, present), share_outputs=False
            )
        return cast(Image, results["mask"][0]), cast(Image, results["confidence"][0])

    def close(self) -> None:
        with self._lock:
            del self._request, self._model


def _import_openvino() -> Any:
    # Every import of openvino reports to Google Analytics, unless its package for that is missing.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    try:
        import openvino
    except ImportError as error:
        raise SartmError(
            "openvino is not installed", got=error, remedy="pip install openvino"
        ) from error
    return openvino


@cache
def _core() -> Any:
    """The one Core of this process, which is never freed.

    Its CPU plugin gives the thread that compiles first an alternate signal stack. Freed by another
    thread, that stack stays registered, and the next signal that Python handles, such as Ctrl-C,
    runs on memory that is unmapped or belongs to others.
    """
    return _import_openvino().Core()


def _require_device(core: Any, device: str) -> None:
    """Graphics may be called GPU.0 and GPU.1; GPU is then the first of them."""
    available = core.available_devices
    if device.upper() not in {name.split(".")[0] for name in available}:
        raise SartmError(
            f"openvino sees no {device.upper()} on this machine",
            got=", ".join(available),
            expected=device.upper(),
            remedy=_REMEDIES[device],
        )


def _described(port: Any) -> tuple[str, list[object]]:
    """NumPy's name of the dtype, and the shape, of an input or output."""
    sides = [side.get_length() if side.is_static else "?" for side in port.partial_shape]
    return port.element_type.to_dtype().name, sides
