"""A ``tensorrt`` module of any version, made from its list of names, with ONNX Runtime inside.

A name that the version does not have raises, when read and when written. An engine runs only where
all addresses point to enough memory of the fake driver, on a stream of its own, and not while it is
recorded for the first time.
"""

from __future__ import annotations

import ctypes
import json
import time
from enum import IntEnum
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from tests.core.runtime.tensorrt.api import members
from tests.core.runtime.tensorrt.fake_cuda import SUCCESS, FakeDriver

_DTYPES = {
    TensorProto.UINT8: "UINT8",
    TensorProto.INT8: "INT8",
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.INT64: "INT64",
}


def fake_tensorrt(
    driver: FakeDriver, version: str = "10.3.0", name: str = "tensorrt"
) -> ModuleType:
    """The module. Its ``_faults`` is a set of what goes wrong, its ``_built`` counts engines.

    Faults: ``no builder``, ``no network``, ``no settings``, ``parser``, ``no plan``, ``no
    runtime``, ``no engine``, ``no context``, ``address``, ``enqueue``, ``capture``, ``slow``.
    """
    trt = _Module(name)
    faults: set[str] = set()
    levels = {level: _enum("Severity", {level: i}) for i, level in enumerate(("ERROR", "INFO"))}

    class Strict:
        """An object that has the names of its class in this version, and no others."""

        def __getattribute__(self, attribute: str) -> Any:
            _known(version, type(self).__name__, attribute)
            return object.__getattribute__(self, attribute)

        def __setattr__(self, attribute: str, value: Any) -> None:
            _known(version, type(self).__name__, attribute)
            object.__setattr__(self, attribute, value)

    class ILogger:
        def __init__(self) -> None:
            self._ready = True

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def __init__(self) -> None:
            self._ready = True

    def say(log: Any, text: str, level: str = "ERROR") -> None:
        log.log(getattr(levels[level], level), text)

    def logger(log: Any) -> Any:
        if not (isinstance(log, ILogger) and log._ready):
            raise TypeError("incompatible constructor arguments")
        return log

    class ITensor(Strict):
        def __init__(self, value: onnx.ValueInfoProto) -> None:
            self._value = value

        @property
        def name(self) -> str:
            return self._value.name

        @property
        def dtype(self) -> Any:
            return getattr(trt.DataType, _DTYPES[self._value.type.tensor_type.elem_type])

        @property
        def shape(self) -> tuple[int, ...]:
            return tuple(side.dim_value for side in self._value.type.tensor_type.shape.dim)

    class INetworkDefinition(Strict):
        def __init__(self) -> None:
            self._model = onnx.ModelProto()

        @property
        def num_inputs(self) -> int:
            return len(self._model.graph.input)

        @property
        def num_outputs(self) -> int:
            return len(self._model.graph.output)

        def get_input(self, index: int) -> ITensor:
            return ITensor(self._model.graph.input[index])

        def get_output(self, index: int) -> ITensor:
            return ITensor(self._model.graph.output[index])

    class OnnxParser(Strict):
        def __init__(self, network: INetworkDefinition, log: Any) -> None:
            self._network, self._log = network, logger(log)
            self._errors: list[str] = []

        def parse_from_file(self, path: str) -> bool:
            if "parser" in faults:
                self._errors = ["In node 3 (Attention): UNSUPPORTED_NODE", "In node 9: as well"]
                return False
            self._network._model = onnx.load(path)
            return True

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> str:
            return self._errors[index]

    class ITimingCache:
        def __init__(self, data: bytes) -> None:
            self._data = data

        def serialize(self) -> bytes:
            return self._data + b"timed "

    class IBuilderConfig(Strict):
        def __init__(self) -> None:
            self._limits: dict[Any, int] = {}
            self._timing_cache: ITimingCache | None = None
            self._values: dict[str, Any] = {}

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            assert pool is trt.MemoryPoolType.WORKSPACE
            self._limits[pool] = size

        def create_timing_cache(self, data: bytes) -> ITimingCache | None:
            return None if data.startswith(b"damaged") else ITimingCache(data)

        def set_timing_cache(self, timing_cache: ITimingCache, ignore_mismatch: bool) -> bool:
            self._timing_cache = timing_cache
            return not ignore_mismatch

        def get_timing_cache(self) -> ITimingCache | None:
            return self._timing_cache

        builder_optimization_level = _stored("builder_optimization_level")
        progress_monitor = _stored("progress_monitor")

    class Builder(Strict):
        def __init__(self, log: Any) -> None:
            self._log = logger(log)

        def create_network(self, flags: int) -> INetworkDefinition | None:
            if flags != 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED):
                raise TypeError(f"a network that is not strongly typed: {flags:b}")
            return None if "no network" in faults else INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig | None:
            return None if "no settings" in faults else IBuilderConfig()

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> bytes | None:
            if "no plan" in faults:
                say(self._log, "Could not find any implementation for node conv_1:\n out of memory")
                return None
            assert config._limits[trt.MemoryPoolType.WORKSPACE] == 1 << 30
            monitor, pause_s = config._values["progress_monitor"], 0.3 if "slow" in faults else 0
            if not (monitor._ready and _goes_on(monitor, pause_s)):
                return None
            trt._built += 1
            header = json.dumps({"version": version, "gpu": driver.name}).encode()
            return header + b"\n" + network._model.SerializeToString()

    class IExecutionContext(Strict):
        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine
            self._addresses: dict[str, int] = {}
            self._warm = False

        def set_tensor_address(self, name: str, address: int) -> bool:
            self._engine._tensor(name)
            assert isinstance(address, int)
            self._addresses[name] = address
            return "address" not in faults

        def execute_async_v3(self, stream: int) -> bool:
            engine, log = self._engine, self._engine._log
            if "enqueue" in faults or set(self._addresses) != {*engine._names}:
                say(log, "enqueueV3: Error Code 3: API Usage Error (an address is not set)")
                return False
            for name, address in self._addresses.items():
                room = max(
                    (
                        start + len(block) - address
                        for start, block in driver.memory.items()
                        if start <= address < start + len(block)
                    ),
                    default=0,
                )
                if room < engine._bytes(name):
                    say(log, f"enqueueV3: '{name}' is not in memory of the GPU")
                    return False
            if stream in driver.captures and (not self._warm or "capture" in faults):
                say(log, "operation not permitted when stream is capturing")
                return False
            self._warm = True
            return driver.enqueue(stream, self._compute) == SUCCESS

        def _compute(self) -> int:
            engine, feeds, outputs = self._engine, {}, []
            for tensor in engine._tensors:
                address, name = self._addresses[tensor.name], tensor.name
                if name in engine._inputs:
                    data = ctypes.string_at(address, engine._bytes(name))
                    feeds[name] = np.frombuffer(data, engine._numpy(name)).reshape(tensor.shape)
                else:
                    outputs.append(name)
            for name, value in zip(outputs, engine._session.run(outputs, feeds), strict=True):
                ctypes.memmove(self._addresses[name], value.tobytes(), value.nbytes)
            return SUCCESS

    class ICudaEngine(Strict):
        def __init__(self, model: bytes, log: Any) -> None:
            graph = onnx.load_from_string(model).graph
            self._log = log
            self._tensors = [ITensor(value) for value in (*graph.input, *graph.output)]
            self._names = [tensor.name for tensor in self._tensors]
            self._inputs = {value.name for value in graph.input}
            self._types = {
                v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)
            }
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(model, options)

        @property
        def num_io_tensors(self) -> int:
            return len(self._tensors)

        def get_tensor_name(self, index: int) -> str:
            return self._names[index]

        def get_tensor_mode(self, name: str) -> Any:
            self._tensor(name)
            return trt.TensorIOMode.INPUT if name in self._inputs else trt.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return self._tensor(name).dtype

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self._tensor(name).shape

        def create_execution_context(self) -> IExecutionContext | None:
            if "no context" in faults:
                say(self._log, "Requested amount of GPU memory could not be allocated")
                return None
            return IExecutionContext(self)

        def _tensor(self, name: str) -> ITensor:
            return self._tensors[self._names.index(name)]

        def _numpy(self, name: str) -> np.dtype[Any]:
            return np.dtype(helper.tensor_dtype_to_np_dtype(self._types[name]))

        def _bytes(self, name: str) -> int:
            return int(np.prod(self._tensor(name).shape)) * self._numpy(name).itemsize

    class Runtime(Strict):
        def __init__(self, log: Any) -> None:
            self._log = logger(log)

        def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
            header, _, model = plan.partition(b"\n")
            made = json.loads(header)
            if "no engine" in faults or made != {"version": version, "gpu": driver.name}:
                say(self._log, "The engine plan file is not compatible with this version or GPU")
                return None
            return ICudaEngine(model, self._log)

    def or_none(kind: Any, fault: str) -> Any:
        return lambda *arguments: None if fault in faults else kind(*arguments)

    classes = (INetworkDefinition, ITensor, IBuilderConfig, ICudaEngine, IExecutionContext)
    offered: dict[str, Any] = {each.__name__: each for each in classes}
    offered |= {
        "Builder": or_none(Builder, "no builder"),
        "Runtime": or_none(Runtime, "no runtime"),
        "OnnxParser": OnnxParser,
        "ILogger": ILogger,
        "IProgressMonitor": IProgressMonitor,
        "ITimingCache": ITimingCache,
        "TensorIOMode": _enum("TensorIOMode", {"NONE": 0, "INPUT": 1, "OUTPUT": 2}),
    }
    for flags in ("NetworkDefinitionCreationFlag", "MemoryPoolType", "DataType"):
        names = sorted(members(version, flags) - {"name", "value", "itemsize"})
        shift = len(version)  # integers have moved between versions
        offered[flags] = _enum(flags, {each: i + shift for i, each in enumerate(names)})
    vars(trt).update(
        {each: offered[each] for each in offered if each in members(version, "module")}
    )
    vars(trt).update(__version__=version, _faults=faults, _built=0)
    return trt


def _goes_on(monitor: Any, pause_s: float) -> bool:
    """Tell the steps of a build until one is answered with False; what is raised goes no further
    than to TensorRT, which takes it for that answer."""
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("phase_start", ("build", None, 2)),
        ("phase_start", ("tactics", "build", 4)),
        *(("step_complete", ("tactics", step)) for step in range(4)),
        ("phase_finish", ("tactics",)),
        *(("step_complete", ("build", step)) for step in range(2)),
        ("phase_finish", ("build",)),
    ]
    for method, arguments in calls:
        time.sleep(pause_s)
        try:
            answer = getattr(monitor, method)(*arguments)
        except BaseException:
            answer = False
        if method == "step_complete" and not answer:
            return False
    return True


class _Module(ModuleType):
    _faults: set[str]
    _built: int


def _known(version: str, kind: str, attribute: str) -> None:
    if not attribute.startswith("_") and attribute not in members(version, kind):
        raise AttributeError(f"TensorRT {version}: {kind} has no '{attribute}'")


def _enum(name: str, values: dict[str, int]) -> Any:
    return IntEnum(name, values)


def _stored(name: str) -> Any:
    return property(
        lambda self: self._values[name], lambda self, value: self._values.update({name: value})
    )
