"""ONNX Runtime: on the CPU, or with an execution provider for other hardware."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.runtime.interface import batch_of_one, check_interface

_SEVERITY_ERROR = 3
_EXACT_INT8 = ("session.x64quantprecision", "1")
"""Sums of INT8 products that do not saturate, on CPUs without VNNI too, where they take longer."""
_BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")  # one replaces the other
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider of ONNX Runtime.

    Attributes:
        names: as ONNX Runtime knows it, and what runs the operators that it does not take. Behind
            all of them ONNX Runtime itself puts the CPU.
        device: that it computes on.
        package: pip's name of the ONNX Runtime that has it.
        needs: what must be on the machine beside that package.
    """

    names: tuple[str, ...]
    device: str
    package: str
    needs: str = "nothing"


PROVIDERS = {
    "cpu": Provider(("CPUExecutionProvider",), "cpu", "onnxruntime"),
    "cuda": Provider(
        ("CUDAExecutionProvider",),
        "cuda",
        "'onnxruntime-gpu[cuda,cudnn]'",
        "an NVIDIA GPU, its driver, CUDA and cuDNN",
    ),
    "tensorrt": Provider(
        ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
        "cuda",
        "'onnxruntime-gpu[cuda,cudnn]' tensorrt",
        "an NVIDIA GPU, its driver, CUDA, cuDNN and TensorRT",
    ),
    "openvino": Provider(
        ("OpenVINOExecutionProvider",), "cpu", "onnxruntime-openvino", "a CPU that OpenVINO knows"
    ),
}


class OnnxRuntime:
    """A bundle's ONNX model in an ``onnxruntime.InferenceSession``, which is safe to share.

    Args:
        bundle: whose model.
        precision: of its file.
        threads: CPU threads.
        provider: a name in :data:`PROVIDERS`.

    Raises:
        SartmError: onnxruntime is not installed, lacks the provider or refuses the model, or the
            model's inputs and outputs are not the bundle's.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str,
        threads: int,
        provider: str = "cpu",
    ) -> None:
        self.name = "onnxruntime" if provider == "cpu" else f"onnxruntime:{provider}"
        self.device = PROVIDERS[provider].device
        self.precision = precision
        self._session = open_session(
            bundle.model_path(precision),
            threads,
            provider=provider,
            precision=precision,
        )
        check_interface(
            bundle,
            {
                tensor.name: (_DTYPES.get(tensor.type, tensor.type), list(tensor.shape))
                for tensor in (*self._session.get_inputs(), *self._session.get_outputs())
            },
        )

    def infer(
        self,
        rgb: Image,
        thermal: Image,
        thermal_valid: Image,
        present: npt.NDArray[np.float32],
    ) -> tuple[Image, Image]:
        mask, confidence = self._session.run(
            ["mask", "confidence"], batch_of_one(rgb, thermal, thermal_valid, present)
        )
        return cast(Image, mask[0]), cast(Image, confidence[0])

    def close(self) -> None:
        del self._session


def open_session(
    path: Path,
    threads: int,
    *,
    memory_pattern: bool = False,
    provider: str = "cpu",
    precision: str = "fp32",
) -> Any:
    """An ``onnxruntime.InferenceSession``.

    Args:
        path: of the ONNX file.
        threads: CPU threads.
        memory_pattern: plan one block for all tensors, as ONNX Runtime does by default. It costs
            100 MB more for sartm-s and no less time.
        provider: a name in :data:`PROVIDERS`.
        precision: of the file.

    Raises:
        SartmError: onnxruntime is not installed, lacks the provider or refuses the file.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise SartmError(
            "onnxruntime is not installed", got=error, remedy="pip install onnxruntime"
        ) from error
    wanted = PROVIDERS[provider]
    available = ort.get_available_providers()
    if wanted.names[0] not in available:
        raise SartmError(
            f"this onnxruntime {ort.__version__} has no {wanted.names[0]}",
            got=", ".join(available),
            expected=f"a build of onnxruntime for {provider}, and {wanted.needs}",
            remedy=f"pip uninstall {' '.join(_BUILDS)} && pip install {wanted.package}",
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = memory_pattern
    options.log_severity_level = _SEVERITY_ERROR
    options.add_session_config_entry(*_EXACT_INT8)
    settings = _settings(provider, threads, precision)
    try:
        session = ort.InferenceSession(
            str(path),
            options,
            providers=[(name, settings.get(name, {})) for name in wanted.names],
            enable_fallback=0,  # it would print to stdout and compute on something else
        )
    except RuntimeError as error:  # how TensorRT's libraries are missed
        raise _does_not_start(wanted, ort.__version__, error) from error
    except _ort_errors() as error:
        raise SartmError(
            f"onnxruntime {ort.__version__} refuses {path}",
            got=error,
            remedy="export the bundle again with this version's opset",
        ) from error
    used = session.get_providers()
    if used[0] != wanted.names[0]:
        raise _does_not_start(
            wanted,
            ort.__version__,
            f"a session on {used[0]}; onnxruntime's own message on stderr says why",
        )
    return session


def _does_not_start(wanted: Provider, version: str, got: object) -> SartmError:
    return SartmError(
        f"onnxruntime {version} has {wanted.names[0]} but cannot start it here",
        got=got,
        expected=wanted.needs,
        remedy=f"install what is missing (pip install {wanted.package}), or use "
        "runtime=onnxruntime",
    )


def _settings(provider: str, threads: int, precision: str) -> dict[str, dict[str, str]]:
    """Options by the name of the provider."""
    if provider == "openvino":
        own = {"device_type": "CPU", "num_of_threads": str(threads), "precision": "FP32"}
    elif provider == "tensorrt":
        # TensorRT 10 takes a file's half and INT8 operators only where it may compute in them.
        own = {
            "trt_fp16_enable": str(precision == "fp16"),
            "trt_int8_enable": str(precision.startswith("int8")),
        }
    else:
        own = {}
    return {PROVIDERS[provider].names[0]: own}


def _ort_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.EPFail,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    )
