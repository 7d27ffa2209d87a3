"""A world: where everything is at a given time.

A world is a ring of road (or hall) around the camera: what passes behind the camera comes back
far ahead, so that a sequence never runs out of scenery.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from sartm_core.data.synthetic.canvas import Camera, Canvas, Color, Image
from sartm_core.data.synthetic.climate import Climate, Prop
from sartm_core.data.synthetic.ground import Sky
from sartm_core.data.synthetic.solids import Placement

RING_M = 56.0
BEHIND_M = 4.0
CELL_M = 4.0
CELLS = int(RING_M / CELL_M)


@dataclass(frozen=True, slots=True)
class Item:
    """A prop and its motion: ``speed`` (m/s) along the road, ``sway`` (m) across it at ``pace``.

    The ring position ``s`` counts metres from the camera's start; with sway, ``yaw`` is its phase.
    """

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
            walked = abs(self.speed * time_s) if self.speed else None
            return Placement(self.d, z, self.yaw, walked)
        cycle = (time_s * self.pace / (4 * self.sway) + self.yaw / (2 * math.pi)) % 1.0
        offset = self.sway * (4 * abs(cycle - 0.5) - 1)
        heading = -math.pi / 2 if cycle < 0.5 else math.pi / 2
        return Placement(self.d + offset, z, heading, abs(self.pace * time_s))


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
    """Everything that a picture needs, sampled once from the seed.

    Outdoors there are a ``sky`` and ``markings``, indoors a ``shell``. ``scenery`` lies behind
    ``flat`` things on the ground, and those behind the ``items`` that stand on it.
    """

    climate: Climate
    camera: Camera
    camera_speed: float
    bobbing: tuple[float, float]
    profile: Image
    texture: Image
    roughness: float
    sky: Sky | None
    markings: Callable[[Canvas, float], None] | None
    shell: Callable[[Canvas, float], None] | None
    scenery: tuple[Item, ...]
    flat: tuple[Item, ...]
    items: tuple[Item, ...]
    lights: tuple[Streetlight, ...]
    optics: Optics

    def camera_at(self, time_s: float) -> Camera:
        """The camera at a time: it drives at constant speed and rocks a little."""
        camera = self.camera
        bob, weave = self.bobbing
        return replace(
            camera,
            cx=camera.cx + camera.focal * weave * math.sin(0.5 * time_s),
            horizon=camera.horizon + camera.focal * bob * math.sin(5.3 * time_s),
            travel=self.camera_speed * time_s,
        )
