"""The node's parameters: one frozen dataclass per concern.

Each field's metadata holds its ``description`` and, where it has them, its ``range`` (low, high) or
its ``choices``. The ROS descriptors, the checks at start and at run time and the table in the docs
all come from there.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sartm_core.errors import SartmError
from sartm_core.runtime import RUNTIMES, default_threads
from sartm_core.synchronizer import SyncParameters
from sartm_core.thermal import CONTRACTS, Contract, ThermalSpec
from sartm_ros import pairing

DEMO_BUNDLE = "sartm-demo"


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """Which model runs, and how. Read when the node is configured."""

    path: str = field(
        default="",
        metadata={
            "description": "bundle folder or shipped name; empty = sartm-demo, "
            "trained on synthetic scenes only"
        },
    )
    runtime: str = field(
        default="auto",
        metadata={"description": "engine that runs the model", "choices": ("auto", *RUNTIMES)},
    )
    precision: str = field(
        default="auto",
        metadata={
            "description": "precision of the model file, one that the bundle has",
            "choices": ("auto", "fp32", "fp16", "int8", "int8cpu"),
        },
    )
    threads: int = field(
        default=0,
        metadata={
            "description": "CPU threads of the model; 0 = all cores but one",
            "range": (0, 256),
        },
    )

    engine_cache: str = field(
        default="",
        metadata={"description": "folder of TensorRT engines; empty = the user's cache folder"},
    )
    allow_build: bool = field(
        default=False,
        metadata={
            "description": "build a TensorRT engine that is missing, which takes minutes, instead "
            "of refusing to start"
        },
    )

    @property
    def bundle(self) -> str:
        return self.path or DEMO_BUNDLE

    @property
    def thread_count(self) -> int:
        return self.threads or default_threads()

    @property
    def engine_folder(self) -> Path | None:
        return Path(self.engine_cache).expanduser() if self.engine_cache else None


@dataclass(frozen=True, slots=True)
class ThermalParameters:
    """What the numbers in the thermal image mean."""

    contract: str = field(
        default="auto",
        metadata={
            "description": "agc8: 8 bit after automatic gain; raw16: 16 bit counts; kelvin: "
            "32 bit float; auto: by the image's encoding",
            "choices": ("auto", *CONTRACTS),
        },
    )
    scale: float = field(
        default=1.0,
        metadata={
            "description": "kelvin per count of raw16, e.g. 0.01 for a Lepton's centikelvin; "
            "used with thermal.window",
            "range": (1e-9, 1e9),
        },
    )
    offset: float = field(
        default=0.0,
        metadata={
            "description": "kelvin at count 0 of raw16; used with thermal.window",
            "range": (-1e9, 1e9),
        },
    )
    window: tuple[float, ...] = field(
        default=(0.0, 0.0),
        metadata={
            "description": "[low, high] in kelvin (grey levels for agc8) shown to the model as "
            "0 and 255; equal = the percentiles of each image",
            "length": 2,
        },
    )

    def spec(self) -> ThermalSpec | None:
        """What the segmenter is told; None = by the dtype, with the bundle's own values."""
        if self.contract == "auto":
            return None
        low, high = self.window
        return ThermalSpec(
            contract=cast(Contract, self.contract),
            scale=self.scale,
            offset=self.offset,
            window=None if low == high else (low, high),
        )


@dataclass(frozen=True, slots=True)
class OutputParameters:
    """What is published."""

    size: str = field(
        default="rgb",
        metadata={
            "description": "size of the mask: the RGB image's, or the network's own",
            "choices": ("rgb", "network"),
        },
    )
    min_confidence: float = field(
        default=0.0,
        metadata={
            "description": "pixels less sure than this become 255 (unlabelled); 0 = none",
            "range": (0.0, 1.0),
        },
    )
    max_rate_hz: float = field(
        default=0.0,
        metadata={
            "description": "frames that come faster are dropped before the model; 0 = no limit",
            "range": (0.0, 1000.0),
        },
    )


@dataclass(frozen=True, slots=True)
class DiagnosticsParameters:
    """When /diagnostics speaks up."""

    max_processing_ms: float = field(
        default=200.0,
        metadata={
            "description": "WARN when a mask takes longer than this from its image's arrival",
            "range": (0.1, 1e6),
        },
    )
    max_silence_s: float = field(
        default=1.0,
        metadata={
            "description": "a camera silent for longer than this is reported",
            "range": (0.01, 1e6),
        },
    )
    hang_s: float = field(
        default=10.0,
        metadata={
            "description": "an inference longer than this ends the process with exit code 1, "
            "so that launch starts it again",
            "range": (0.01, 1e6),
        },
    )


@dataclass(frozen=True, slots=True)
class Parameters:
    """All concerns together; a field's name is the parameters' prefix."""

    model: ModelParameters = field(default_factory=ModelParameters)
    sync: SyncParameters = field(default_factory=SyncParameters)
    thermal: ThermalParameters = field(default_factory=ThermalParameters)
    output: OutputParameters = field(default_factory=OutputParameters)
    diagnostics: DiagnosticsParameters = field(default_factory=DiagnosticsParameters)


