"""NVIDIA's driver, as far as sartm calls it, in the memory of the host.

Work that is queued is done when its stream is synchronized, not before: who forgets that reads what
was there before. Memory is real, so that a wrong address or size is a wrong result, and every
handle that is not given back is counted.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE = 0, 1, 2, 100
INVALID_HANDLE, LAUNCH_FAILED, CAPTURE_UNSUPPORTED = 400, 719, 900
NAMES = {
    INVALID_VALUE: b"CUDA_ERROR_INVALID_VALUE",
    OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY",
    NO_DEVICE: b"CUDA_ERROR_NO_DEVICE",
    INVALID_HANDLE: b"CUDA_ERROR_INVALID_HANDLE",
    LAUNCH_FAILED: b"CUDA_ERROR_LAUNCH_FAILED",
    CAPTURE_UNSUPPORTED: b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
}
Work = Callable[[], int]


def number(value: Any) -> int:
    """A handle or an address, whichever way ctypes passes it."""
    return int(getattr(value, "value", value) or 0)


class FakeDriver:
    """What ``ctypes.CDLL("libcuda.so.1")`` would give.

    Attributes:
        fails: function -> the code that it returns from now on.
        integrated: a GPU like a Jetson's.
        free: bytes that may still be allocated.
        calls: how often each function was called.
        current: the context that threads work in, all of them; 0 = none.
    """

    def __init__(self, name: str = "Fake Orin", capability: tuple[int, int] = (8, 7)) -> None:
        self.name, self.capability, self.multiprocessors = name, capability, 16
        self.integrated = False
        self.free = 1 << 40
        self.fails: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.memory: dict[int, Any] = {}
        self.queues: dict[int, list[Work]] = {}
        self.captures: dict[int, list[Work]] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.contexts = self.current = 0
        self._handles = iter(range(1 << 20, 1 << 30))

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)
        function = getattr(type(self), f"_{name}")  # unknown functions raise

        def call(*arguments: Any) -> int:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name in self.fails:
                return self.fails[name]
            return int(function(self, *arguments) or 0)

        return call

    @property
    def held(self) -> int:
        """Handles that nobody gave back."""
        return len(self.memory) + len(self.queues) + len(self.graphs) + self.contexts

    def enqueue(self, stream: int, work: Work) -> int:
        """Queue on a stream, or record where it is captured."""
        if stream in self.captures:
            self.captures[stream].append(work)
        elif stream in self.queues:
            self.queues[stream].append(work)
        else:
            return INVALID_HANDLE
        return SUCCESS

    def _cuInit(self, flags: int) -> None: ...

    def _cuGetErrorName(self, code: int, out: Any) -> None:
        out._obj.value = NAMES.get(code)

    def _cuDeviceGet(self, out: Any, ordinal: int) -> None:
        out._obj.value = ordinal

    def _cuDeviceGetName(self, out: Any, size: int, device: int) -> None:
        out.value = self.name.encode()

    def _cuDeviceGetAttribute(self, out: Any, attribute: int, device: int) -> None:
        major, minor = self.capability
        known = {75: major, 76: minor, 18: self.integrated, 16: self.multiprocessors}
        out._obj.value = known[attribute]

    def _cuDevicePrimaryCtxRetain(self, out: Any, device: int) -> None:
        self.contexts += 1
        out._obj.value = 1

    def _cuDevicePrimaryCtxRelease_v2(self, device: int) -> None:
        self.contexts -= 1

    def _cuCtxSetCurrent(self, context: Any) -> int:
        self.current = number(context)
        return SUCCESS if self.contexts or not self.current else INVALID_HANDLE

    def _allocate(self, out: Any, size: int) -> int:
        if size > self.free:
            return OUT_OF_MEMORY
        self.free -= size
        block = (ctypes.c_uint8 * size)()
        out._obj.value = ctypes.addressof(block)
        self.memory[ctypes.addressof(block)] = block
        return SUCCESS

    def _release(self, address: Any) -> int:
        block = self.memory.pop(number(address), None)
        if block is None:
            return INVALID_VALUE
        self.free += len(block)
        return SUCCESS

    def _cuMemAlloc_v2(self, out: Any, size: int) -> int:
        return self._allocate(out, size)

    def _cuMemHostAlloc(self, out: Any, size: int, flags: int) -> int:
        assert bool(flags & 2) == self.integrated
        return self._allocate(out, size)

    def _cuMemHostGetDevicePointer_v2(self, out: Any, address: Any, flags: int) -> None:
        assert self.integrated
        out._obj.value = number(address)

    def _cuMemFree_v2(self, address: Any) -> int:
        return self._release(address)

    def _cuMemFreeHost(self, address: Any) -> int:
        return self._release(address)

    def _copy(self, target: Any, source: Any, size: int, stream: Any) -> int:
        to, at = number(target), number(source)
        if any(len(self.memory.get(address, ())) < size for address in (to, at)):
            return INVALID_VALUE

        def work() -> int:
            ctypes.memmove(to, at, size)
            return SUCCESS

        return self.enqueue(number(stream), work)

    _cuMemcpyHtoDAsync_v2 = _copy
    _cuMemcpyDtoHAsync_v2 = _copy

    def _cuStreamCreate(self, out: Any, flags: int) -> None:
        assert flags == 1, "a stream that waits for the default stream"
        out._obj.value = next(self._handles)
        self.queues[out._obj.value] = []

    def _cuStreamSynchronize(self, stream: Any) -> int:
        queue = self.queues[number(stream)]
        while queue:
            if code := queue.pop(0)():
                return code
        return SUCCESS

    def _cuStreamDestroy_v2(self, stream: Any) -> int:
        return INVALID_HANDLE if self.queues.pop(number(stream), None) is None else SUCCESS

    def _cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> None:
        self.captures[number(stream)] = []

    def _cuStreamEndCapture(self, stream: Any, out: Any) -> None:
        out._obj.value = next(self._handles)
        self.graphs[out._obj.value] = self.captures.pop(number(stream))

    def _cuGraphInstantiateWithFlags(self, out: Any, graph: Any, flags: int) -> None:
        out._obj.value = next(self._handles)
        self.graphs[out._obj.value] = self.graphs[number(graph)]

    def _cuGraphLaunch(self, graph: Any, stream: Any) -> int:
        for work in self.graphs[number(graph)]:
            if code := self.enqueue(number(stream), work):
                return code
        return SUCCESS

    def _cuGraphExecDestroy(self, graph: Any) -> int:
        return INVALID_HANDLE if self.graphs.pop(number(graph), None) is None else SUCCESS

    _cuGraphDestroy = _cuGraphExecDestroy
