"""Engines that run a bundle's network, one file each, imported only when chosen."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.runtime.choice import choose

logger = logging.getLogger(__name__)

RUNTIMES = (
    "onnxruntime",
    "onnxruntime:cuda",
    "onnxruntime:tensorrt",
    "onnxruntime:openvino",
    "openvino",
    "openvino:gpu",
    "openvino:npu",
    "torch",
    "torch:cuda",
    "tensorrt",
    "tensorrt_rtx",
)


class Runtime(Protocol):
    """The network of one bundle, loaded and ready.

    ``infer`` may be called from several threads at once; ``close`` frees the engine.
    """

    name: str
    device: str
    precision: str

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        """Run the network once.

        Args:
            rgb: HxWx3 uint8, RGB order, at the bundle's ``rgb_size``.
            thermal: HxW uint8, at the bundle's ``input_size``, as all that follows.
            thermal_valid: HxW uint8, 0 where the thermal camera does not look, else 1.
            present: [2] float32, 1 where the (RGB, thermal) camera is there, else 0.

        Returns:
            mask and confidence, both HxW uint8.
        """
        ...

    def close(self) -> None: ...


def default_threads() -> int:
    """Cores that this process may use, less one for the rest of the robot."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def create_runtime(
    name: str,
    bundle: Bundle,
    *,
    precision: str = "auto",
    threads: int | None = None,
    engine_cache: Path | None = None,
    allow_build: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Runtime:
    """Load a bundle's network into an engine.

    Args:
        name: one of ``RUNTIMES``; what follows the colon is the device or the provider, without it
            the CPU (TensorRT: the first GPU). ``auto`` = what
            :func:`sartm_core.runtime.choice.choose` picks, or ONNX Runtime on the CPU if that does
            not start.
        bundle: whose network.
        precision: one that the bundle has, or ``auto`` = fp32. ``int8`` is the file for CPUs
            where the runtime is one and the bundle has such a file: ``int8cpu``.
        threads: CPU threads; None = :func:`default_threads`.
        engine_cache: folder of built engines (TensorRT); None = the user's cache folder.
        allow_build: build an engine that is missing, which takes minutes, instead of refusing.
        on_progress: told the share of such a build that is done, 0..1.

    Raises:
        SartmError: unknown name, the engine is not installed, or it refuses the network.
    """
    if name not in (*RUNTIMES, "auto"):
        raise SartmError("unknown runtime", got=repr(name), expected=", ".join(("auto", *RUNTIMES)))
    if precision == "auto":
        precision = "fp32"
    count = threads or default_threads()
    engines = {
        "engine_cache": engine_cache,
        "allow_build": allow_build,
        "on_progress": on_progress,
    }
    if name != "auto":
        return _create(name, bundle, precision, count, engines)
    choice = choose(bundle, precision=precision, engine_cache=engine_cache)
    logger.info("runtime %s: %s", choice.name, choice.why)
    try:
        return _create(choice.name, bundle, precision, count, engines)
    except SartmError as error:
        if choice.name == "onnxruntime":
            raise
        logger.warning("runtime onnxruntime, as %s does not start: %s", choice.name, error)
        return _create("onnxruntime", bundle, precision, count, engines)


def _create(
    name: str, bundle: Bundle, precision: str, threads: int, engines: Mapping[str, Any]
) -> Runtime:
    """``engines`` are the arguments that only TensorRT has."""
    engine, _, device = name.partition(":")
    if engine.startswith("tensorrt"):
        from sartm_core.runtime.tensorrt import TensorrtRuntime

        return TensorrtRuntime(bundle, precision=precision, module=engine, **engines)
    if precision == "int8" and "int8cpu" in bundle.precisions and device in ("", "openvino"):
        precision = "int8cpu"
    if engine == "openvino":
        from sartm_core.runtime.openvino import OpenvinoRuntime

        return OpenvinoRuntime(bundle, precision=precision, threads=threads, device=device or "cpu")
    if engine == "torch":
        from sartm_core.runtime.torch import TorchRuntime

        return TorchRuntime(bundle, precision=precision, threads=threads, device=device or "cpu")
    from sartm_core.runtime.onnxruntime import OnnxRuntime

    return OnnxRuntime(bundle, precision=precision, threads=threads, provider=device or "cpu")
