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
from sartm_core.data.synthetic.world import RING_M, Optics, World

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
        z = (light.s - camera.travel) % RING_M
        ring = np.stack((light.d + 2.5 * np.cos(angle), angle * 0,
                         np.maximum(0.6, z + 2.5 * np.sin(angle))), 1)  # fmt: skip
        pixels = np.rint(camera.project(ring) / _COARSE).astype(np.int32)
        pool = np.zeros(shape[:2], np.float32)
        cv2.fillPoly(pool, [pixels], light.strength)
        # The ground is seen at a grazing angle: light spreads sideways more than up.
        spread = max(1.0, 1.2 * camera.scale(max(z, 2.0)) / _COARSE)
        pool = cv2.GaussianBlur(pool, (0, 0), sigmaX=spread, sigmaY=max(1.0, spread * 0.3))
        pools += pool[..., None] * (np.array(light.color, np.float32) / 255)
    return pools


def _bloom(emitted: _Float) -> _Float:
    """Light that lamps scatter in the lens, float32 [H, W, 3] as the emission itself."""
    height, width = emitted.shape[:2]
    size = (-(-width // _COARSE), -(-height // _COARSE))
    coarse = cv2.resize(emitted, size, interpolation=cv2.INTER_AREA)
    unit = size[0] / 80.0
    # Lamps are far brighter than the picture's white: the halo is what is left of that.
    halo = cv2.GaussianBlur(coarse, (0, 0), 1.3 * unit) * 2.0
    halo += cv2.GaussianBlur(coarse, (0, 0), 6.0 * unit) * 3.0
    streak = cv2.GaussianBlur(coarse, (0, 0), sigmaX=9.0 * unit, sigmaY=0.5) * 0.6
    return np.asarray(cv2.resize(halo + streak, (width, height)), np.float32)


def expose_rgb(world: World, canvas: Canvas, rng: np.random.Generator) -> Image:
    """The RGB picture, uint8 [H, W, 3]."""
    optics, camera = world.optics, canvas.camera
    height, width = camera.height, camera.width
    look = np.asarray(canvas.look[..., :3], np.float32)
    picture = look * _light(world, canvas)
    emission = canvas.meta[..., 1].astype(np.float32) * np.float32(1 / 255.0)
    if emission.any():
        picture += look * emission[..., None]
        picture += _bloom(look * (emission**2)[..., None]) * np.float32(optics.bloom)
    if optics.haze:
        air = np.array(optics.haze_color, np.float32) * np.float32(optics.ambient)
        picture += (air - picture) * _by_depth(canvas, 1.0 - np.exp(-optics.haze * _DEPTHS))
    soft = cv2.GaussianBlur(picture, (0, 0), 0.55 * max(1.0, width / 320.0))
    # Luminance noise dominates; at night coarse chroma noise rides on it.
    noise = _noise(rng, (height, width), optics.rgb_noise) + np.float32(optics.black_level)
    picture = np.asarray(soft, np.float32) + noise[..., None]
    if world.climate.night:
        chroma = _noise(rng, (-(-height // 2), -(-width // 2), 3), optics.rgb_noise * 0.8)
        picture += cv2.resize(chroma, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


# Metres of each inverse-depth code; code 0 (sky) is far away.
_DEPTHS = INVERSE_DEPTH_SCALE / np.maximum(np.arange(256), 5.0)


def _by_depth(canvas: Canvas, table: npt.NDArray[np.float64]) -> _Float:
    """A quantity that depends on depth alone, float32 [H, W, 1], from its 256 values."""
    return np.asarray(table, np.float32)[canvas.meta[..., 2]][..., None]


def _light(world: World, canvas: Canvas) -> _Float:
    """Light that falls on the scene, float32 [H, W, 3], or [1, 1, 3] where it is even."""
    optics, camera = world.optics, canvas.camera
    light = (np.array(optics.tint, np.float32) * np.float32(optics.ambient))[None, None]
    if optics.headlight:
        light = light + _by_depth(canvas, optics.headlight * (2.0 / _DEPTHS) ** 1.5)
    if world.lights:
        light = light + cv2.resize(_lamp_pools(world, canvas), (camera.width, camera.height))
    return np.asarray(light, np.float32)


def expose_thermal(optics: Optics, canvas: Canvas, rng: np.random.Generator) -> Image:
    """The thermal picture, uint8 [H, W], white = hot, with the world's automatic gain."""
    codes = np.asarray(canvas.look[..., 3], np.float32)
    heat = np.asarray(cv2.GaussianBlur(codes, (0, 0), optics.thermal_blur), np.float32)
    low, high = optics.thermal_window
    dark, bright = optics.thermal_levels
    gain = (bright - dark) / (high - low)
    # Code -> Celsius -> grey level, in one line.
    heat = heat * np.float32(gain / CODES_PER_CELSIUS)
    heat += np.float32(dark + (CELSIUS_MIN - low) * gain)
    heat += (np.asarray(optics.thermal_drift, np.float32) - 128.0) * np.float32(0.06)
    heat += _noise(rng, heat.shape, optics.thermal_noise)
    heat += _noise(rng, (1, heat.shape[1]), optics.thermal_noise * 0.35)
    return np.asarray(np.clip(heat, 0, 255), np.uint8)


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
        size = (width, height)
        moved = cv2.warpAffine(thermal, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        thermal = np.asarray(moved, np.uint8)
        valid = np.asarray(cv2.warpAffine(valid, matrix, size, flags=cv2.INTER_NEAREST), np.uint8)
    return thermal * valid, valid
