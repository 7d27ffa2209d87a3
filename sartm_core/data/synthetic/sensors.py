"""The two cameras: a painted canvas in, RGB and thermal pictures out."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.data.synthetic.canvas import (
    CELSIUS_MIN,
    CODES_PER_CELSIUS,
    INVERSE_DEPTH_SCALE,
    Canvas,
    Image,
)
from sartm_core.data.synthetic.world import Optics, World

_Float = npt.NDArray[np.float32]
# Light that spreads (pools of lamps, bloom) is computed at a quarter of the size.
_COARSE = 4


def _noise(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> _Float:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def _lamp_pools(world: World, canvas: Canvas) -> _Float:
    """Light of street lamps on what is around them, float32 [H / 4, W / 4, 3]."""
    camera = canvas.camera
    shape = (-(-camera.height // _COARSE), -(-camera.width // _COARSE), 3)
    pools = np.zeros(shape, np.float32)
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for light in world.lights:
        z = (light.s - camera.travel) % 56.0
        ring = np.stack((light.d + 2.5 * np.cos(angle), angle * 0,
                         np.maximum(0.6, z + 2.5 * np.sin(angle))), 1)  # fmt: skip
        pixels = np.rint(camera.project(ring) / _COARSE).astype(np.int32)
        pool = np.zeros(shape[:2], np.float32)
        cv2.fillPoly(pool, [pixels], light.strength)
        pool = cv2.GaussianBlur(pool, (0, 0), max(1.0, 1.2 * camera.scale(max(z, 2.0)) / _COARSE))
        pools += pool[..., None] * (np.array(light.color, np.float32) / 255)
    return pools


def expose_rgb(world: World, canvas: Canvas, rng: np.random.Generator) -> Image:
    """The RGB picture, uint8 [H, W, 3]."""
    optics, camera = world.optics, canvas.camera
    height, width = camera.height, camera.width
    look = canvas.look[..., :3].astype(np.float32)
    inverse_depth = canvas.meta[..., 2].astype(np.float32)
    light: _Float = np.full((height, width, 3), np.array(optics.tint) * optics.ambient, np.float32)
    if world.lights:
        light += cv2.resize(_lamp_pools(world, canvas), (width, height))
    if optics.headlight:
        light += (optics.headlight * (inverse_depth * (1 / 255.0)) ** 1.5)[..., None]
    picture = look * light
    glow = canvas.meta[..., 1]
    if glow.any():
        emitted = look * (glow.astype(np.float32) * (1.2 / 255.0))[..., None]
        size = (-(-width // _COARSE), -(-height // _COARSE))
        coarse = cv2.resize(emitted, size, interpolation=cv2.INTER_AREA)
        unit = size[0] / 80.0
        bloom = cv2.GaussianBlur(coarse, (0, 0), 1.2 * unit) * 0.9
        bloom += cv2.GaussianBlur(coarse, (0, 0), 5.0 * unit) * 1.2
        picture += emitted + cv2.resize(bloom * optics.bloom, (width, height))
    if optics.haze and not world.climate.night:
        depth = INVERSE_DEPTH_SCALE / np.maximum(inverse_depth, 5.0)
        veil = (1.0 - np.exp(-optics.haze * depth))[..., None]
        picture += (np.array(optics.haze_color, np.float32) * optics.ambient - picture) * veil
    picture = cv2.GaussianBlur(picture, (0, 0), 0.55 * max(1.0, width / 320.0))
    # Luminance noise dominates; a little chroma noise rides on it.
    picture += _noise(rng, (height, width, 1), optics.rgb_noise) + optics.black_level
    if world.climate.night:
        picture += _noise(rng, (height, width, 3), optics.rgb_noise * 0.6)
    return np.clip(picture, 0, 255).astype(np.uint8)


def expose_thermal(optics: Optics, canvas: Canvas, rng: np.random.Generator) -> Image:
    """The thermal picture, uint8 [H, W], white = hot, with the world's automatic gain."""
    heat = cv2.GaussianBlur(canvas.look[..., 3].astype(np.float32), (0, 0), optics.thermal_blur)
    low, high = optics.thermal_window
    dark, bright = optics.thermal_levels
    gain = (bright - dark) / (high - low)
    # Code -> Celsius -> grey level, in one line.
    picture = heat * (gain / CODES_PER_CELSIUS) + (dark + (CELSIUS_MIN - low) * gain)
    picture += (optics.thermal_drift.astype(np.float32) - 128.0) * 0.06
    picture += _noise(rng, heat.shape, optics.thermal_noise)
    picture += _noise(rng, (1, heat.shape[1]), optics.thermal_noise * 0.35)
    return np.clip(picture, 0, 255).astype(np.uint8)


def view_thermal(thermal: Image, shift: tuple[float, float], field: float) -> tuple[Image, Image]:
    """Move the thermal picture by (right, down) pixels and cut its field of view.

    Returns the picture and its validity, both uint8 [H, W]: 0 where the camera does not look.
    """
    height, width = thermal.shape
    valid = np.zeros_like(thermal)
    dy, dx = round(height * (1 - field) / 2), round(width * (1 - field) / 2)
    valid[dy : height - dy, dx : width - dx] = 1
    if shift != (0.0, 0.0):
        matrix = np.array(((1, 0, shift[0]), (0, 1, shift[1])), np.float32)
        thermal = cv2.warpAffine(thermal, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        valid = cv2.warpAffine(valid, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return thermal * valid, valid
