"""What a thermal camera seems to send: facts for the log, and hints where a setting looks wrong.

Nothing is decided here and no value is changed. Kept apart from ``thermal``, which takes the
numbers as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sartm_core.errors import BadImageError
from sartm_core.frames import ThermalImage
from sartm_core.thermal import Contract, ThermalSpec, detect_contract

ZERO_CELSIUS = 273.15
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.0  # a dead pixel is no fact about the camera

_SAMPLES = 200  # pixels looked at per axis
_SCENE_CELSIUS = (-40.0, 100.0)  # what nearly all of a robot's surroundings lie in, and
_MIDDLE_CELSIUS = (-25.0, 55.0)  # the middle between the coldest and the warmest of them
_CELSIUS_FLOATS = (-60.0, 160.0)
_KELVIN_FLOATS = (200.0, 2000.0)
_FEW_LEVELS = 24
_SATURATED = 0.9


class _Unit(NamedTuple):
    name: str
    scale: float
    offset: float
    cameras: str


_UNITS = (
    _Unit("centikelvin", 0.01, 0.0, "Lepton with TLinear, FLIR with 10 mK, Gazebo"),
    _Unit("0.04 K per count", 0.04, 0.0, "FLIR Ax5 with TemperatureLinear High"),
    _Unit("decidegrees from -100 degC", 0.1, 173.15, "Optris"),
)


@dataclass(frozen=True, slots=True)
class ContractReport:
    """What is known of a camera's images after one of them.

    Attributes:
        contract: how the image is taken.
        low, high: 1st and 99th percentile of the numbers in it.
        reason: one line: what came, how it is taken, what may be set.
        hints: likely mistakes, one line each with what to set; none = nothing looks wrong.
    """

    contract: Contract
    low: float
    high: float
    reason: str
    hints: tuple[str, ...]


def inspect_contract(
    thermal: ThermalImage, encoding: str, spec: ThermalSpec | None = None
) -> ContractReport:
    """Look at one thermal image.

    Args:
        thermal: HxW uint8, uint16 or float32.
        encoding: of the message it came in, e.g. ``mono16``; for the texts.
        spec: what the user has set; None = ``thermal.contract: auto``.

    Raises:
        BadImageError: another dtype, or no finite pixel.
    """
    contract = detect_contract(thermal.dtype)
    steps = tuple(slice(None, None, max(1, length // _SAMPLES)) for length in thermal.shape)
    sample = thermal[steps]
    numbers = sample[np.isfinite(sample)].astype(np.float64)
    if numbers.size == 0:
        raise BadImageError(
            "non_finite",
            "thermal image has no finite pixel",
            got=f"{thermal.shape} {thermal.dtype}",
            expected="temperatures, counts or grey levels",
        )
    low, high = (float(v) for v in np.percentile(numbers, (LOW_PERCENTILE, HIGH_PERCENTILE)))
    hints = _window_hints(numbers, spec)
    if contract == "agc8":
        hints += _grey_hints(numbers)
    elif contract == "raw16":
        hints += _byte_order_hints(thermal) or _unit_hints(low, high, spec)
    else:
        hints += _float_hints(low, high)
    reason = f"{_kind(contract, encoding, low, high)}: {_treatment(contract, spec)}"
    return ContractReport(contract, low, high, reason, tuple(hints))


def _kind(contract: Contract, encoding: str, low: float, high: float) -> str:
    if contract == "kelvin":
        return f"32 bit float ({encoding}, {low:.1f} to {high:.1f})"
    if contract == "raw16":
        return f"16 bit counts ({encoding}, {low:.0f} to {high:.0f})"
    return f"8 bit grey levels ({encoding}, {low:.0f} to {high:.0f}), warmer taken as brighter"


def _treatment(contract: Contract, spec: ThermalSpec | None) -> str:
    if spec is not None and spec.window is not None:
        unit = "grey level" if contract == "agc8" else "K"
        return f"thermal.window, {spec.window[0]:g} to {spec.window[1]:g} {unit}"
    scale = ", thermal.scale, thermal.offset" if contract == "raw16" else ""
    return (
        "percentiles of each image, whatever the unit; for a fixed range set "
        f"thermal.contract: {contract}{scale} and thermal.window"
    )


def _window_hints(numbers: npt.NDArray[np.float64], spec: ThermalSpec | None) -> list[str]:
    if spec is None or spec.window is None:
        return []
    values = numbers * spec.scale + spec.offset if spec.contract == "raw16" else numbers
    below, above = (values < spec.window[0]).mean(), (values > spec.window[1]).mean()
    if max(below, above) < _SATURATED:
        return []
    side, colour = (above, "white") if above > below else (below, "black")
    return [
        f"thermal.window [{spec.window[0]:g}, {spec.window[1]:g}] makes {side:.0%} of the pixels "
        f"{colour}: they are {np.median(values):.1f} in its unit (median); check thermal.scale, "
        "thermal.offset and thermal.window, or leave the window out"
    ]


def _unit_hints(low: float, high: float, spec: ThermalSpec | None) -> list[str]:
    """Units in which the counts would be temperatures of an ordinary scene."""
    if spec is not None and (spec.scale, spec.offset) != (1.0, 0.0):
        return []
    hints = []
    for unit in _UNITS:
        coldest, warmest = (n * unit.scale + unit.offset - ZERO_CELSIUS for n in (low, high))
        ordinary = _SCENE_CELSIUS[0] <= coldest and warmest <= _SCENE_CELSIUS[1]
        if ordinary and _MIDDLE_CELSIUS[0] <= (coldest + warmest) / 2 <= _MIDDLE_CELSIUS[1]:
            hints.append(
                f"counts {low:.0f} to {high:.0f} would be {coldest:.0f} to {warmest:.0f} degC in "
                f"{unit.name} ({unit.cameras}); if the camera sends that, set thermal.contract: "
                f"raw16, thermal.scale: {unit.scale:g}, thermal.offset: {unit.offset:g}, and then "
                "thermal.window in kelvin if the range is to be fixed"
            )
    return hints


def _byte_order_hints(thermal: ThermalImage) -> list[str]:
    """Neighbours are alike in a picture and not in one whose bytes are swapped."""
    rows = thermal[:: max(1, thermal.shape[0] // _SAMPLES)]
    as_is, swapped = _roughness(rows), _roughness(rows.byteswap())
    if swapped < 0.4 and as_is > 3 * swapped:
        return [
            "neighbouring pixels differ as if the two bytes of each were swapped; set is_bigendian "
            "right in the camera's driver"
        ]
    return []


def _roughness(rows: npt.NDArray[np.generic]) -> float:
    """Mean step from a pixel to the next, in standard deviations of the picture; 1.1 = noise."""
    pixels = rows.astype(np.float64)
    if pixels.shape[1] < 2:
        return 0.0
    return float(np.abs(np.diff(pixels, axis=1)).mean() / max(pixels.std(), 1e-9))


def _float_hints(low: float, high: float) -> list[str]:
    if low >= _KELVIN_FLOATS[0] and high <= _KELVIN_FLOATS[1]:
        return []
    if low >= _CELSIUS_FLOATS[0] and high <= _CELSIUS_FLOATS[1] and high - low > 1.0:
        return [
            f"{low:.1f} to {high:.1f} look like degrees Celsius, not kelvin; harmless with "
            "percentiles, but a thermal.window must then be in degrees Celsius too, e.g. "
            "[0.0, 40.0], or have the driver publish kelvin"
        ]
    return [
        f"{low:.4g} to {high:.4g} are no kelvin of any scene; harmless with percentiles, but a "
        "thermal.window must then be in the camera's own unit"
    ]


def _grey_hints(numbers: npt.NDArray[np.float64]) -> list[str]:
    levels = len(np.unique(numbers))
    if levels > _FEW_LEVELS:
        return []
    return [
        f"only {levels} grey levels: 16 bit counts cut to 8 bit by cv_bridge look like that; "
        "publish mono16, or mono8 after automatic gain"
    ]
