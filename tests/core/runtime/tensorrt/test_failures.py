"""What goes wrong between TensorRT, the GPU and a bundle, and what the user is told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.runtime import create_runtime
from sartm_core.runtime.tensorrt.library import load_library
from tests.core.runtime.tensorrt import fake_cuda
from tests.core.runtime.tensorrt.machine import Machine, write_whole_bundle


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no builder", r"tensorrt 10\.3\.0 has no builder; got no reason given"),
        ("no network", "makes no network"),
        ("no settings", "has no settings"),
        (
            "parser",
            r"refuses .*model\.onnx; got In node 3 .*UNSUPPORTED_NODE; In node 9: as well; "
            "remedy: export the bundle again",
        ),
        (
            "no plan",
            r"could not build an engine from .*; got Could not find any implementation for node "
            r"conv_1: out of memory; remedy: free the GPU's memory",
        ),
        ("no runtime", "has no runtime"),
        (
            "no engine",
            "does not take the engine; got The engine plan file is not compatible.*; remedy: "
            r"remove /.*\.engine and build it again",
        ),
        ("no context", "cannot start the engine; got Requested amount of GPU memory"),
        ("address", "does not take the address of 'rgb'"),
        ("enqueue", r"did not run the network; got enqueueV3: Error Code 3"),
    ],
)
def test_what_tensorrt_refuses(machine: Machine, bundle: Bundle, fault: str, message: str) -> None:
    machine.faults.add(fault)
    with pytest.raises(SartmError, match=message) as told:
        machine.start(bundle)
    assert "\n" not in str(told.value)
    assert machine.driver.held == 0


def test_ctrl_c_ends_a_build(machine: Machine, bundle: Bundle) -> None:
    """It comes while TensorRT calls, and is no failure to build."""

    def interrupt(share: float) -> None:
        if share > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.start(bundle, on_progress=interrupt)
    assert (machine.built, machine.driver.held) == (0, 0)
    machine.start(bundle).close()  # the lock is free


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("cuMemAlloc_v2", fake_cuda.OUT_OF_MEMORY, "the GPU is out of memory"),
        ("cuMemHostAlloc", fake_cuda.OUT_OF_MEMORY, "the GPU is out of memory"),
        ("cuStreamCreate", fake_cuda.OUT_OF_MEMORY, "the GPU is out of memory"),
        ("cuStreamSynchronize", fake_cuda.LAUNCH_FAILED, "the GPU failed, and is lost"),
        ("cuMemcpyHtoDAsync_v2", fake_cuda.INVALID_VALUE, "driver refused a call"),
    ],
)
def test_what_the_gpu_refuses(
    machine: Machine, bundle: Bundle, call: str, code: int, message: str
) -> None:
    machine.driver.fails[call] = code
    with pytest.raises(
        SartmError, match=rf"{message}.*; got CUDA_ERROR_\w+ \({code}\) from {call}"
    ):
        machine.start(bundle)
    assert machine.driver.held == 0


def test_a_gpu_that_is_lost_while_it_runs(machine: Machine, bundle: Bundle) -> None:
    """It is said for every frame, and closing does not fail."""
    runtime = machine.start(bundle)
    plane = np.zeros(bundle.input_size, np.uint8)
    inputs = (np.dstack([plane] * 3), plane, plane, np.ones(2, np.float32))
    machine.driver.fails = dict.fromkeys(
        ("cuGraphLaunch", "cuCtxSetCurrent", "cuMemFree_v2", "cuMemFreeHost"), 700
    )
    for _ in range(2):
        with pytest.raises(SartmError, match=r"is lost to this process.*start the process again"):
            runtime.infer(*inputs)
    runtime.close()


def test_a_closed_runtime_says_so(machine: Machine, bundle: Bundle) -> None:
    runtime = machine.start(bundle)
    runtime.close()
    plane = np.zeros(bundle.input_size, np.uint8)
    with pytest.raises(SartmError, match="was closed"):
        runtime.infer(np.dstack([plane] * 3), plane, plane, np.ones(2, np.float32))


def rename(model: onnx.ModelProto) -> None:
    model.graph.input[1].name = "infrared"
    for node in model.graph.node:
        node.input[:] = ["infrared" if name == "thermal" else name for name in node.input]


def floats(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Cast", ["mask_u8"], ["mask"], to=TensorProto.FLOAT))
    for node in model.graph.node[:-1]:
        node.output[:] = ["mask_u8" if name == "mask" else name for name in node.output]
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, r"wrong interface at 'thermal'; got only rgb, infrared"),
        (floats, r"wrong interface at 'mask'; got float32 \[1, 96, 128\]; expected uint8"),
    ],
)
def test_another_interface_is_refused_before_it_is_built(
    machine: Machine, tmp_path: Path, change: Any, message: str
) -> None:
    bundle = write_whole_bundle(tmp_path / "wrong", fp16=change)
    with pytest.raises(SartmError, match=message):
        machine.start(bundle, "fp16")
    assert machine.built == 0


def test_bundles_without_sample_frames_are_refused(machine: Machine, tmp_path: Path) -> None:
    bundle = write_whole_bundle(tmp_path / "bare")
    bundle.sample_path.unlink()
    with pytest.raises(SartmError, match="has no sample frames"):
        machine.start(bundle)
    assert machine.driver.held == 0


@pytest.mark.parametrize("machine", [("tensorrt", "8.6.2")], indirect=True)
def test_jetpack_6_0_is_refused(machine: Machine, bundle: Bundle) -> None:
    message = (
        r"too old.*got TensorRT 8\.6\.2; expected 10\.3 or newer; "
        "remedy: upgrade to JetPack 6.1 or use runtime=onnxruntime"
    )
    with pytest.raises(SartmError, match=message):
        machine.start(bundle)


@pytest.mark.parametrize("module", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize("left", [None, ModuleType("an empty folder")], ids=["nothing", "folder"])
def test_a_missing_module_names_the_command(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, module: str, left: ModuleType | None
) -> None:
    """A folder without code is what pip may leave behind; Python imports it without a word."""
    monkeypatch.setitem(sys.modules, module, left)
    load_library.cache_clear()
    with pytest.raises(SartmError, match=rf"{module} is not installed.*pip install.*onnxruntime"):
        create_runtime(module, bundle)
