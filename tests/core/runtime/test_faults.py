"""What goes wrong when a runtime is made, and what the user is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from sartm_core.bundle import Bundle, load_bundle, write_bundle
from sartm_core.cli import main
from sartm_core.errors import BadImageError, SartmError
from sartm_core.files import sha256_file
from sartm_core.runtime import RUNTIMES, create_runtime
from sartm_core.segmenter import load
from tests.bundles import write_tiny_bundle

ENGINES = ("onnxruntime", "openvino")  # those that read the ONNX file


def altered(folder: Path, change: Callable[[onnx.ModelProto], None]) -> Bundle:
    """A tiny bundle with another model, whose checksum is right."""
    path = write_tiny_bundle(folder / "tiny")
    model = onnx.load(path / "model.onnx")
    change(model)
    onnx.save(model, path / "model.onnx")
    return write_bundle(path, load_bundle(path).manifest, {"model.onnx": path / "model.onnx"})


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Bundle:
    manifest = json.loads((bundle / "bundle.json").read_text())
    change(manifest)
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    return load_bundle(bundle)


def test_an_unknown_name_lists_the_choices(tiny_bundle: Path) -> None:
    with pytest.raises(SartmError, match=r"unknown runtime; got 'tflite'; expected auto, ") as told:
        create_runtime("tflite", load_bundle(tiny_bundle))
    assert all(name in str(told.value) for name in RUNTIMES)


@pytest.mark.parametrize("package", ["onnxruntime", "openvino", "torch"])
def test_a_missing_package_names_the_command(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{package} is not installed; .*remedy: pip install {package}"
    with pytest.raises(SartmError, match=message):
        create_runtime(package, load_bundle(tiny_bundle))


@pytest.mark.parametrize(
    ("name", "package"),
    [("cuda", "onnxruntime-gpu"), ("tensorrt", "tensorrt"), ("openvino", "onnxruntime-openvino")],
)
def test_a_provider_that_onnxruntime_lacks_names_the_package(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    message = rf"has no \w+ExecutionProvider; got CPUExecutionProvider; .*pip install .*{package}"
    with pytest.raises(SartmError, match=message):
        create_runtime(f"onnxruntime:{name}", load_bundle(tiny_bundle))


def test_onnxruntime_that_falls_back_to_the_cpu_is_refused(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so without an error where CUDA or cuDNN do not load."""
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    session = onnxruntime.InferenceSession

    def on_the_cpu(path: str, options: Any, providers: list[Any], **others: Any) -> Any:
        assert providers == [("CUDAExecutionProvider", {})]
        return session(path, options, providers=["CPUExecutionProvider"], **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    message = "cannot start it here; got a session on CPUExecutionProvider; .*cuDNN"
    with pytest.raises(SartmError, match=message):
        create_runtime("onnxruntime:cuda", load_bundle(tiny_bundle))


def test_a_provider_whose_libraries_are_missing_is_refused(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT's raises, instead."""
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)

    def missing(*arguments: Any, **others: Any) -> Any:
        raise RuntimeError("Please install TensorRT libraries")

    monkeypatch.setattr(onnxruntime, "InferenceSession", missing)
    message = r"cannot start it here; got Please install .*pip install .* tensorrt"
    with pytest.raises(SartmError, match=message):
        create_runtime("onnxruntime:tensorrt", load_bundle(tiny_bundle))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("cuda", {"CUDAExecutionProvider": {}}),
        (
            "tensorrt",
            {
                "TensorrtExecutionProvider": {
                    "trt_fp16_enable": "False",
                    "trt_int8_enable": "False",
                },
                "CUDAExecutionProvider": {},
            },
        ),
        (
            "openvino",
            {
                "OpenVINOExecutionProvider": {
                    "device_type": "CPU",
                    "num_of_threads": "3",
                    "precision": "FP32",
                }
            },
        ),
    ],
)
def test_what_onnxruntime_is_asked_for(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str, asked: dict[str, Any]
) -> None:
    """The provider that was asked for comes first, and the runtime says where it computes."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*asked])
    session = onnxruntime.InferenceSession

    class Started:
        def __init__(self, path: str, options: Any, providers: list[Any], **others: Any) -> None:
            assert providers == [*asked.items()]
            self._session = session(path, options, providers=["CPUExecutionProvider"], **others)

        def get_providers(self) -> list[str]:
            return [*asked]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Started)
    runtime = create_runtime(f"onnxruntime:{name}", load_bundle(tiny_bundle), threads=3)
    assert runtime.name == f"onnxruntime:{name}"
    assert runtime.device == ("cpu" if name == "openvino" else "cuda")


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_that_openvino_does_not_see_lists_those_it_sees(
    tiny_bundle: Path, device: str
) -> None:
    openvino = pytest.importorskip("openvino")
    seen = openvino.Core().available_devices
    if device.upper() in {name.split(".")[0] for name in seen}:
        pytest.skip(f"there is one: {seen}")
    message = rf"sees no {device.upper()} .*got CPU.*expected {device.upper()}; remedy: install"
    with pytest.raises(SartmError, match=message):
        create_runtime(f"openvino:{device}", load_bundle(tiny_bundle))


@pytest.mark.parametrize("engine", ENGINES)
def test_signals_are_handled_after_another_thread_closed_it(tiny_bundle: Path, engine: str) -> None:
    pytest.importorskip(engine)
    script = """
