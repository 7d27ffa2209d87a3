"""Mistakes that are easily made with TensorRT, planted in the source: the fake catches each.

So a change that makes one of them does not pass the tests, although no GPU takes part in them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from sartm_core.bundle import Bundle
from sartm_core.runtime.tensorrt import builder, library, runner, runtime
from tests.core.runtime.tensorrt.machine import Machine

MISTAKES = {
    "misspelt setting": (builder, "config.builder_optimization_level", "config.optimization_level"),
    "removed setting": (
        builder,
        "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)",
        "config.max_workspace_size = WORKSPACE_BYTES",
    ),
    "explicit batch": (builder, "Flag.STRONGLY_TYPED", "Flag.EXPLICIT_BATCH"),
    "flag that is not shifted": (builder, "1 << int(", "int("),
    "integer of a flag": (builder, "int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)", "1"),
    "no logger": (builder, "trt.Builder(library.log)", "trt.Builder(None)"),
    "logger whose base was not made": (library, "trt.ILogger.__init__(self)", "pass"),
    "monitor whose base was not made": (builder, "trt.IProgressMonitor.__init__(self)", "pass"),
    "errors without their messages": (builder, "parser.get_error(i)", "parser.error(i)"),
    "wrong dtype": (builder, '"UINT8": "uint8"', '"UINT8": "int8"'),
    "bindings": (runner, "engine.num_io_tensors", "engine.num_bindings"),
    "outputs for inputs": (runner, "TensorIOMode.INPUT", "TensorIOMode.OUTPUT"),
    "old enqueue": (runner, "execute_async_v3", "execute_async_v2"),
    "default stream": (runner, "execute_async_v3(self._stream.handle)", "execute_async_v3(0)"),
    "address that is not set": (
        runner,
        "in placed.addresses.items()",
        "in [*placed.addresses.items()][1:]",
    ),
    "memory of the host": (
        runner,
        "self.block.address + offset",
        "self.block.host.ctypes.data + offset + 1",
    ),
    "tensors in one place": (runner, "offsets[name] = end", "offsets[name] = 0"),
    "too little memory": (runner, "* np.dtype(dtype).itemsize", "// 8"),
    "no upload": (runner, "self._inputs.block.upload(self._stream)", "pass"),
    "no download": (runner, "self._outputs.block.download(self._stream)", "pass"),
    "no wait": (
        runner,
        "            self._stream.synchronize()\n            return",
        "            return",
    ),
    "recorded at first": (
        runner,
        "        self._queue()  # what",
        "        self._stream.capture(self._queue)  # what",
    ),
}


def test_the_source_as_it_is(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted in the same way it breaks nothing."""
    for module in (library, builder, runner):
        plant(monkeypatch, module, "", "")
    machine.start(bundle).close()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught(
    machine: Machine, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    module, right, wrong = MISTAKES[mistake]
    plant(monkeypatch, module, right, wrong)
    # Each fails in its own way; of an error path's own mistake the error is another.
    expected: type[Exception] = Exception
    if mistake == "errors without their messages":
        machine.faults.add("parser")
        expected = AttributeError
    with pytest.raises(expected):
        machine.start(bundle)


def plant(monkeypatch: pytest.MonkeyPatch, module: ModuleType, right: str, wrong: str) -> None:
    """Run the module with another source in the place of the real one."""
    source = Path(str(module.__file__)).read_text()
    assert right in source
    changed = ModuleType(module.__name__)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, changed)  # where dataclasses look
        exec(compile(source.replace(right, wrong), str(module.__file__), "exec"), vars(changed))
    for user in (runtime, runner):
        for name, value in vars(changed).items():
            if getattr(value, "__module__", "") == module.__name__ and name in vars(user):
                monkeypatch.setattr(user, name, value)
