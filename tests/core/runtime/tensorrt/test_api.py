"""Every name of TensorRT in the source exists in every TensorRT that sartm supports.

All branches are read, not run: which object a name belongs to is told by the names of variables.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sartm_core.runtime.tensorrt as package
from tests.core.runtime.tensorrt.api import UNLISTED, VERSIONS, members

FILES = ("library.py", "builder.py", "runner.py")
SOURCE = {name: Path(package.__path__[0], name).read_text() for name in FILES}
# Variable or attribute of self -> class of the API.
OBJECTS = {
    "trt": "module",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "timing_cache": "ITimingCache",
    "tensor": "ITensor",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "engine": "ICudaEngine",
    "_context": "IExecutionContext",
    "dtype": "DataType",
}

Use = tuple[str, str]  # class, name


def uses(source: str) -> Iterator[Use]:
    """Names that the source takes from objects of TensorRT, and methods that it overrides."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in OBJECTS:
                yield OBJECTS[owner.id], node.attr
            elif isinstance(owner, ast.Attribute) and owner.attr in OBJECTS:
                yield OBJECTS[owner.attr], node.attr
            elif isinstance(owner, ast.Attribute) and _is_trt(owner.value):
                yield owner.attr, node.attr  # trt.MemoryPoolType.WORKSPACE
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                if isinstance(base, ast.Attribute) and _is_trt(base.value):
                    for method in node.body:
                        if isinstance(method, ast.FunctionDef) and method.name[0] != "_":
                            yield base.attr, method.name


def _is_trt(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "trt") or (
        isinstance(node, ast.Attribute) and node.attr == "trt"
    )


def unknown(source: str, version: str) -> set[Use]:
    return {
        (kind, name)
        for kind, name in uses(source)
        if not name.startswith("__") and name not in members(version, kind)
    }


ALL = {use for source in SOURCE.values() for use in uses(source)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_every_name_is_there(file: str, version: str) -> None:
    assert unknown(SOURCE[file], version) == set()


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in ALL}))
def test_every_name_is_in_the_real_tensorrt_rtx(kind: str) -> None:
    trt = importlib.import_module("tensorrt_rtx")
    owner = trt if kind == "module" else getattr(trt, kind)
    used = {name for owner_kind, name in ALL if owner_kind == kind}
    assert {name for name in used if not hasattr(owner, name)} == set()


def test_the_members_that_are_not_listed_are_those_of_tensorrt_rtx() -> None:
    trt = importlib.import_module("tensorrt_rtx")
    for kind, names in UNLISTED.items():
        assert {name for name in names if not hasattr(getattr(trt, kind), name)} == set()


def test_nothing_is_overlooked() -> None:
    """Every class of the table is used, and these names among many are found."""
    assert {kind for kind, _ in ALL} >= {*OBJECTS.values()}
    assert {
        ("module", "Builder"),
        ("module", "OnnxParser"),
        ("module", "Runtime"),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("MemoryPoolType", "WORKSPACE"),
        ("TensorIOMode", "INPUT"),
        ("IBuilderConfig", "builder_optimization_level"),
        ("IExecutionContext", "execute_async_v3"),
        ("IProgressMonitor", "step_complete"),
        ("ILogger", "log"),
    } <= ALL


@pytest.mark.parametrize(
    ("source", "version", "use"),
    [
        ("trt.Bilder(log)", "11.4.0.106", ("module", "Bilder")),
        ("config.set_flag(trt.BuilderFlag.STRICT)", "10.3.0", None),
        (
            "if old: builder.platform_has_fast_fp16",
            "11.4.0.106",
            ("Builder", "platform_has_fast_fp16"),
        ),
        (
            "1 << int(library.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)",
            "11.0.0.114",
            ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"),
        ),
        ("config.int8_calibrator = x", "11.0.0.114", ("IBuilderConfig", "int8_calibrator")),
        ("self._context.execute_async_v2(x)", "10.3.0", ("IExecutionContext", "execute_async_v2")),
        ("self._engine.num_bindings", "10.7.0", ("ICudaEngine", "num_bindings")),
        ("parser.supports_model(x)", "11.4.0.106", ("OnnxParser", "supports_model")),
    ],
)
def test_a_name_that_is_missing_is_found(source: str, version: str, use: Use | None) -> None:
    if use is None:  # of a class whose names nothing uses, so that they are not in api.json
        with pytest.raises(KeyError):
            unknown(source, version)
    else:
        code = source.replace(": ", ":\n  ") if source.startswith("if") else source
        assert unknown(code, version) == {use}