import gc, os, signal, sys, threading
from sartm_core.bundle import load_bundle
from sartm_core.runtime import create_runtime
signal.signal(signal.SIGUSR1, lambda number, stack: print("handled"))
runtimes = [create_runtime(sys.argv[1], load_bundle(sys.argv[2]), threads=1)]
def close():
    runtimes.pop().close()
    gc.collect()
thread = threading.Thread(target=close)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGUSR1)
"""
    words = [sys.executable, "-c", script, engine, str(tiny_bundle)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_other_names_of_inputs_are_refused(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)

    def rename(model: onnx.ModelProto) -> None:
        model.graph.input[1].name = "infrared"
        for node in model.graph.node:
            node.input[:] = ["infrared" if name == "thermal" else name for name in node.input]

    bundle = altered(tmp_path, rename)
    message = (
        r"wrong interface at 'thermal'; got only .*infrared.*; expected uint8 \[1, 96, 128, 1\]"
    )
    with pytest.raises(SartmError, match=message):
        create_runtime(engine, bundle)


@pytest.mark.parametrize("engine", ENGINES)
def test_another_dtype_is_refused(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)

    def floats(model: onnx.ModelProto) -> None:
        model.graph.node.append(
            helper.make_node("Cast", ["mask_u8"], ["mask"], to=TensorProto.FLOAT)
        )
        for node in model.graph.node[:-1]:
            node.output[:] = ["mask_u8" if name == "mask" else name for name in node.output]
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT

    bundle = altered(tmp_path, floats)
    message = (
        r"wrong interface at 'mask'; got float32 \[1, 96, 128\]; expected uint8 \[1, 96, 128\]"
    )
    with pytest.raises(SartmError, match=message):
        create_runtime(engine, bundle)


@pytest.mark.parametrize("engine", ENGINES)
def test_another_size_than_the_manifest_says_is_refused(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)
    path = write_tiny_bundle(tmp_path / "tiny")
    bundle = edit(path, lambda manifest: manifest["input"].update(height=64))
    with pytest.raises(SartmError, match=r"at 'rgb'; got uint8 \[1, 96, 128, 3\]; expected .*64"):
        create_runtime(engine, bundle)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_opset_23_is_refused(tmp_path: Path, runtime: str) -> None:
    def raise_opset(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 23

    bundle = altered(tmp_path, raise_opset)
    message = "opset that runtimes may refuse; got 23; expected 18 to 20; remedy: export it"
    with pytest.raises(SartmError, match=message):
        create_runtime(runtime, bundle)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)
    path = write_tiny_bundle(tmp_path / "tiny")
    (path / "model.onnx").write_bytes(b"no model")
    digest = sha256_file(path / "model.onnx")
    bundle = edit(path, lambda manifest: manifest["files"]["fp32"].update(sha256=digest))
    with pytest.raises(SartmError, match=rf"{engine} [\d.]+ refuses .*model\.onnx.*remedy: export"):
        create_runtime(engine, bundle)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_thermal_that_is_not_a_number_never_reaches_the_network(
    tiny_bundle: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    thermal = np.full((96, 128), 290, np.float32)
    thermal[3, 4] = np.nan
    with (
        load(tiny_bundle, runtime, threads=1) as segmenter,
        pytest.raises(BadImageError, match=r"(?i)nan|finite|not a number"),
    ):
        segmenter(np.zeros((96, 128, 3), np.uint8), thermal)


def test_torch_without_weights_names_the_export(tiny_bundle: Path) -> None:
    pytest.importorskip("torch")
    message = r"no weights for PyTorch.*remedy: sartm export CKPT --out BUNDLE --weights"
    with pytest.raises(SartmError, match=message):
        create_runtime("torch", load_bundle(tiny_bundle))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_torch_on_a_cpu_computes_in_fp32_alone(tiny_bundle: Path, precision: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(SartmError, match=rf"cannot compute in {precision} on cpu; expected fp32"):
        create_runtime("torch", load_bundle(tiny_bundle), precision=precision)


def test_torch_without_a_gpu_says_so(whole_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SartmError, match=r"torch sees no CUDA device; got torch .*runtime=torch"):
        create_runtime("torch:cuda", whole_bundle)


def test_torch_without_what_builds_networks_names_the_requirements(
    whole_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    message = r"what builds the network is not installed; got .*timm.*requirements/train\.txt"
    with pytest.raises(SartmError, match=message):
        create_runtime("torch", whole_bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "unet"}, "unknown architecture; got 'unet'; expected student, teacher"),
        ({"arguments": {}}, "not those of the network that bundle.json describes; got KeyError"),
        ({"weights": {"path": "weights.safetensors", "sha256": "0"}}, "wrong sha256"),
    ],
)
def test_a_section_that_does_not_fit_the_weights_is_refused(
    whole_bundle: Bundle, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = shutil.copytree(whole_bundle.path, tmp_path / "copy")
    bundle = edit(path, lambda manifest: manifest["network"].update(change))
    with pytest.raises(SartmError, match=message):
        create_runtime("torch", bundle)


def test_weights_of_another_width_are_refused(whole_bundle: Bundle, tmp_path: Path) -> None:
    path = shutil.copytree(whole_bundle.path, tmp_path / "copy")
    bundle = edit(path, lambda m: m["network"]["arguments"]["model"].update(width=32))
    with pytest.raises(SartmError, match=r"not those of the network .*size mismatch"):
        create_runtime("torch", bundle)


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path / "tiny")
    section = {"weights": {"path": "../weights.safetensors", "sha256": ""}}
    with pytest.raises(SartmError, match="names a file outside its folder"):
        edit(path, lambda manifest: manifest.update(network=section))


def test_the_command_line_says_it_in_one_line(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tiny_bundle), "--runtime", "torch"]) == 1
    message = capsys.readouterr().err
    assert "sartm export CKPT" in message
    assert message.strip().count("\n") == 0


def test_openvino_refuses_int8_where_it_would_saturate(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(tiny_bundle)
    files = dict.fromkeys(("fp32", "int8"), bundle.manifest["files"]["fp32"])
    bundle = replace(bundle, manifest={**bundle.manifest, "files": files})
    monkeypatch.setattr("sartm_core.runtime.openvino.sums_int8_exactly", lambda: True)
    create_runtime("openvino", bundle, precision="int8", threads=1).close()
    monkeypatch.setattr("sartm_core.runtime.openvino.sums_int8_exactly", lambda: False)
    with pytest.raises(SartmError, match=r"wrong masks in int8; got no VNNI.*remedy: use prec"):
        create_runtime("openvino", bundle, precision="int8", threads=1)