_AT_CONFIGURE = "model"
_SPECS: dict[str, Field[Any]] = {
    f"{group.name}.{spec.name}": spec
    for group in fields(Parameters)
    for spec in fields(getattr(Parameters(), group.name))
}


def declare(node: Node) -> Parameters:
    """Declare every parameter on ``node`` and read the values it was started with.

    Raises:
        SartmError: an unknown name under one of our prefixes, or a value that is not allowed.
    """
    _refuse_unknown(node)
    defaults = Parameters()
    values = {}
    for name, spec in _SPECS.items():
        group, key = name.split(".")
        default = getattr(getattr(defaults, group), key)
        start = list(default) if isinstance(default, tuple) else default
        try:
            values[name] = node.declare_parameter(name, start, _descriptor(spec)).value
        except ParameterException as error:
            raise SartmError(
                f"parameter {name} is not allowed", got=error, expected=_expected(spec)
            ) from error
    return _replaced(defaults, values)


def changed(current: Parameters, changes: Iterable[Parameter], *, configured: bool) -> Parameters:
    """``current`` with ``changes`` applied; names that are not ours are left to others.

    Raises:
        SartmError: a value that is not allowed, or a change that needs the node unconfigured.
    """
    values = {change.name: change.value for change in changes if change.name in _SPECS}
    for name, value in values.items():
        group, key = name.split(".")
        if configured and group == _AT_CONFIGURE and value != getattr(current.model, key):
            raise SartmError(
                f"{name} is read when the node is configured",
                remedy="clean the node up (ros2 lifecycle set NODE deactivate, cleanup), set it "
                "and configure again",
            )
    return _replaced(current, values)


def table() -> str:
    """Every parameter as a Markdown table, for docs/ros.md."""
    rows = ["| parameter | default | allowed | meaning |", "|---|---|---|---|"]
    for name, spec in _SPECS.items():
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        shown = json.dumps(default)
        rows.append(
            f"| `{name}` | `{shown}` | {_expected(spec)} | {spec.metadata['description']} |"
        )
    return "\n".join(rows)


def _replaced(current: Parameters, values: Mapping[str, Any]) -> Parameters:
    groups = {}
    for group in fields(Parameters):
        own = {
            name.split(".")[1]: _checked(name, value)
            for name, value in values.items()
            if name.split(".")[0] == group.name
        }
        if own:
            groups[group.name] = replace(getattr(current, group.name), **own)
    result = replace(current, **groups)
    # What one field alone cannot tell, e.g. an empty window.
    result.thermal.spec()
    pairing.check(result.sync)
    return result


def _checked(name: str, value: Any) -> Any:
    """``value`` as the dataclass holds it.

    Raises:
        SartmError: wrong type, out of range, or none of the choices.
    """
    spec = _SPECS[name]
    expected = _expected(spec)
    default = spec.default
    if isinstance(default, tuple):
        if value is None or len(value) != len(default) or not all(map(_is_number, value)):
            raise SartmError(f"parameter {name} is not allowed", got=value, expected=expected)
        return tuple(float(entry) for entry in value)
    if isinstance(default, float) and _is_number(value):
        value = float(value)
    if type(value) is not type(default):
        raise SartmError(f"parameter {name} has the wrong type", got=repr(value), expected=expected)
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        if not low <= value <= high:
            raise SartmError(f"parameter {name} is out of range", got=value, expected=expected)
    if "choices" in spec.metadata and value not in spec.metadata["choices"]:
        raise SartmError(f"parameter {name} is not allowed", got=repr(value), expected=expected)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expected(spec: Field[Any]) -> str:
    if "choices" in spec.metadata:
        return ", ".join(spec.metadata["choices"])
    if isinstance(spec.default, tuple):
        return f"{len(spec.default)} numbers"
    kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    text = kind[type(spec.default)]
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        text += f" from {low:g} to {high:g}"
    return text


def _descriptor(spec: Field[Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=spec.metadata["description"])
    if "choices" in spec.metadata:
        descriptor.additional_constraints = "one of " + ", ".join(spec.metadata["choices"])
    # `slop_s: 1` in a YAML file is an integer: our own check takes it, a typed parameter would not.
    descriptor.dynamic_typing = isinstance(spec.default, float | tuple)
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        if isinstance(spec.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


def _refuse_unknown(node: Node) -> None:
    """A misspelt parameter must not be ignored in silence; rclpy would."""
    prefixes = {group.name for group in fields(Parameters)}
    for name in node._parameter_overrides:
        if name in _SPECS or name.split(".")[0] not in prefixes:
            continue
        close = difflib.get_close_matches(name, _SPECS, n=3)
        raise SartmError(
            f"unknown parameter {name}", expected=", ".join(close or sorted(_SPECS)) or None
        )
