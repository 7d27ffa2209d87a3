"""Thermal images of any kind to the network's uint8, one way for training, evaluation and robot.

Automatic gain (AGC), the contrast enhancement of data sets like MSRS, raw counts and kelvin differ
by a monotonic curve that changes from frame to frame. So each frame is stretched between two
percentiles and its median is brought to a fixed level by a gamma. On 25 frames that MFNet and MSRS
both contain, in their two renderings, the mean difference falls from 2.6 standard deviations (raw)
and 1.2 (stretch alone) to 0.5 (``benchmarks/thermal_normalisation.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.errors import BadImageError, SartmError
from sartm_core.frames import Image, ThermalImage
from sartm_core.thermal_levels import Levels, LevelSmoothing

Contract = Literal["agc8", "raw16", "kelvin"]
CONTRACTS: tuple[str, ...] = get_args(Contract)

LOW_PERCENTILE = 1.0
HIGH_PERCENTILE = 99.5
MEDIAN_LEVEL = 0.32
GAMMA_LIMITS = (0.4, 2.5)  # a nearly uniform scene must not become noise alone

_DTYPES: dict[str, npt.DTypeLike] = {"agc8": np.uint8, "raw16": np.uint16, "kelvin": np.float32}
_KELVIN_STEPS = 65535


@dataclass(frozen=True, slots=True)
class ThermalSpec:
    """What the numbers of a thermal image mean and how they reach the network.

    Attributes:
        contract: ``agc8`` uint8 after automatic gain, ``raw16`` uint16 counts, ``kelvin`` float32.
        scale: kelvin per count (``raw16``).
        offset: kelvin at count 0 (``raw16``).
        window: (low, high) in kelvin (grey levels for ``agc8``) mapped to 0 and 255, for scenes
            whose temperatures are known; None = percentiles of each frame and the median's gamma.
    """

    contract: Contract = "agc8"
    scale: float = 1.0
    offset: float = 0.0
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.contract not in CONTRACTS:
            raise SartmError(
                "unknown thermal contract", got=repr(self.contract), expected=", ".join(CONTRACTS)
            )
        if not self.scale > 0:
            raise SartmError("thermal scale must be above 0", got=self.scale)
        if self.window is not None and not self.window[0] < self.window[1]:
            raise SartmError("thermal window is empty", got=self.window, expected="low < high")


def detect_contract(dtype: npt.DTypeLike) -> Contract:
    """The contract that a thermal image's dtype implies.

    Raises:
        BadImageError: a dtype that no thermal camera image has.
    """
    for contract, expected in _DTYPES.items():
        if np.dtype(dtype) == np.dtype(expected):
            return cast(Contract, contract)
    raise BadImageError(
        "wrong_dtype",
        "thermal image has the wrong dtype",
        got=np.dtype(dtype),
        expected="uint8 (agc8), uint16 (raw16) or float32 (kelvin)",
    )


def normalise(
    thermal: ThermalImage,
    spec: ThermalSpec | None = None,
    valid: Image | None = None,
    *,
    smoothing: LevelSmoothing | None = None,
    stamp_ns: int = 0,
) -> Image:
    """A thermal image as the network takes it.

    Args:
        thermal: HxW of the contract's dtype.
        spec: what the numbers mean; None = by the dtype, per-frame percentiles.
        valid: HxW uint8, 0 where the camera does not look (left out of the statistics), or None.
        smoothing: this camera's levels so far, which the image's own are mixed into; None = the
            image's own alone. A fixed window leaves it untouched.
        stamp_ns: when the image was taken, for the smoothing.

    Returns:
        HxW uint8, warmer = brighter.

    Raises:
        BadImageError: not two-dimensional or empty, a dtype other than the contract's, NaN or
            infinity.
    """
    spec = spec or ThermalSpec(detect_contract(thermal.dtype))
    if thermal.ndim != 2 or thermal.size == 0:
        raise BadImageError(
            "wrong_shape", "thermal image has the wrong shape", got=thermal.shape, expected="HxW"
        )
    if detect_contract(thermal.dtype) != spec.contract:
        raise BadImageError(
            "wrong_dtype",
            f"thermal image does not fit the contract {spec.contract}",
            got=thermal.dtype,
            expected=np.dtype(_DTYPES[spec.contract]),
            remedy="set thermal.contract to what the camera sends",
        )
    levels, unit, zero = _levels(thermal, spec)
    if spec.window is not None:
        low, high = ((bound - zero) / unit for bound in spec.window)
        curve = _ramp(levels.dtype, low, high)
    else:
        own = _percentiles(levels, valid)
        if own is None:
            return np.zeros(thermal.shape, np.uint8)
        if smoothing is not None:
            own = _smoothed(own, unit, zero, smoothing, stamp_ns, spec)
        curve = _gamma_curve(levels.dtype, own)
    table = np.rint(255.0 * curve).astype(np.uint8)
    if levels.dtype == np.uint8:
        return cast(Image, cv2.LUT(levels, table))
    return table[levels]


def _levels(
    thermal: ThermalImage, spec: ThermalSpec
) -> tuple[npt.NDArray[np.uint8] | npt.NDArray[np.uint16], float, float]:
    """Integer levels, and the unit and zero that lead from a level back to the window's unit."""
    if thermal.dtype != np.float32:
        levels = cast("npt.NDArray[np.uint8] | npt.NDArray[np.uint16]", thermal)
        return (levels, 1.0, 0.0) if spec.contract == "agc8" else (levels, spec.scale, spec.offset)
    low, high = float(thermal.min()), float(thermal.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadImageError(
            "non_finite",
            "thermal image has NaN or infinite temperatures",
            got=f"{int((~np.isfinite(thermal)).sum())} of {thermal.size} pixels",
            expected="kelvin in every pixel",
            remedy="have the driver mark dead pixels with a neighbour's value",
        )
    unit = max(high - low, 1e-6) / _KELVIN_STEPS
    return ((thermal - low) * np.float32(1.0 / unit)).astype(np.uint16), unit, low


def _percentiles(
    levels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], valid: Image | None
) -> Levels | None:
    """The image's own levels by its histogram; None = no valid pixel."""
    bins = 256 if levels.dtype == np.uint8 else 65536
    counts = cv2.calcHist([levels], [0], valid, [bins], [0, bins]).ravel()
    cumulative = np.cumsum(counts, dtype=np.float64)
    total = cumulative[-1]
    if total == 0:
        return None
    shares = np.array((LOW_PERCENTILE, 50.0, HIGH_PERCENTILE)) / 100.0
    low, median, high = np.searchsorted(cumulative, shares * total)
    return Levels(float(low), float(median), float(high))


