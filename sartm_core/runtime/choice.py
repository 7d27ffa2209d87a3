"""Which runtime ``auto`` means, by what is on the machine; without loading torch or OpenVINO."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime and the reason for it.

    Attributes:
        name: one of ``sartm_core.runtime.RUNTIMES``.
        why: one line.
    """

    name: str
    why: str


def choose() -> Choice:
    """ONNX Runtime on a GPU if it is built for one and there is one, else on the CPU."""
    if cuda_devices() == 0:
        return Choice("onnxruntime", "no NVIDIA GPU here")
    if _has_cuda_provider():
        return Choice("onnxruntime:cuda", "onnxruntime is built for CUDA, and there is a GPU")
    return Choice("onnxruntime", "onnxruntime is not built for CUDA")


def cuda_devices() -> int:
    """How many GPUs NVIDIA's driver shows to this process; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _has_cuda_provider() -> bool:
    try:
        import onnxruntime as ort
    except ImportError:
        return False
    return "CUDAExecutionProvider" in ort.get_available_providers()
