"""What weather, cameras and mountings do to a pair of images, at three strengths.

Every corruption is a pure function of the pair, its level and a generator that is seeded by the
names of frame and corruption alone: at each strength the same drops fall, only harder, and the
same on every machine. Lengths in pixels are those of an image 640 wide. Labels stay as they are.
After Hendrycks and Dietterich (2019), with what is particular to RGB-thermal pairs. The effects
are plausible, not measured: they compare models, they do not predict a score in real fog.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.evaluation.corruptions import cameras, thermal, weather
from sartm_core.evaluation.corruptions.pixels import Views

STRENGTHS = (1, 2, 3)
FREEZE = "thermal_freeze"


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        level: what ``levels`` mean, for reports.
        cameras: which it changes.
        levels: its parameter at strengths 1, 2 and 3.
        apply: (pair, level, generator) to the corrupted pair; None where the data set's other
            frames are needed.
    """

    level: str
    cameras: tuple[str, ...]
    levels: tuple[float, float, float]
    apply: Callable[[Views, Any, np.random.Generator], Views] | None


_BOTH, _RGB, _THERMAL = ("rgb", "thermal"), ("rgb",), ("thermal",)

CORRUPTIONS: Mapping[str, Corruption] = {
    "low_light": Corruption(
        level="exposure", cameras=_RGB, levels=(0.2, 0.07, 0.025), apply=cameras.low_light
    ),
    "over_exposure": Corruption(
        level="exposure", cameras=_RGB, levels=(2.5, 5, 10), apply=cameras.over_exposure
    ),
    "fog": Corruption(
        level="visibility in m, nominal", cameras=_BOTH, levels=(150, 75, 40), apply=weather.fog
    ),
    "rain": Corruption(level="amount", cameras=_BOTH, levels=(0.35, 0.7, 1.2), apply=weather.rain),
    "motion_blur": Corruption(
        level="px", cameras=_BOTH, levels=(6, 13, 26), apply=cameras.motion_blur
    ),
    "noise": Corruption(
        level="grey levels", cameras=_BOTH, levels=(10, 22, 45), apply=cameras.sensor_noise
    ),
    "thermal_gain_drift": Corruption(
        level="amount", cameras=_THERMAL, levels=(0.3, 0.6, 1), apply=thermal.gain_drift
    ),
    FREEZE: Corruption(level="frames behind", cameras=_THERMAL, levels=(1, 3, 10), apply=None),
    "thermal_shift": Corruption(
        level="px", cameras=_THERMAL, levels=(4, 8, 16), apply=thermal.shift
    ),
    "thermal_homography": Corruption(
        level="of the width, at each corner",
        cameras=_THERMAL,
        levels=(0.01, 0.02, 0.04),
        apply=thermal.homography,
    ),
}
"""Every corruption by name."""


def corrupt(sample: Sample, name: str, strength: int, earlier: Sample | None = None) -> Sample:
    """A frame as it would have been under a corruption.

    Args:
        sample: the frame.
        name: of :data:`CORRUPTIONS`.
        strength: of :data:`STRENGTHS`.
        earlier: for ``thermal_freeze``, the frame at which the thermal camera stopped.

    Raises:
        SartmError: unknown name.
        ValueError: no such strength, or a freeze without an earlier frame.
    """
    (name,) = select([name])
    if strength not in STRENGTHS:
        raise ValueError(f"strength {strength}")
    kind = CORRUPTIONS[name]
    if kind.apply is None:
        if earlier is None:
            raise ValueError(f"{name} needs an earlier frame")
        return replace(sample, thermal=earlier.thermal, thermal_valid=earlier.thermal_valid)
    digest = hashlib.sha256(f"{sample.stem}/{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    views = (sample.rgb, sample.thermal, sample.thermal_valid)
    rgb, heat, valid = kind.apply(views, kind.levels[strength - 1], rng)
    return replace(sample, rgb=rgb, thermal=heat, thermal_valid=valid)


def select(names: Sequence[str]) -> tuple[str, ...]:
    """Checked names of corruptions; "all" alone gives all.

    Raises:
        SartmError: unknown name.
    """
    if list(names) == ["all"]:
        return tuple(CORRUPTIONS)
    strangers = [name for name in names if name not in CORRUPTIONS]
    if strangers or not names:
        raise SartmError(
            "unknown corruption",
            got=", ".join(strangers) or "none",
            expected="all or some of " + ", ".join(CORRUPTIONS),
        )
    return tuple(dict.fromkeys(names))