def _smoothed(
    own: Levels,
    unit: float,
    zero: float,
    smoothing: LevelSmoothing,
    stamp_ns: int,
    spec: ThermalSpec,
) -> Levels:
    """``own`` mixed into the camera's levels so far, in the unit that is the same for all images.

    Only the difference goes back through unit and zero: without one, no level moves by rounding.
    """
    scene = Levels(*(level * unit + zero for level in own))
    mixed = smoothing.follow(scene, stamp_ns, spec)
    return Levels(
        *(
            level + (after - before) / unit
            for level, before, after in zip(own, scene, mixed, strict=True)
        )
    )


def _gamma_curve(dtype: npt.DTypeLike, levels: Levels) -> npt.NDArray[np.float64]:
    """[256] or [65536] curve to 0..1: low at 0, high at 1, the median at its fixed level."""
    width = max(levels.high - levels.low, 1.0)
    median = float(np.clip((levels.median - levels.low) / width, 0.02, 0.98))
    gamma = np.clip(np.log(MEDIAN_LEVEL) / np.log(median), *GAMMA_LIMITS)
    return np.asarray(_ramp(dtype, levels.low, levels.high) ** gamma, np.float64)


def _ramp(dtype: npt.DTypeLike, low: float, high: float) -> npt.NDArray[np.float64]:
    """[256] or [65536] straight line from 0 at ``low`` to 1 at ``high``."""
    bins = 256 if np.dtype(dtype) == np.uint8 else 65536
    return np.clip((np.arange(bins) - low) / max(high - low, 1.0), 0.0, 1.0)
