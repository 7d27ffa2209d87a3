"""A fake machine for each test, one bundle for all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sartm_core.bundle import Bundle
from sartm_core.runtime.tensorrt import cuda
from sartm_core.runtime.tensorrt.library import load_library
from tests.core.runtime.tensorrt.fake_cuda import FakeDriver
from tests.core.runtime.tensorrt.fake_tensorrt import fake_tensorrt
from tests.core.runtime.tensorrt.machine import Machine, write_whole_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """fp32, fp16 and int8, all of them right."""
    return write_whole_bundle(tmp_path_factory.mktemp("tensorrt") / "tiny")


@pytest.fixture
def machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Machine]:
    """TensorRT 10.3, or the (module, version) that the test is parametrised with."""
    name, version = getattr(request, "param", ("tensorrt", "10.3.0"))
    driver = FakeDriver()
    trt = fake_tensorrt(driver, version, name)
    monkeypatch.setitem(sys.modules, name, trt)
    monkeypatch.setattr(cuda, "_load_driver", lambda: driver)
    load_library.cache_clear()
    yield Machine(driver, trt, tmp_path / "engines")
    load_library.cache_clear()
