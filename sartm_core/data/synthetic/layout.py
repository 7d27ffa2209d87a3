"""Sampling of worlds: day or night, road or hall."""

from __future__ import annotations

import numpy as np

from sartm_core.data.synthetic.climate import Climate
from sartm_core.data.synthetic.hall import make_hall
from sartm_core.data.synthetic.road import make_road
from sartm_core.data.synthetic.world import World

_INDOOR_SHARE = 0.28


def make_world(
    seed: int, width: int, height: int, night: bool | None, indoor: bool | None
) -> World:
    """Sample a world; ``night`` and ``indoor`` are drawn where None."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    by_night, inside = bool(rng.random() < 0.5), bool(rng.random() < _INDOOR_SHARE)
    by_night = by_night if night is None else night
    inside = inside if indoor is None else indoor
    climate = _make_climate(rng, by_night, inside)
    return (make_hall if inside else make_road)(rng, climate, width, height)


def _make_climate(rng: np.random.Generator, night: bool, indoor: bool) -> Climate:
    if indoor:
        return Climate(night, True, float(rng.uniform(13, 23)), 0.0, (0.0, 0.0))
    if night:
        return Climate(True, False, float(rng.uniform(3, 18)), 0.0, (0.0, 0.0))
    air = float(rng.uniform(8, 27))
    if rng.random() < 0.4:
        return Climate(False, False, air, 0.0, (0.0, 0.0))
    sun = (float(rng.uniform(-1.4, 1.4)), float(rng.uniform(-0.7, 0.9)))
    return Climate(False, False, air, float(rng.uniform(0.3, 1.0)), sun)
