"""From a bundle's ONNX file to a serialized engine: one source for TensorRT 10.3 to 11 and RTX.

The network is strongly typed: it computes each layer in the type that the file says, so what ran in
ONNX Runtime is what runs here. Precision is chosen by the file, not by a flag of the builder; those
flags are gone since TensorRT 11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartm_core.bundle import Bundle
from sartm_core.runtime.interface import check_interface
from sartm_core.runtime.tensorrt.library import Library

Progress = Callable[[float], None]
"""Told the share of the build that is done, 0..1, whenever it grows."""

WORKSPACE_BYTES = 1 << 30  # what a Jetson can spare
OPTIMIZATION_LEVEL = 3  # TensorRT's default, named so that it is part of an engine's key

_NUMPY_DTYPES = {"UINT8": "uint8", "FLOAT": "float32"}
_OTHER_RUNTIME = "use another precision, or runtime=onnxruntime"


def build_options(library: Library) -> dict[str, Any]:
    """What, beside the ONNX file, decides what the engine will be."""
    return {
        "strongly_typed": True,
        "workspace_bytes": WORKSPACE_BYTES,
        "optimization_level": OPTIMIZATION_LEVEL,
        "timing_cache": library.name == "tensorrt",
    }


def build_engine(
    library: Library,
    bundle: Bundle,
    precision: str,
    *,
    timings: bytes = b"",
    on_progress: Progress | None = None,
) -> tuple[bytes, bytes]:
    """Let TensorRT compile a bundle's network, which takes seconds to minutes.

    Args:
        library: that compiles.
        bundle: whose network.
        precision: of its ONNX file.
        timings: what an earlier build returned; layers that were timed are not timed again.
        on_progress: called from the thread that builds.

    Returns:
        The engine, and the timings of its layers (empty from TensorRT-RTX, which has none).

    Raises:
        SartmError: TensorRT refuses the file or cannot build it, or the network's inputs and
            outputs are not the bundle's.
    """
    trt, path = library.trt, bundle.model_path(precision)
    library.messages.clear()
    builder = library.required(trt.Builder(library.log), "has no builder", _OTHER_RUNTIME)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = library.required(builder.create_network(flags), "makes no network", _OTHER_RUNTIME)
    _parse(library, network, path)
    check_interface(bundle, {tensor.name: described(tensor) for tensor in _ends(network)})
    config = library.required(builder.create_builder_config(), "has no settings", _OTHER_RUNTIME)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = OPTIMIZATION_LEVEL
    monitor = _monitor(trt, on_progress or (lambda share: None))
    config.progress_monitor = monitor
    if library.name == "tensorrt":
        _set_timings(config, timings)
    plan = builder.build_serialized_network(network, config)
    if monitor.interrupted_by is not None:
        raise monitor.interrupted_by
    engine = library.required(
        plan,
        f"could not build an engine from {path}",
        "free the GPU's memory and build again; if that is not the reason, " + _OTHER_RUNTIME,
    )
    return bytes(engine), _timings(config) if library.name == "tensorrt" else b""


def described(tensor: Any) -> tuple[str, list[int]]:
    """NumPy's name of the dtype, and the shape, of a tensor of a network."""
    return numpy_dtype(tensor.dtype), list(tensor.shape)


def numpy_dtype(dtype: Any) -> str:
    """NumPy's name of a ``DataType`` that a bundle may have; of others TensorRT's name."""
    return _NUMPY_DTYPES.get(dtype.name, str(dtype.name))


def _parse(library: Library, network: Any, path: Path) -> None:
    parser = library.required(
        library.trt.OnnxParser(network, library.log), "has no parser", _OTHER_RUNTIME
    )
    parsed = parser.parse_from_file(str(path))
    errors = [str(parser.get_error(i)) for i in range(parser.num_errors)]
    if errors or not parsed:
        raise library.error(
            f"refuses {path}",
            "; ".join(errors) or library.messages.said(),
            "export the bundle again, or use runtime=onnxruntime",
        )


def _ends(network: Any) -> Iterable[Any]:
    """Inputs, then outputs."""
    yield from (network.get_input(i) for i in range(network.num_inputs))
    yield from (network.get_output(i) for i in range(network.num_outputs))


def _set_timings(config: Any, timings: bytes) -> None:
    """Timings that TensorRT does not take, of another version or a damaged file, are measured
    anew."""
    timing_cache = config.create_timing_cache(timings)
    if timing_cache is None or not config.set_timing_cache(timing_cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _timings(config: Any) -> bytes:
    timing_cache = config.get_timing_cache()
    serialized = None if timing_cache is None else timing_cache.serialize()
    return b"" if serialized is None else bytes(serialized)


@dataclass(slots=True)
class _Phase:
    """A phase of the build, in shares of the whole: now, at the end of its step, of a step, at its
    end."""

    now: float
    step_end: float
    step: float
    end: float


def _monitor(trt: Any, on_progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # the base is known only now
        """Phases have phases within a step of theirs, nobody knows how many: each gets half of what
        is left of that step."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._whole = _Phase(0.0, 2.0, 2.0, 2.0)  # of which the outermost phase is half
            self._phases: dict[str, tuple[_Phase, _Phase]] = {}  # with the one around it
            self._reached = 0.0
            self.interrupted_by: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._interruptible():
                around, _ = self._phases.get(parent_phase or "", (self._whole, None))
                room = (around.step_end - around.now) / 2
                step = room / max(1, num_steps)
                inner = _Phase(around.now, around.now + step, step, around.now + room)
                self._phases[phase_name] = (inner, around)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._interruptible():
                if phase_name in self._phases:
                    phase, _ = self._phases[phase_name]
                    phase.now = phase.step_end
                    phase.step_end = min(phase.step_end + phase.step, phase.end)
                    self._reach(phase.now)
            return self.interrupted_by is None  # False ends the build

        def phase_finish(self, phase_name: str) -> None:
            with self._interruptible():
                if phase_name in self._phases:
                    phase, around = self._phases.pop(phase_name)
                    around.now = max(around.now, phase.end)
                    self._reach(phase.end)

        @contextmanager
        def _interruptible(self) -> Iterator[None]:
            """What is raised while TensorRT calls, Ctrl-C above all, would be lost in its C++."""
            try:
                yield
            except BaseException as error:
                self.interrupted_by = error

        def _reach(self, share: float) -> None:
            if share > self._reached:
                self._reached = min(1.0, share)
                on_progress(self._reached)

    return Monitor()
