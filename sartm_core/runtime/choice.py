"""Which runtime ``auto`` means, by what is on the machine; without loading torch or OpenVINO."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError

TENSORRT = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime and the reason for it.

    Attributes:
        name: one of ``sartm_core.runtime.RUNTIMES``.
        why: one line.
    """

    name: str
    why: str


def choose(bundle: Bundle, *, precision: str, engine_cache: Path | None = None) -> Choice:
    """The fastest runtime that can start now: ``auto`` never waits for an engine to be built.

    TensorRT if an engine of this bundle is cached, else ONNX Runtime on a GPU if it is built for
    one and there is one, else ONNX Runtime on the CPU.

    Args:
        bundle: whose network.
        precision: of the engine.
        engine_cache: folder of built engines; None = the user's cache folder.
    """
    if cuda_devices() == 0:
        return Choice("onnxruntime", "no NVIDIA GPU here")
    for module in TENSORRT:
        if find_spec(module) is not None and _has_engine(bundle, precision, module, engine_cache):
            return Choice(module, f"an engine of this bundle in {precision} is cached")
    if _has_cuda_provider():
        return Choice("onnxruntime:cuda", "onnxruntime is built for CUDA, and there is a GPU")
    return Choice("onnxruntime", "no cached TensorRT engine, and onnxruntime is not built for CUDA")


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


def _has_engine(bundle: Bundle, precision: str, module: str, engine_cache: Path | None) -> bool:
    from sartm_core.runtime.tensorrt import has_engine

    try:
        return has_engine(bundle, precision, module, engine_cache)
    except SartmError:
        return False


def _has_cuda_provider() -> bool:
    try:
        import onnxruntime as ort
    except ImportError:
        return False
    return "CUDAExecutionProvider" in ort.get_available_providers()
