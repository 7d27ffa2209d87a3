"""A world: where everything is at a given time.

A world is a ring of road (or hall) around the camera: what passes behind the camera comes back
far ahead, so that a sequence never runs out of scenery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sartm_core.data.synthetic.backdrop import Hall
from sartm_core.data.synthetic.canvas import Camera, Canvas, Color, Image
from sartm_core.data.synthetic.climate import Climate, Prop
from sartm_core.data.synthetic.solids import Placement

RING_M = 56.0
BEHIND_M = 4.0


@dataclass(frozen=True, slots=True)
class Item:
    """A prop and its motion: ``speed`` along the road and ``sway`` (m) across it at ``pace`` m/s."""

    prop: Prop
    d: float
    s: float
    yaw: float = 0.0
    speed: float = 0.0
    sway: float = 0.0
    pace: float = 1.0
    ring: float = RING_M
    behind: float = BEHIND_M

    def placement(self, time_s: float, travel: float) -> Placement:
        """Where the prop is at a time, seen from a camera that has travelled so many metres."""
        z = (self.s + self.speed * time_s - travel + self.behind) % self.ring - self.behind
        if self.sway == 0.0:
            return Placement(self.d, z, self.yaw, abs(self.speed * time_s))
        cycle = (time_s * self.pace / (4 * self.sway) + self.yaw / (2 * np.pi)) % 1.0
        offset = self.sway * (4 * abs(cycle - 0.5) - 1)
        heading = -np.pi / 2 if cycle < 0.5 else np.pi / 2
        return Placement(self.d + offset, z, heading, abs(self.pace * time_s) + 1e-3)


@dataclass(frozen=True, slots=True)
class Streetlight:
    """A lamp that lights the ground around it: lateral metres, ring metres, colour, strength."""

    d: float
    s: float
    color: Color
    strength: float


@dataclass(frozen=True, slots=True)
class Optics:
    """What the two cameras do to a scene; the same for all frames of a world.

    ``ambient`` is the share of light left at night (1 by day), ``headlight`` that of the
    carrier's own lamp at 2 m; ``thermal_window`` the Celsius that the thermal camera shows as
    ``thermal_levels``; noises are standard deviations in grey levels.
    """

    ambient: float
    headlight: float
    tint: tuple[float, float, float]
    haze: float
    haze_color: Color
    rgb_noise: float
    black_level: float
    bloom: float
    thermal_window: tuple[float, float]
    thermal_levels: tuple[float, float]
    thermal_noise: float
    thermal_blur: float
    thermal_drift: Image


@dataclass(frozen=True)
class World:
    """Everything that ``render`` needs, sampled once from the seed."""

    climate: Climate
    camera: Camera
    camera_speed: float
    sway: tuple[float, float]
    profile: Image
    texture: Image
    roughness: float
    sky: tuple[Image, Color, Color]
    hall: Hall | None
    markings: Callable[[Canvas, float], None]
    scenery: tuple[Item, ...]
    flat: tuple[Item, ...]
    items: tuple[Item, ...]
    lights: tuple[Streetlight, ...]
    optics: Optics

    def camera_at(self, time_s: float) -> Camera:
        """The camera at a time: it drives at constant speed and rocks a little."""
        c = self.camera
        bob, weave = self.sway
        return Camera(
            c.width,
            c.height,
            c.focal,
            c.cx + c.focal * weave * float(np.sin(0.5 * time_s)),
            c.horizon + c.focal * bob * float(np.sin(5.3 * time_s)),
            c.mount,
            c.lateral,
            c.bend,
            self.camera_speed * time_s,
        )
