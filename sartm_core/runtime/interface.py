"""The inputs and outputs that every engine's network must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError

Tensors = Mapping[str, tuple[str, Sequence[object]]]


def interface(bundle: Bundle) -> dict[str, tuple[str, list[int]]]:
    """Name -> (NumPy's name of the dtype, shape) of a bundle's inputs and outputs."""
    height, width = bundle.input_size
    return {
        "rgb": ("uint8", [1, height, width, 3]),
        "thermal": ("uint8", [1, height, width, 1]),
        "thermal_valid": ("uint8", [1, height, width, 1]),
        "present": ("float32", [1, 2]),
        "mask": ("uint8", [1, height, width]),
        "confidence": ("uint8", [1, height, width]),
    }


def check_interface(bundle: Bundle, found: Tensors) -> None:
    """Compare what an engine says of its network with what the bundle's manifest says.

    Args:
        bundle: whose network.
        found: name -> (NumPy's name of the dtype, shape) of inputs and outputs.

    Raises:
        SartmError: a tensor is missing, or has another dtype or shape.
    """
    for name, (dtype, shape) in interface(bundle).items():
        got = found.get(name)
        if got is None or (got[0], list(got[1])) != (dtype, shape):
            raise SartmError(
                f"the model of bundle '{bundle.name}' has the wrong interface at '{name}'",
                got=f"only {', '.join(found)}" if got is None else f"{got[0]} {list(got[1])}",
                expected=f"{dtype} {shape}",
                remedy="export it with `sartm export`",
            )
