"""The two cameras: a painted canvas in, RGB and thermal pictures out."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.data.synthetic.canvas import (
    CELSIUS_MIN,
    CODES_PER_CELSIUS,
    INVERSE_DEPTH_SCALE,
    NEAR_M,
    Canvas,
    Image,
)
from sartm_core.data.synthetic.world import RING_M, Optics, World

_Float = npt.NDArray[np.float32]
# Light that spreads (pools of lamps, bloom) is computed at a quarter of the size.
_COARSE = 4


def _noise(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> _Float:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def expose_rgb(world: World, canvas: Canvas, rng: np.random.Generator) -> Image:
    """The RGB picture, uint8 [H, W, 3]."""
    optics, camera = world.optics, canvas.camera
    size = (camera.width, camera.height)
    # The lens softens edges. Planes come first: NumPy broadcasts over them much faster.
    soft = 0.55 * max(1.0, camera.width / 320.0)
    look = _planes(cv2.GaussianBlur(canvas.look, (0, 0), soft))
    picture = look * _light(world, canvas)
    if canvas.meta[..., 1].any():
        glow = cv2.GaussianBlur(np.ascontiguousarray(canvas.meta[..., 1]), (0, 0), soft)
        emission = np.asarray(glow, np.float32) * np.float32(1 / 255)
        emitted = look * emission
        picture += emitted
        for plane, lamps in zip(picture, emitted, strict=True):
            plane += _bloom(lamps * emission) * np.float32(optics.bloom)
    if optics.haze:
        veil = _by_depth(canvas, 1.0 - np.exp(-optics.haze * _DEPTHS))
        air = np.array(optics.haze_color, np.float32)[:, None, None] * np.float32(optics.ambient)
        picture += (air - picture) * veil
    # Luminance noise dominates; at night coarse chroma noise rides on it.
    picture += _noise(rng, size[::-1], optics.rgb_noise) + np.float32(optics.black_level)
    if world.climate.night:
        coarse = (3, -(-camera.height // 2), -(-camera.width // 2))
        for plane, chroma in zip(picture, _noise(rng, coarse, optics.rgb_noise * 0.8), strict=True):
            plane += cv2.resize(chroma, size, interpolation=cv2.INTER_NEAREST)
    np.clip(picture, 0, 255, out=picture)
    return np.asarray(cv2.merge(list(picture.astype(np.uint8))), np.uint8)


# Metres of each inverse-depth code; code 0 (sky) is far away.
_DEPTHS = INVERSE_DEPTH_SCALE / np.maximum(np.arange(256), 5.0)


def _planes(look: npt.NDArray[Any]) -> _Float:
    """RGB planes, float32 [3, H, W], of an interleaved picture."""
    return np.stack(cv2.split(look)[:3]).astype(np.float32)


def _by_depth(canvas: Canvas, table: npt.NDArray[np.float64]) -> _Float:
    """A quantity that depends on depth alone, float32 [H, W], from its 256 values."""
    depth = np.ascontiguousarray(canvas.meta[..., 2])
    return np.asarray(cv2.LUT(depth, table.astype(np.float32)), np.float32)


def _light(world: World, canvas: Canvas) -> _Float:
    """Light that falls on the scene, float32 [3, H, W], or [3, 1, 1] where it is even."""
    optics = world.optics
    light = np.array(optics.tint, np.float32)[:, None, None] * np.float32(optics.ambient)
    if optics.headlight:
        light = light + _by_depth(canvas, optics.headlight * (2.0 / _DEPTHS) ** 1.5)
    if world.lights:
        color = np.array(world.lights[0].color, np.float32)[:, None, None] * np.float32(1 / 255)
        light = light + _lamp_pools(world, canvas) * color
    return np.asarray(light, np.float32)


def _lamp_pools(world: World, canvas: Canvas) -> _Float:
    """Light of street lamps on what is around them, float32 [H, W]."""
    camera = canvas.camera
    pools = np.zeros((-(-camera.height // _COARSE), -(-camera.width // _COARSE)), np.float32)
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for light in world.lights:
        z = (light.s - camera.travel) % RING_M
        ring = np.stack((light.d + 2.5 * np.cos(angle), np.zeros(16), z + 2.5 * np.sin(angle)), 1)
        ring[:, 2] = np.maximum(ring[:, 2], 2 * NEAR_M)
        pool = np.zeros_like(pools)
        cv2.fillPoly(
            pool, [np.rint(camera.project(ring) / _COARSE).astype(np.int32)], light.strength
        )
        # The ground is seen at a grazing angle: light spreads sideways more than up.
        spread = max(1.0, 1.2 * camera.scale(max(z, 2.0)) / _COARSE)
        pools += cv2.GaussianBlur(pool, (0, 0), sigmaX=spread, sigmaY=max(1.0, spread * 0.3))
    return np.asarray(cv2.resize(pools, (camera.width, camera.height)), np.float32)


def _bloom(emitted: _Float) -> _Float:
    """Light that lamps scatter in the lens, float32 [H, W] as the emission itself."""
    height, width = emitted.shape
    size = (-(-width // _COARSE), -(-height // _COARSE))
    coarse = cv2.resize(emitted, size, interpolation=cv2.INTER_AREA)
    unit = size[0] / 80.0
    # Lamps are far brighter than the picture's white: the halo is what is left of that.
    halo = cv2.GaussianBlur(coarse, (0, 0), 1.3 * unit) * 2.0
    halo += cv2.GaussianBlur(coarse, (0, 0), 6.0 * unit) * 3.0
    streak = cv2.GaussianBlur(coarse, (0, 0), sigmaX=9.0 * unit, sigmaY=0.5) * 0.6
    return np.asarray(cv2.resize(halo + streak, (width, height)), np.float32)


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
