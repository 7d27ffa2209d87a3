"""Temperatures and daylight of one world, and the paint of its materials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sartm_core.data.synthetic.canvas import Canvas, Color
from sartm_core.data.synthetic.solids import Placement


@dataclass(frozen=True, slots=True)
class Climate:
    """``air`` in Celsius; ``sunshine`` 0..1; ``sun`` = metres of shadow (d, z) per metre height."""

    night: bool
    indoor: bool
    air: float
    sunshine: float
    sun: tuple[float, float]

    @property
    def ground(self) -> float:
        """Celsius of asphalt or floor: above the air by day and, storing heat, also at night."""
        return self.air + 1.5 + 9.0 * self.sunshine

    def metal(self, rng: np.random.Generator) -> float:
        """Celsius of unheated metal: below the air under a night sky, sun-warmed by day."""
        if self.indoor:
            return self.air - float(rng.uniform(1.5, 3.0))
        if self.night:
            return self.air - float(rng.uniform(3.0, 5.5))
        return self.air + float(rng.uniform(-3.0, 0.0)) + 5.0 * self.sunshine

    def skin(self, rng: np.random.Generator) -> float:
        """Celsius of a face."""
        return float(rng.uniform(31.0, 34.0)) + 1.5 * self.sunshine

    def cloth(self, rng: np.random.Generator, shelter: float) -> float:
        """Celsius of clothing; ``shelter`` 0..1 is how well it keeps the skin's heat in."""
        return self.air + (33.0 - self.air) * (1.0 - shelter) + float(rng.uniform(1.0, 3.0))


@dataclass(frozen=True, slots=True)
class Prop:
    """Something that stands on the ground: how to draw it, and its size in metres.

    A ``height`` of zero casts no shadow.
    """

    draw: Callable[[Canvas, Placement], None]
    half_width: float
    half_length: float
    height: float


def pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    """One of the colours, varied a little."""
    chance, *gains = rng.random(4).tolist()
    r, g, b = colors[int(chance * len(colors))]
    # Channels vary apart, so that two white cars are not the same white.
    x, y, z = (0.84 + 0.26 * gain for gain in gains)
    mean = (x + y + z) / 3
    return (
        min(255, int(r * (mean + x) / 2)),
        min(255, int(g * (mean + y) / 2)),
        min(255, int(b * (mean + z) / 2)),
    )
