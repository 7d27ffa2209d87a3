"""Scenes and sequences of scenes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sartm_core.data.synthetic.canvas import NEAR_M, Camera, Canvas, Image
from sartm_core.data.synthetic.climate import Climate
from sartm_core.data.synthetic.ground import draw_ground, draw_sky, shade_ground
from sartm_core.data.synthetic.layout import make_world
from sartm_core.data.synthetic.sensors import expose_rgb, expose_thermal, view_thermal
from sartm_core.data.synthetic.solids import Placement, to_road
from sartm_core.data.synthetic.world import Item, World
from sartm_core.errors import SartmError

MIN_SIZE = 32
MAX_SIZE = 4096


@dataclass(frozen=True)
class Scene:
    """One labelled RGB-thermal pair on the RGB camera's image plane.

    ``rgb`` uint8 [H, W, 3]; ``thermal`` uint8 [H, W], white = hot, 0 where ``thermal_valid``
    (uint8 [H, W], 0 or 1) is 0; ``label`` uint8 [H, W] of MFNet class ids 0..8.
    """

    rgb: Image
    thermal: Image
    thermal_valid: Image
    label: Image
    night: bool


class SceneSequence:
    """A world seen at any time: the camera drives slowly and things move continuously."""

    def __init__(
        self,
        seed: int,
        *,
        width: int = 320,
        height: int = 240,
        night: bool | None = None,
        indoor: bool | None = None,
        misregistration_px: float = 0.0,
        thermal_fov: float = 1.0,
    ) -> None:
        """Sample the world.

        ``night`` and ``indoor`` are drawn from the seed where None. ``misregistration_px`` moves
        the thermal picture by that many pixels in a direction drawn from the seed;
        ``thermal_fov`` in (0, 1] is the share of width and height that the thermal camera sees.
        Raises SartmError on arguments out of range.
        """
        check_arguments(seed, width, height, misregistration_px, thermal_fov)
        self._seed = seed
        self._world = make_world(seed, width, height, night, indoor)
        angle = np.random.default_rng(np.random.SeedSequence([seed, 1])).uniform(0, 2 * np.pi)
        self._shift = (
            misregistration_px * float(np.cos(angle)),
            misregistration_px * float(np.sin(angle)),
        )
        self._fov = thermal_fov

    @property
    def night(self) -> bool:
        """Whether the world is dark."""
        return self._world.climate.night

    def render(self, time_s: float) -> Scene:
        """The scene at a time in seconds; the same time always gives the same bytes."""
        if not math.isfinite(time_s):
            raise SartmError(
                "bad time of a scene", got=time_s, expected="a finite number of seconds"
            )
        canvas = paint_world(self._world, time_s)
        microseconds = round(time_s * 1e6) % (1 << 62)
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, 2, microseconds]))
        rgb = expose_rgb(self._world, canvas, rng)
        thermal = expose_thermal(self._world.optics, canvas, rng)
        thermal, valid = view_thermal(thermal, self._shift, self._fov)
        label = np.ascontiguousarray(canvas.meta[..., 0])
        return Scene(rgb, thermal, valid, label, self.night)


def generate_scene(
    seed: int,
    *,
    width: int = 320,
    height: int = 240,
    night: bool | None = None,
    indoor: bool | None = None,
    misregistration_px: float = 0.0,
    thermal_fov: float = 1.0,
) -> Scene:
    """One scene of a seed (an integer from 0); arguments as for ``SceneSequence``."""
    return SceneSequence(
        seed,
        width=width,
        height=height,
        night=night,
        indoor=indoor,
        misregistration_px=misregistration_px,
        thermal_fov=thermal_fov,
    ).render(0.0)


def check_arguments(
    seed: int, width: int, height: int, misregistration_px: float, thermal_fov: float
) -> None:
    """Raise SartmError on the first argument of a scene that is out of range."""
    limit = min(width, height) / 4
    for name, value, fine, expected in (
        ("seed", seed, seed >= 0, "an integer from 0"),
        ("width", width, MIN_SIZE <= width <= MAX_SIZE, f"{MIN_SIZE} to {MAX_SIZE} pixels"),
        ("height", height, MIN_SIZE <= height <= MAX_SIZE, f"{MIN_SIZE} to {MAX_SIZE} pixels"),
        ("misregistration", misregistration_px, 0 <= misregistration_px <= limit,
         f"0 to {limit:g} pixels, a quarter of the shorter side"),
        ("thermal field of view", thermal_fov, 0 < thermal_fov <= 1, "a share above 0, at most 1"),
    ):  # fmt: skip
        if not fine:
            raise SartmError(f"bad {name} of a synthetic scene", got=value, expected=expected)


def paint_world(world: World, time_s: float) -> Canvas:
    """Paint a world at a time, from far to near."""
    camera = world.camera_at(time_s)
    canvas = Canvas(camera)
    if world.sky is not None:
        draw_sky(canvas, world.sky, world.climate)
    draw_ground(canvas, world.profile, world.texture, world.roughness)
    if world.markings is not None:
        world.markings(canvas, camera.travel)
    things = _placed(world.items, camera, time_s)
    if not world.climate.night:
        _cast_shadows(canvas, world.climate, things)
    if world.shell is not None:
        world.shell(canvas, camera.travel)
    scenery = _placed(world.scenery, camera, time_s)
    for group in (scenery, _placed(world.flat, camera, time_s), things):
        for item, place in group:
            item.prop.draw(canvas, place)
    return canvas


def _placed(items: tuple[Item, ...], camera: Camera, time_s: float) -> list[tuple[Item, Placement]]:
    """What is in view, the farthest first."""
    pairs = [(item, item.placement(time_s, camera.travel)) for item in items]
    seen = [pair for pair in pairs if _in_view(camera, *pair)]
    return sorted(seen, key=lambda pair: -pair[1].z)


def _in_view(camera: Camera, item: Item, place: Placement) -> bool:
    reach = item.prop.half_width + item.prop.half_length + 0.5
    nearest = place.z - item.prop.half_length
    if nearest < 2 * NEAR_M:
        return place.z + item.prop.half_length > NEAR_M
    scale = camera.scale(nearest)
    middle = camera.cx + (place.d - camera.lateral + camera.bend * place.z**2) * camera.scale(
        place.z
    )
    outside = max(-middle, middle - camera.width)
    # Long things lie along the line of sight: only their far end decides.
    return outside < reach * scale or item.prop.half_length > 3.0


def _cast_shadows(canvas: Canvas, climate: Climate, things: list[tuple[Item, Placement]]) -> None:
    outlines = []
    for item, place in things:
        prop = item.prop
        if prop.height > 0.0 and place.z > NEAR_M:
            w, a = prop.half_width * 1.05, prop.half_length * 1.05
            foot = to_road(np.array(((-w, 0, -a), (w, 0, -a), (w, 0, a), (-w, 0, a))), place)
            reach = np.array((climate.sun[0], 0.0, climate.sun[1])) * prop.height
            outlines.append(np.vstack((foot, foot + reach)))
    shade_ground(canvas, outlines, 0.35 + 0.3 * climate.sunshine, 2.5 * climate.sunshine)
