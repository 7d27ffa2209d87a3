"""What ``auto`` means on which machine, and that finding out is cheap."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.errors import SartmError
from sartm_core.runtime import choice, create_runtime
from sartm_core.runtime.choice import choose

ON_CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cuda_devices", lambda: 1)


def with_providers(monkeypatch: pytest.MonkeyPatch, providers: list[str]) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)


def test_without_a_gpu_it_is_the_cpu(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "cuda_devices", lambda: 0)
    with_providers(monkeypatch, ON_CUDA)  # onnxruntime-gpu offers it everywhere
    assert choose(bundle, precision="fp32").name == "onnxruntime"


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("installed", [True, False])
def test_without_an_engine_it_is_cuda_where_onnxruntime_has_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """A TensorRT that finds none, or does not load; tests/core/runtime/tensorrt has one that
    does."""
    monkeypatch.setattr(choice, "find_spec", lambda name: installed or None)
    with_providers(monkeypatch, ON_CUDA)
    assert choose(bundle, precision="fp32").name == "onnxruntime:cuda"
    with_providers(monkeypatch, ["CPUExecutionProvider"])
    chosen = choose(bundle, precision="fp32")
    assert (chosen.name, "not built for CUDA" in chosen.why) == ("onnxruntime", True)


def test_the_reason_is_logged(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "cuda_devices", lambda: 0)
    with caplog.at_level(logging.INFO, logger="sartm_core.runtime"):
        create_runtime("auto", bundle)
    (record,) = caplog.records
    assert record.message.startswith("runtime onnxruntime: ")


@pytest.mark.usefixtures("gpu")
def test_what_does_not_start_is_replaced_by_the_cpu_with_a_warning(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """onnxruntime-gpu on a machine without cuDNN."""
    with_providers(monkeypatch, ON_CUDA)
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, options, providers, **others: session(
            path, options, providers=["CPUExecutionProvider"], **others
        ),
    )
    assert create_runtime("auto", bundle).name == "onnxruntime"
    (warning,) = (r.message for r in caplog.records if r.levelname == "WARNING")
    assert warning.startswith("runtime onnxruntime, as onnxruntime:cuda does not start: ")


def test_a_precision_that_is_missing_is_an_error_and_no_reason_to_choose(bundle: Bundle) -> None:
    with pytest.raises(SartmError, match="has no int8 model"):
        create_runtime("auto", bundle, precision="int8")


def test_it_loads_neither_torch_nor_openvino(tiny_bundle: Path) -> None:
    script = (
        "import sys; from sartm_core.segmenter import load; load(sys.argv[1]).warm_up(); "
        "print(*sorted({'torch', 'openvino', 'tensorrt', 'onnx'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
