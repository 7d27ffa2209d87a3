"""Fixtures that several packages' tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sartm_core.data.datasets import sample_data_root
from tests.bundles import write_tiny_bundle

if TYPE_CHECKING:
    from tests.core.runtime.tensorrt.machine import Machine


def _missing(*modules: str) -> str:
    """The reason to skip, "" if every module is there."""
    for module in modules:
        try:
            found = find_spec(module) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            return f"{module} is not installed"
    return ""


def _no_gpu() -> str:
    if reason := _missing("torch"):
        return reason
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


# Marker -> why its tests cannot run here. `launch.actions`: the folder launch/ is no package.
_REQUIREMENTS: dict[str, Callable[[], str]] = {
    "gpu": _no_gpu,
    "ros": lambda: _missing("rclpy"),
    "ros_full": lambda: _missing(
        "rclpy", "launch.actions", "cv_bridge", "message_filters", "vision_msgs"
    ),
    "data": lambda: "" if sample_data_root() else "no real frames; set SARTM_DATA",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    reasons: dict[str, str] = {}
    for item in items:
        for marker in _REQUIREMENTS.keys() & {mark.name for mark in item.iter_markers()}:
            if marker not in reasons:
                reasons[marker] = _REQUIREMENTS[marker]()
            if reasons[marker]:
                item.add_marker(pytest.mark.skip(reason=reasons[marker]))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle folder whose masks can be computed in one's head; see ``write_tiny_bundle``."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Machine]:
    """A fake GPU and a fake TensorRT 10.3, or the (module, version) that the test is parametrised
    with."""
    from sartm_core.runtime.tensorrt.library import load_library
    from tests.core.runtime.tensorrt.machine import fake_machine

    yield fake_machine(monkeypatch, tmp_path / "engines", *getattr(request, "param", ()))
    load_library.cache_clear()
