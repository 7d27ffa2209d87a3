"""A machine with a GPU and TensorRT, both of them fakes, and bundles to run there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sartm_core.bundle import SAMPLE, Bundle, load_bundle, write_bundle
from sartm_core.runtime import create_runtime
from sartm_core.runtime.tensorrt import cuda
from sartm_core.runtime.tensorrt.library import load_library
from tests.bundles import CAR, PERSON, write_tiny_bundle
from tests.core.runtime.tensorrt.fake_cuda import FakeDriver
from tests.core.runtime.tensorrt.fake_tensorrt import fake_tensorrt

Change = Callable[[onnx.ModelProto], None]


class Machine:
    """``driver`` and ``trt`` are the fakes, ``cache`` is the folder of engines."""

    def __init__(self, driver: FakeDriver, trt: ModuleType, cache: Path) -> None:
        self.driver, self.trt, self.cache = driver, trt, cache

    def start(self, bundle: Bundle, precision: str = "fp32", **others: Any) -> Any:
        """The runtime, which builds if it must."""
        from sartm_core.runtime.tensorrt import TensorrtRuntime

        settings = {"allow_build": True, "engine_cache": self.cache, **others}
        return TensorrtRuntime(bundle, precision=precision, module=self.trt.__name__, **settings)

    @property
    def built(self) -> int:
        return int(vars(self.trt)["_built"])

    @property
    def faults(self) -> set[str]:
        return vars(self.trt)["_faults"]  # type: ignore[no-any-return]

    def engines(self) -> list[Path]:
        return sorted(self.cache.glob("*.engine"))


def fake_machine(
    patch: pytest.MonkeyPatch, cache: Path, name: str = "tensorrt", version: str = "10.3.0"
) -> Machine:
    """Put the fakes in the place of NVIDIA's module and driver."""
    driver = FakeDriver()
    trt = fake_tensorrt(driver, version, name)
    patch.setitem(sys.modules, name, trt)
    patch.setattr(cuda, "_load_driver", lambda: driver)
    load_library.cache_clear()
    return Machine(driver, trt, cache)


def write_whole_bundle(folder: Path, **wrong: Change) -> Bundle:
    """The tiny bundle in three precisions and with sample frames.

    Args:
        wrong: precision -> how its file differs from the right one.
    """
    path = write_tiny_bundle(folder)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 12, 16, 4), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    rgb, thermal = np.ascontiguousarray(coarse[..., :3]), np.ascontiguousarray(coarse[..., 3])
    valid = np.ones_like(thermal)
    valid[:, :8] = 0
    reference = create_runtime("onnxruntime", load_bundle(path), threads=1)
    both = np.ones(2, np.float32)
    frames = zip(rgb, thermal, valid, strict=True)
    masks = [reference.infer(*frame, both)[0] for frame in frames]
    np.savez(path / SAMPLE, rgb=rgb, thermal=thermal, thermal_valid=valid, mask=masks)
    files = {}
    for precision in ("fp32", "fp16", "int8"):
        model = onnx.load(path / "model.onnx")
        wrong.get(precision, lambda model: None)(model)
        name = "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"
        onnx.save(model, folder / f"new.{name}")
        files[name] = folder / f"new.{name}"
    return write_bundle(path, load_bundle(path).manifest, files)


def without_person(model: onnx.ModelProto) -> None:
    """The class person is never found: what was one is a car."""
    _set(model, "person", np.float32(CAR))


def without_car(model: onnx.ModelProto) -> None:
    """The class car is never found."""
    _set(model, "car", np.float32(0))


def _set(model: onnx.ModelProto, name: str, value: np.generic) -> None:
    assert PERSON != CAR
    for constant in model.graph.initializer:
        if constant.name == name:
            constant.CopyFrom(numpy_helper.from_array(np.asarray(value), name))
