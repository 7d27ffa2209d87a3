"""The node's parameters as ROS has them: declared, checked, changed, for each pair of cameras."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sartm_core.errors import SartmError
from sartm_ros import pairing, tf_registration
from sartm_ros.parameters import Parameters

PER_PAIR = ("input", "sync", "thermal", "registration")
"""Concerns of a pair of cameras: ``PAIR.sync.slop_s`` sets one pair's own value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a node and of each of its pairs of cameras.

    Attributes:
        common: what holds unless a pair has a value of its own.
        own: pair -> its own values by name, e.g. ``{"front": {"sync.slop_s": 0.1}}``. A node with
            one pair has it under the empty name, without own values.
    """

    common: Parameters = field(default_factory=Parameters)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})

    @property
    def pairs(self) -> tuple[str, ...]:
        return tuple(self.own)

    def of(self, pair: str) -> Parameters:
        """What holds for a pair.

        Raises:
            SartmError: its own values and the common ones do not go together.
        """
        return _replaced(self.common, self.own[pair])


_SPECS: dict[str, Field[Any]] = {
    f"{group.name}.{spec.name}": spec
    for group in fields(Parameters)
    for spec in fields(getattr(Parameters(), group.name))
}
AUTOSTART = ParameterDescriptor(
    description="configure and activate at start; false under a lifecycle manager", read_only=True
)
_PAIRS = ParameterDescriptor(
    description="names of several pairs of cameras, each with topics of its own: NAME/rgb/image, "
    "NAME/thermal/image, ~/NAME/mask, ...; one empty name = one pair without a name",
    read_only=True,
)


def declare(node: Node) -> Settings:
    """Declare every parameter on ``node`` and read the values it was started with.

    Raises:
        SartmError: an unknown name under one of our prefixes, or a value that is not allowed.
    """
    pairs = _declared_pairs(node)
    _refuse_unknown(node, pairs)
    defaults = Parameters()
    values = {}
    for name, spec in _SPECS.items():
        group, key = name.split(".")
        values[name] = _declared(node, name, spec, getattr(getattr(defaults, group), key))
    own: dict[str, dict[str, Any]] = {pair: {} for pair in pairs}
    for full in node._parameter_overrides:
        pair, _, name = full.partition(".")
        if pair in own and name in _SPECS:
            own[pair][name] = _declared(node, full, _SPECS[name], _SPECS[name].default)
    return _checked_settings(Settings(_replaced(defaults, values), own))


def changed(current: Settings, changes: Iterable[Parameter]) -> Settings:
    """``current`` with ``changes`` applied; names that are not ours are left to others.

    Raises:
        SartmError: a value that is not allowed.
    """
    values = {}
    own = {pair: dict(values) for pair, values in current.own.items()}
    for change in changes:
        pair, _, name = change.name.partition(".")
        if change.name in _SPECS:
            values[change.name] = change.value
        elif name in own.get(pair, ()):
            own[pair][name] = change.value
    return _checked_settings(Settings(_replaced(current.common, values), own))


def _checked_settings(settings: Settings) -> Settings:
    for pair in settings.pairs:
        settings.of(pair)
    return settings


def _declared_pairs(node: Node) -> list[str]:
    pairs = list(node.declare_parameter("pairs", [""], _PAIRS).value or [""])
    if pairs == [""]:
        return pairs
    reserved = {"autostart", "pairs", *(group.name for group in fields(Parameters))}
    for pair in pairs:
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", pair) or pair in reserved:
            raise SartmError(
                "parameter pairs has a name that cannot be used",
                got=repr(pair),
                expected=f"letters, digits and _, and none of {', '.join(sorted(reserved))}",
            )
    if len(set(pairs)) < len(pairs):
        raise SartmError("parameter pairs has a name twice", got=", ".join(pairs))
    return pairs


def _declared(node: Node, name: str, spec: Field[Any], default: Any) -> Any:
    """The value that ``name`` was started with."""
    start = list(default) if isinstance(default, tuple) else default
    try:
        return node.declare_parameter(name, start, _descriptor(spec)).value
    except ParameterException as error:
        raise SartmError(
            f"parameter {name} is not allowed", got=error, expected=_expected(spec)
        ) from error


def table() -> str:
    """Every parameter as a Markdown table, for docs/ros.md."""
    rows = [
        "| parameter | default | allowed | meaning |",
        "|---|---|---|---|",
        f"| `autostart` | `true` | true or false, at start only | {AUTOSTART.description} |",
        f'| `pairs` | `[""]` | names, at start only | {_PAIRS.description} |',
    ]
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
    if result.registration.load() is None and result.registration.depth_m:
        tf_registration.check_installed()
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
        return ", ".join(map(str, spec.metadata["choices"]))
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
        descriptor.additional_constraints = f"one of {_expected(spec)}"
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


def _refuse_unknown(node: Node, pairs: Iterable[str]) -> None:
    """A misspelt parameter must not be ignored in silence; rclpy would."""
    prefixes = {group.name for group in fields(Parameters)}
    known = list(_SPECS)
    for pair in filter(None, pairs):
        prefixes.add(pair)
        known += [f"{pair}.{name}" for name in _SPECS if name.split(".")[0] in PER_PAIR]
    for name in node._parameter_overrides:
        if name in known or name.split(".")[0] not in prefixes:
            continue
        close = difflib.get_close_matches(name, known, n=3)
        raise SartmError(
            f"unknown parameter {name}", expected=", ".join(close or sorted(known)) or None
        )
