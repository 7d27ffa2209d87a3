"""Ground and sky: what every pixel shows before anything is painted on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.data.synthetic.canvas import (
    CODES_PER_CELSIUS,
    INVERSE_DEPTH_SCALE,
    NEAR_M,
    Camera,
    Canvas,
    Color,
    Image,
    Points,
    circle,
    heat_code,
    paint,
)
from sartm_core.data.synthetic.climate import Climate

Field = npt.NDArray[np.float32]

# The lateral profile of the ground: 1024 strips of 5 cm about the road's centre line.
STRIP_M = 0.05
STRIPS = 1024
TEXTURE_M = 8.0
_TEXTURE_SIZE = 256


def cloud_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Image:
    """Smooth noise uint8 [height, width] of mean about 128 in three octaves."""
    total = np.full((height, width), 128.0, np.float32)
    for octave in (1, 2, 4):
        coarse = rng.standard_normal((cells * octave, cells * octave), dtype=np.float32)
        total += cv2.resize(coarse * np.float32(34.0 / octave), (width, height))
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def ground_texture(rng: np.random.Generator) -> Image:
    """A tile of 8 x 8 m of grain, patches and cracks, uint8, mean about 128; it repeats."""
    size = _TEXTURE_SIZE
    coarse = np.pad(rng.normal(0.0, 14.0, (8, 8)).astype(np.float32), 1, mode="wrap")
    margin = size // 8
    patches = cv2.resize(coarse, (size + 2 * margin, size + 2 * margin))[
        margin:-margin, margin:-margin
    ]
    tile: Field = np.array(patches, np.float32)
    tile += rng.standard_normal((size, size), dtype=np.float32) * np.float32(16.0) + 128.0
    for _ in range(3):
        walk = np.cumsum(rng.normal(0, 9, (12, 2)), axis=0) + rng.uniform(0, size, 2)
        cv2.polylines(tile, [walk.astype(np.int32)], False, 85.0, 1)
    return np.asarray(np.clip(tile, 0, 255), np.uint8)


def ground_profile(bands: list[tuple[float, float, Color, float]]) -> Image:
    """Ground strips uint8 [1024, 4] from bands (from d, to d, colour, Celsius), in order."""
    profile = np.zeros((STRIPS, 4), np.uint8)
    for start, stop, color, celsius in bands:
        i, j = (round(d / STRIP_M) + STRIPS // 2 for d in (start, stop))
        profile[max(0, i) : max(0, j)] = (*color, heat_code(celsius))
    return profile


def ground_top(camera: Camera) -> int:
    """The first row of ground: 200 m ahead."""
    row = math.ceil(camera.horizon + camera.focal * camera.mount / 200.0)
    return min(camera.height - 1, max(0, row))


def draw_ground(canvas: Canvas, profile: Image, texture: Image, roughness: float) -> None:
    """Lay the strips of ``profile`` (RGB, heat) and their texture on the rows below the horizon."""
    camera = canvas.camera
    top = ground_top(camera)
    z, d = _road_coordinates(camera, top)
    strips = d * np.float32(1 / STRIP_M) + np.float32(STRIPS / 2)
    np.clip(strips, 0, STRIPS - 1, out=strips)
    look = cv2.remap(profile[None], strips, np.zeros_like(d), cv2.INTER_NEAREST)
    per_m = np.float32(_TEXTURE_SIZE / TEXTURE_M)
    along = np.repeat(((z + np.float32(camera.travel)) % TEXTURE_M) * per_m, camera.width, axis=1)
    across = (d % np.float32(TEXTURE_M)) * per_m
    grain = np.asarray(
        cv2.remap(texture, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32
    )
    grain -= 128.0
    # Fine texture averages out with distance.
    fade = (roughness / 128.0) * np.minimum(1.0, 6.0 / z)
    gain = grain * fade + 1.0
    warmth = grain * np.float32(0.0003) + 1.0
    canvas.look[top:] = cv2.multiply(look, cv2.merge([gain] * 3 + [warmth]), dtype=cv2.CV_8U)
    canvas.meta[top:, :, 2] = np.minimum(255.0, INVERSE_DEPTH_SCALE / z)


def _road_coordinates(camera: Camera, top: int) -> tuple[Field, Field]:
    """Distance [R, 1] and lateral position [R, W] of the ground's pixels from a row on."""
    rows = np.arange(top, camera.height, dtype=np.float32)[:, None] + np.float32(0.5)
    z = np.asarray(camera.focal * camera.mount / (rows - camera.horizon), np.float32)
    u = np.arange(camera.width, dtype=np.float32)[None, :] + np.float32(0.5 - camera.cx)
    d = u * (z * np.float32(1 / camera.focal))
    d += np.float32(camera.lateral) - np.float32(camera.bend) * z * z
    return z, d


def shade_ground(canvas: Canvas, outlines: list[Points], strength: float, cooling: float) -> None:
    """Darken the ground inside road polygons [N, 3] (their convex hulls): shadows.

    ``strength`` is the share of light kept away, ``cooling`` the Celsius lost in full shadow.
    """
    camera = canvas.camera
    shadow = np.zeros((camera.height, camera.width), np.uint8)
    for outline in outlines:
        ahead = outline.copy()
        ahead[:, 2] = np.maximum(ahead[:, 2], NEAR_M)
        hull = cv2.convexHull(np.rint(camera.project(ahead)).astype(np.int32))
        cv2.fillConvexPoly(shadow, hull, round(255 * strength))
    shadow = np.asarray(cv2.blur(shadow, (3, 3)), np.uint8)
    nothing = np.zeros_like(shadow)
    light = cv2.merge([255 - shadow] * 3 + [nothing + 255])
    cooled = cv2.convertScaleAbs(shadow, alpha=CODES_PER_CELSIUS * cooling / 255)
    cv2.multiply(canvas.look, light, dst=canvas.look, scale=1 / 255)
    cv2.subtract(canvas.look, cv2.merge([nothing] * 3 + [cooled]), dst=canvas.look)


@dataclass(frozen=True)
class Sky:
    """Clouds uint8 [H, W], the colours above and at the horizon, and the sun, if it is in view.

    ``glow`` is the light that a night sky over a town gives off (0..255).
    """

    clouds: Image
    zenith: Color
    rim: Color
    cloud: Color
    glow: int
    sun: tuple[float, float] | None


def draw_sky(canvas: Canvas, sky: Sky, climate: Climate) -> None:
    """A sky with a gradient and clouds, cold above and warmer towards the horizon."""
    camera = canvas.camera
    height = max(1, ground_top(camera))
    rise = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    cover = np.clip((sky.clouds[:height].astype(np.float32) - 118.0) * (1 / 70.0), 0.0, 1.0)
    cover *= 1.0 - 0.5 * rise
    for channel in range(3):
        base = sky.zenith[channel] + (sky.rim[channel] - sky.zenith[channel]) * rise
        canvas.look[:height, :, channel] = base + (sky.cloud[channel] - base) * cover
    # The dome of the sky is far below the air's temperature; clouds are nearer to it.
    celsius = climate.air - 16.0 + 9.0 * rise + 5.0 * cover
    canvas.look[:height, :, 3] = np.clip((celsius + 16.0) * 4.0, 0, 255)
    canvas.meta[:height, :, 1] = sky.glow * rise**2
    if sky.sun is not None:
        # 50 m away, so that it moves with the camera's bobbing as all far things do.
        d, up = sky.sun
        disc = paint((255, 250, 235), 60.0, glow=255)
        canvas.fill_figure([(circle(1.6) + (0.0, up), disc)], camera.lateral + d, 50.0)
