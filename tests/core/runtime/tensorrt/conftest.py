"""One bundle for all tests of TensorRT."""

from __future__ import annotations

import pytest

from sartm_core.bundle import Bundle
from tests.core.runtime.tensorrt.machine import write_whole_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """fp32, fp16 and int8, all of them right."""
    return write_whole_bundle(tmp_path_factory.mktemp("tensorrt") / "tiny")
