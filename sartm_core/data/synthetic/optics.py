"""Sampling of the camera pair."""

from __future__ import annotations

import numpy as np

from sartm_core.data.synthetic.canvas import Camera
from sartm_core.data.synthetic.climate import Climate
from sartm_core.data.synthetic.ground import cloud_noise
from sartm_core.data.synthetic.world import Optics


def make_camera(
    rng: np.random.Generator, width: int, height: int, lateral: float, bend: float
) -> Camera:
    """A camera 1.1 to 1.7 m above the ground, at a lateral position on a road of a bend."""
    # Objects keep their share of the picture whatever its shape.
    span = min(width, height * 4 / 3)
    return Camera(
        width=width,
        height=height,
        focal=span * float(rng.uniform(0.82, 1.05)),
        cx=width * float(rng.uniform(0.44, 0.56)),
        horizon=height * float(rng.uniform(0.36, 0.47)),
        mount=float(rng.uniform(1.1, 1.7)),
        lateral=lateral,
        bend=bend,
        travel=0.0,
    )


def make_optics(rng: np.random.Generator, climate: Climate, width: int, height: int) -> Optics:
    """Exposure, haze, noise, and the thermal camera's gain."""
    night, air = climate.night, climate.air
    warm = float(rng.uniform(-0.1, 0.1))
    green = float(rng.uniform(-0.05, 0.15)) if night else 0.0
    ambient = float(np.exp(rng.uniform(*np.log((0.005, 0.03))))) if night else rng.uniform(0.6, 1.1)
    # The coldest and the warmest that the automatic gain keeps apart.
    cold = air - float(rng.uniform(7, 14))
    hot = max(air + 9 * climate.sunshine, 22.0 if night else 26.0) + float(rng.uniform(8, 18))
    scale = max(1.0, min(width, height * 4 / 3) / 320.0)
    return Optics(
        ambient=float(ambient),
        headlight=float(rng.uniform(0.02, 0.12)) if night and rng.random() < 0.25 else 0.0,
        tint=(1.0 + warm, 1.0 + green, 1.0 - warm),
        haze=0.0 if climate.indoor or night else float(rng.uniform(0.0, 0.012)),
        haze_color=(190, 200, 212),
        rgb_noise=float(rng.uniform(2.0, 4.0)) if night else float(rng.uniform(0.8, 2.0)),
        black_level=float(rng.uniform(4, 12)) if night else 0.0,
        bloom=float(rng.uniform(0.7, 1.6)) if night else 0.25,
        thermal_window=(cold, hot),
        thermal_levels=(float(rng.uniform(0, 40)), float(rng.uniform(190, 255))),
        thermal_noise=float(rng.uniform(0.6, 1.6)),
        thermal_blur=float(rng.uniform(0.5, 0.9)) * scale,
        thermal_drift=cloud_noise(rng, height, width, 3),
    )
