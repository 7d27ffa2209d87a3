"""The little of CUDA that a runner needs, through ctypes from the driver's own library.

Not through cuda-python: its packages must match the CUDA release of the machine, of which JetPack
6, JetPack 7 and a desktop each have another, and TensorRT brings the runtime library along in
places that differ too. ``libcuda.so.1`` comes with the driver, so it is there wherever a GPU is,
and its interface has been binary compatible since CUDA 11.4, the oldest that knows all of this.

TensorRT works in the device's primary context, and so does this.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from contextlib import ExitStack
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError

logger = logging.getLogger(__name__)

# CUdevice_attribute
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _INTEGRATED, _MULTIPROCESSORS = 75, 76, 18, 16
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
_PORTABLE, _DEVICE_MAP = 1, 2  # CU_MEMHOSTALLOC_*: pinned for all contexts; seen by the GPU
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on as they like
_OUT_OF_MEMORY = 2
# After one of these every further call fails: no device, ECC, bad addresses, time-out, unknown.
_LOST = frozenset({46, 100, 101, 214, 220, 700, 702, 709, 710, *range(714, 720), 999})

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemHostGetDevicePointer_v2": (POINTER(c_uint64), c_void_p, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphDestroy": (c_void_p,),
}


class CudaError(SartmError):
    """The driver refused a call; ``code`` is its CUresult."""

    def __init__(self, code: int, name: str, call: str) -> None:
        self.code = code
        if code == _OUT_OF_MEMORY:
            what, remedy = "the GPU is out of memory", "end what else uses it, or use a CPU runtime"
        elif code in _LOST:
            what = "the GPU failed, and is lost to this process"
            remedy = "start the process again; if it happens again, look at `dmesg` for NVRM or Xid"
        else:
            what, remedy = "the GPU's driver refused a call", "update the driver"
        super().__init__(what, got=f"{name} ({code}) from {call}", remedy=remedy)


class Device:
    """The first GPU that the driver shows to this process.

    Attributes:
        name: as its maker calls it.
        compute_capability: e.g. 8.7.
        multiprocessors: how many; a Jetson's power mode may switch some of them off.
        integrated: it shares the CPU's memory, as on a Jetson.

    Raises:
        SartmError: no driver, or no GPU.
    """

    def __init__(self) -> None:
        self._driver = _load_driver()
        if code := self._driver.cuInit(0):
            raise _no_gpu(f"{self._error_name(code)} ({code}) from cuInit")
        device = c_int(0)
        if code := self._driver.cuDeviceGet(ctypes.byref(device), 0):
            raise _no_gpu(f"{self._error_name(code)} ({code}) from cuDeviceGet")
        self._device = device.value
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), self._device)
        self.name = name.value.decode()
        major, minor = self._attribute(_CAPABILITY_MAJOR), self._attribute(_CAPABILITY_MINOR)
        self.compute_capability = f"{major}.{minor}"
        self.multiprocessors = self._attribute(_MULTIPROCESSORS)
        self.integrated = bool(self._attribute(_INTEGRATED))
        self._context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.use()

    def use(self) -> None:
        """Let the calling thread work on this device."""
        self.call("cuCtxSetCurrent", self._context)

    def close(self) -> None:
        """Give the device back; the calling thread is left without it, for CUDA does not see to it
        that a context which is no more is nobody's."""
        self.release("cuCtxSetCurrent", None)
        self.release("cuDevicePrimaryCtxRelease_v2", self._device)

    def call(self, function: str, *arguments: Any) -> None:
        """Call the driver.

        Raises:
            CudaError: it returned anything but success.
        """
        if code := getattr(self._driver, function)(*arguments):
            raise CudaError(code, self._error_name(code), function)

    def release(self, function: str, *arguments: Any) -> None:
        """Call the driver to free something; on a lost device nothing is left to free."""
        if code := getattr(self._driver, function)(*arguments):
            logger.debug("%s from %s", self._error_name(code), function)

    def _attribute(self, number: int) -> int:
        value = c_int(0)
        self.call("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def _error_name(self, code: int) -> str:
        name = c_char_p()
        self._driver.cuGetErrorName(code, ctypes.byref(name))
        return (name.value or b"unknown error").decode()


class Stream:
    """An asynchronous queue of work beside the default stream."""

    def __init__(self, device: Device) -> None:
        self._device = device
        handle = c_void_p()
        device.call("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        self.handle = handle.value or 0

    def synchronize(self) -> None:
        """Wait for all that was queued."""
        self._device.call("cuStreamSynchronize", self.handle)

    def capture(self, work: Callable[[], None]) -> Graph:
        """What ``work`` queues, recorded instead of done.

        Raises:
            CudaError: it cannot be recorded.
        """
        self._device.call("cuStreamBeginCapture_v2", self.handle, _THREAD_LOCAL)
        recorded = c_void_p()
        try:
            try:
                work()
            except SartmError:  # until the capture ends, the stream does nothing
                self._device.release("cuStreamEndCapture", self.handle, ctypes.byref(recorded))
                raise
            self._device.call("cuStreamEndCapture", self.handle, ctypes.byref(recorded))
            return Graph(self._device, self, recorded)
        finally:
            if recorded:
                self._device.release("cuGraphDestroy", recorded)

    def close(self) -> None:
        self._device.release("cuStreamDestroy_v2", self.handle)


class Graph:
    """Recorded work, which one call queues again."""

    def __init__(self, device: Device, stream: Stream, recorded: c_void_p) -> None:
        self._device, self._stream = device, stream
        self._handle = c_void_p()
        device.call("cuGraphInstantiateWithFlags", ctypes.byref(self._handle), recorded, 0)

    def launch(self) -> None:
        self._device.call("cuGraphLaunch", self._handle, self._stream.handle)

    def close(self) -> None:
        self._device.release("cuGraphExecDestroy", self._handle)


class Block:
    """Pinned memory of the host and where the GPU finds its content.

    On a GPU of its own that is memory of the GPU, to and from which it is copied. Where both share
    one memory it is the same memory, and nothing is copied.

    Attributes:
        host: [size] uint8, as the CPU sees it.
        address: of the same bytes, as the GPU sees it.
    """

    host: npt.NDArray[np.uint8]
    address: int

    def __init__(self, device: Device, size: int) -> None:
        self._device = device
        with ExitStack() as stack:
            pinned, address = c_void_p(), c_uint64()
            flags = _PORTABLE | (_DEVICE_MAP if device.integrated else 0)
            device.call("cuMemHostAlloc", ctypes.byref(pinned), size, flags)
            stack.callback(device.release, "cuMemFreeHost", pinned)
            if device.integrated:
                device.call("cuMemHostGetDevicePointer_v2", ctypes.byref(address), pinned, 0)
            else:
                device.call("cuMemAlloc_v2", ctypes.byref(address), size)
                stack.callback(device.release, "cuMemFree_v2", address)
            self._pinned = pinned
            self.address = address.value
            memory = (ctypes.c_uint8 * size).from_address(pinned.value or 0)
            self.host = np.ctypeslib.as_array(memory)
            self._held = stack.pop_all()

    def upload(self, stream: Stream) -> None:
        """Queue the copy to the GPU."""
        if not self._device.integrated:
            self._device.call(
                "cuMemcpyHtoDAsync_v2", self.address, self._pinned, self.host.size, stream.handle
            )

    def download(self, stream: Stream) -> None:
        """Queue the copy from the GPU."""
        if not self._device.integrated:
            self._device.call(
                "cuMemcpyDtoHAsync_v2", self._pinned, self.address, self.host.size, stream.handle
            )

    def close(self) -> None:
        """Free both; ``host`` must not be touched any more."""
        self._held.close()


def _load_driver() -> Any:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        for name, types in _SIGNATURES.items():
            function = getattr(driver, name)
            function.argtypes, function.restype = types, c_int
    except (OSError, AttributeError) as error:  # no driver, or one older than CUDA 11.4
        raise _no_gpu(error) from error
    return driver


def _no_gpu(got: object) -> SartmError:
    return SartmError(
        "no NVIDIA GPU that this process can use",
        got=got,
        expected="a GPU and its driver; in a container --gpus all or --runtime nvidia",
        remedy="see what `nvidia-smi` says, or use runtime=onnxruntime",
    )
