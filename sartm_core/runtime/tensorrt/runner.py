"""An engine on the GPU: memory that is allocated once, and one launch for each frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.runtime.interface import check_interface
from sartm_core.runtime.tensorrt.builder import numpy_dtype
from sartm_core.runtime.tensorrt.cuda import Block, CudaError, Device, Graph, Stream
from sartm_core.runtime.tensorrt.engine_cache import CachedEngine
from sartm_core.runtime.tensorrt.library import Library

logger = logging.getLogger(__name__)

_ALIGNMENT = 256  # of each tensor's address, as CUDA's own allocations have it
_MEMORY = "free the GPU's memory, or use runtime=onnxruntime"

Tensors = dict[str, npt.NDArray[np.generic]]
Described = dict[str, tuple[str, list[int]]]
"""Name -> (NumPy's name of the dtype, shape)."""


class Runner:
    """A deserialized engine with its buffers; one frame at a time, from any thread.

    All inputs lie in one block and all outputs in another, so that there is one copy each way. The
    copies and the network are recorded as a CUDA graph and launched with one call; an engine that
    cannot be recorded is queued step by step.

    Args:
        library: that built the engine.
        device: that it was built for; the caller closes it.
        cached: the engine.
        bundle: whose network it is.

    Raises:
        SartmError: the engine is gone, TensorRT does not take it, its inputs and outputs are not
            the bundle's, or the GPU's memory does not suffice.
    """

    def __init__(
        self, library: Library, device: Device, cached: CachedEngine, bundle: Bundle
    ) -> None:
        self._library, self._device = library, device
        self._rebuild = f"remove {cached.path} and build it again (`sartm build-engine`)"
        self._lock = threading.Lock()
        device.use()
        library.messages.clear()
        with ExitStack() as stack:
            stack.callback(self._forget)
            self._runtime = library.required(
                library.trt.Runtime(library.log), "has no runtime", _MEMORY
            )
            self._engine = library.required(
                self._runtime.deserialize_cuda_engine(cached.read()),
                "does not take the engine",
                self._rebuild,
            )
            inputs, outputs = _tensors(library.trt, self._engine)
            check_interface(bundle, inputs | outputs)
            self._context = library.required(
                self._engine.create_execution_context(), "cannot start the engine", _MEMORY
            )
            self._stream = Stream(device)
            stack.callback(self._stream.close)
            self._inputs = self._place(inputs, stack)
            self._outputs = self._place(outputs, stack)
            self._graph = self._record()
            if self._graph is not None:
                stack.callback(self._graph.close)
            self._held = stack.pop_all()

    def infer(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> Tensors:
        """Run the network once.

        Args:
            inputs: name -> array of the bundle's dtype and shape.

        Returns:
            name -> array, of its own memory.

        Raises:
            SartmError: TensorRT or the GPU failed, or the runner was closed.
        """
        with self._lock:
            if self._context is None:
                raise SartmError("this runtime was closed", remedy="load the model again")
            self._device.use()
            for name, view in self._inputs.views.items():
                np.copyto(view, inputs[name], casting="no")
            if self._graph is None:
                self._queue()
            else:
                self._graph.launch()
            self._stream.synchronize()
            return {name: view.copy() for name, view in self._outputs.views.items()}

    def close(self) -> None:
        """Free the GPU's memory; may be called twice."""
        with self._lock:
            with suppress(CudaError):  # the device is lost, and nothing on it is left to free
                self._device.use()
            self._held.close()

    def _place(self, tensors: Described, stack: ExitStack) -> _Placed:
        """Memory for tensors, of which the engine is told."""
        placed = _Placed(self._device, tensors)
        stack.callback(placed.block.close)
        for name, address in placed.addresses.items():
            self._library.required(
                self._context.set_tensor_address(name, address),
                f"does not take the address of '{name}'",
                self._rebuild,
            )
        return placed

    def _record(self) -> Graph | None:
        self._queue()  # what an engine does once, at its first frame, cannot be recorded
        self._stream.synchronize()
        try:
            return self._stream.capture(self._queue)
        except SartmError as error:
            logger.info("no CUDA graph, the engine is queued step by step: %s", error)
            return None

    def _queue(self) -> None:
        self._inputs.block.upload(self._stream)
        self._library.messages.clear()
        self._library.required(
            self._context.execute_async_v3(self._stream.handle),
            "did not run the network",
            "start the process again; if it happens again, " + self._rebuild,
        )
        self._outputs.block.download(self._stream)

    def _forget(self) -> None:
        """TensorRT frees what nothing refers to; each must outlive the one that it made."""
        self._context = None
        self._engine = None
        self._runtime = None


class _Placed:
    """Tensors in one block: where the GPU finds them, and as arrays of the host."""

    def __init__(self, device: Device, tensors: Described) -> None:
        offsets, end = {}, 0
        for name, (dtype, shape) in tensors.items():
            offsets[name] = end
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self.block = Block(device, end)
        self.addresses = {name: self.block.address + offset for name, offset in offsets.items()}
        self.views: Tensors = {
            name: np.ndarray(shape, dtype, self.block.host.data, offsets[name])
            for name, (dtype, shape) in tensors.items()
        }


def _tensors(trt: Any, engine: Any) -> tuple[Described, Described]:
    """An engine's inputs and outputs."""
    inputs: Described = {}
    outputs: Described = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        described = numpy_dtype(engine.get_tensor_dtype(name)), [*engine.get_tensor_shape(name)]
        (inputs if is_input else outputs)[name] = described
    return inputs, outputs
