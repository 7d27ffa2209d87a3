"""The inputs and outputs that every engine's network must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.frames import Image

Tensors = Mapping[str, tuple[str, Sequence[object]]]
Batch = dict[str, npt.NDArray[np.generic]]


def interface(bundle: Bundle) -> dict[str, tuple[str, list[int]]]:
    """Name -> (NumPy's name of the dtype, shape) of a bundle's inputs and outputs."""
    height, width = bundle.input_size
    return {
        "rgb": ("uint8", [1, *bundle.rgb_size, 3]),
        "thermal": ("uint8", [1, height, width, 1]),
        "thermal_valid": ("uint8", [1, height, width, 1]),
        "present": ("float32", [1, 2]),
        "mask": ("uint8", [1, height, width]),
        "confidence": ("uint8", [1, height, width]),
    }


def batch_of_one(
    rgb: Image, thermal: Image, thermal_valid: Image, present: npt.NDArray[np.float32]
) -> Batch:
    """The arguments of ``Runtime.infer`` as the network's inputs, by name; views of them."""
    return {
        "rgb": rgb[np.newaxis],
        "thermal": thermal[np.newaxis, ..., np.newaxis],
        "thermal_valid": thermal_valid[np.newaxis, ..., np.newaxis],
        "present": present[np.newaxis],
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
