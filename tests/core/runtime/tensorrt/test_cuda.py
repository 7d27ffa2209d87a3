"""Memory, streams and graphs: on the fake driver everywhere, on NVIDIA's where there is a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from sartm_core.errors import SartmError
from sartm_core.runtime.choice import cuda_devices
from sartm_core.runtime.tensorrt import cuda
from sartm_core.runtime.tensorrt.cuda import Block, CudaError, Device, Stream
from tests.core.runtime.tensorrt import fake_cuda
from tests.core.runtime.tensorrt.fake_cuda import FakeDriver


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver()
    monkeypatch.setattr(cuda, "_load_driver", lambda: fake)
    return fake


@pytest.fixture(params=["pinned", "mapped", "NVIDIA's"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    if request.param == "NVIDIA's":
        if not cuda_devices():
            pytest.skip("no NVIDIA GPU")
    else:
        request.getfixturevalue("driver").integrated = request.param == "mapped"
    found = Device()
    yield found
    found.close()


def test_it_says_what_gpu_there_is(device: Device) -> None:
    assert device.name
    major, minor = device.compute_capability.split(".")
    assert (int(major), int(minor)) >= (5, 0)


def test_bytes_go_to_the_gpu_and_come_back(device: Device) -> None:
    stream, block = Stream(device), Block(device, 1 << 20)
    sent = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
    block.host[:] = sent
    block.upload(stream)
    stream.synchronize()
    if not device.integrated:
        block.host[:] = 0
    block.download(stream)
    stream.synchronize()
    assert np.array_equal(block.host, sent)
    block.close()
    stream.close()


def test_a_graph_does_again_what_was_recorded(device: Device) -> None:
    """From any thread that was told to use the device."""
    stream, block = Stream(device), Block(device, 4096)

    def there_and_back() -> None:
        block.upload(stream)
        block.download(stream)

    block.host[:] = 1
    graph = stream.capture(there_and_back)

    def launch() -> None:
        device.use()
        for value in (2, 3):
            block.host[:] = value
            graph.launch()
            stream.synchronize()

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert (block.host == 3).all()
    for each in (graph, block, stream):
        each.close()


def test_more_memory_than_there_is(device: Device, request: pytest.FixtureRequest) -> None:
    if "driver" in request.fixturenames or not cuda_devices():
        request.getfixturevalue("driver").free = 1 << 20
    with pytest.raises(CudaError, match=r"out of memory; got CUDA_ERROR_OUT_OF_MEMORY \(2\)"):
        Block(device, 1 << 50)
    Block(device, 1 << 10).close()


def test_nothing_is_left_behind(driver: FakeDriver) -> None:
    device = Device()
    stream, block = Stream(device), Block(device, 100)
    with pytest.raises(SartmError, match="not recorded"):
        stream.capture(fail)
    stream.capture(lambda: block.upload(stream)).close()
    block.close()
    stream.close()
    device.close()
    assert driver.held == 0


def test_no_thread_is_left_in_a_context_that_is_no_more(driver: FakeDriver) -> None:
    device = Device()
    assert driver.current
    device.close()
    assert (driver.current, driver.contexts) == (0, 0)


def fail() -> None:
    raise SartmError("not recorded")


def test_a_block_of_which_half_fits_leaves_nothing(driver: FakeDriver) -> None:
    device = Device()
    before, driver.free = driver.held, 150
    with pytest.raises(CudaError):
        Block(device, 100)
    assert (driver.held, driver.free) == (before, 150)


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGet"])
def test_a_driver_without_a_gpu(driver: FakeDriver, call: str) -> None:
    driver.fails[call] = fake_cuda.NO_DEVICE
    message = rf"no NVIDIA GPU.*got CUDA_ERROR_NO_DEVICE \(100\) from {call}.*nvidia-smi"
    with pytest.raises(SartmError, match=message):
        Device()


@pytest.mark.skipif(cuda_devices() > 0, reason="there is a GPU")
def test_a_machine_without_a_driver() -> None:
    with pytest.raises(SartmError, match=r"no NVIDIA GPU.*libcuda\.so\.1.*runtime=onnxruntime"):
        Device()
