"""Fog and rain, in both cameras."""

from __future__ import annotations

import math

import cv2
import numpy as np

from sartm_core.evaluation.corruptions.pixels import (
    Float,
    Views,
    blur,
    like,
    scaled,
    slow_field,
    to_uint8,
)

_HORIZON = 0.45  # of the height
_GROUND_M = 2.5  # distance of the ground one height below the horizon
_FAR_M = 25.0
_KOSCHMIEDER = 3.912  # contrast falls to 2 % at the distance of visibility
_THERMAL_EXTINCTION = 0.4  # of long-wave infrared in fog, relative to visible light


def fog(views: Views, visibility: float, rng: np.random.Generator) -> Views:
    """Koschmieder's law over a flat ground: what is higher in the image is farther away.

    Distance is bounded, as a tree or a person is nearer than the ground behind it.
    """
    rgb, thermal, valid = views
    height, width = rgb.shape[:2]
    below = np.maximum(np.linspace(0, 1, height) - _HORIZON, 1e-3)
    distance = np.minimum(_GROUND_M / below, _FAR_M).astype(np.float32)[:, None]
    density = 1 + 0.3 * slow_field((height, width), 4, rng)
    clear = blur(np.exp(-_KOSCHMIEDER / visibility * distance * density), scaled(12, rgb))
    light = rgb.astype(np.float32)
    # By day the air is about as bright as the sky; by night it is dark, and glows around lamps.
    sky = np.sqrt(np.percentile(light.mean(axis=2), 98) * 2 * light.mean()).astype(np.float32)
    glow = blur(np.maximum(light - sky, 0).mean(axis=2), scaled(22, rgb))
    air = (sky + 3 * glow)[..., None]
    foggy = air + (light - air) * clear[..., None]
    heat = thermal.astype(np.float32)
    size = (thermal.shape[1], thermal.shape[0])
    kept = cv2.resize(clear, size) ** np.float32(_THERMAL_EXTINCTION)
    ambient = np.float32(np.median(heat))
    return to_uint8(foggy), like(thermal, ambient + (heat - ambient) * kept), valid


def rain(views: Views, amount: float, rng: np.random.Generator) -> Views:
    """A veil, streaks and drops on the lens; wet surfaces are alike in temperature."""
    rgb, thermal, valid = views
    light = rgb.astype(np.float32)
    sky = np.float32(0.7 * np.percentile(light.mean(axis=2), 90) + 15)
    light += (sky - light) * np.float32(0.25 * amount)
    slant = rng.uniform(-0.3, 0.3)
    far, near, lens = (np.random.default_rng(rng.integers(2**63)) for _ in range(3))
    # A drop shows a wide piece of its surroundings: brighter than what is dark behind it.
    drop = np.maximum(1.2 * blur(light, scaled(25, rgb)), 0.9 * sky) + 28
    light += (drop - light) * 0.45 * _streaks(light, round(1800 * amount), 14, 1.0, slant, far)
    light += (drop - light) * 0.5 * _streaks(light, round(260 * amount), 52, 1.8, slant, near)
    wet = _drops_on_lens(light, round(16 * amount), lens)
    light += (1.05 * blur(light, scaled(9, rgb)) + 6 - light) * wet
    heat = thermal.astype(np.float32)
    soft = blur(heat, scaled(1.6 * amount, thermal))
    soft += (np.float32(np.median(heat)) - soft) * np.float32(0.45 * amount)
    return to_uint8(light), like(thermal, soft), valid


def _streaks(
    light: Float, count: int, length: float, width: float, slant: float, rng: np.random.Generator
) -> Float:
    """float32 [H,W,1] 0..1: the paths of falling drops during the exposure."""
    fine = 2  # drawn at twice the size: streaks are thinner than a pixel
    height, across = light.shape[0], light.shape[1]
    canvas = np.zeros((fine * height, fine * across), np.uint8)
    unit = fine * scaled(1, light)
    # One row of draws for each drop: fewer drops are the first of more.
    for x, y, long, turn, level in rng.random((count, 5)):
        start = np.array((1.2 * x - 0.1, 1.2 * y - 0.15)) * (fine * across, fine * height)
        angle = slant + 0.06 * (turn - 0.5)
        path = length * unit * (0.5 + long) * np.array((math.sin(angle), math.cos(angle)))
        ends = [tuple(int(value) for value in end) for end in (start, start + path)]
        thickness = max(1, round(width * unit))
        cv2.line(canvas, ends[0], ends[1], float(90 + 165 * level), thickness, cv2.LINE_AA)
    layer = cv2.resize(canvas, (across, height), interpolation=cv2.INTER_AREA)
    return blur(layer.astype(np.float32) / np.float32(255), 0.5)[..., None]


def _drops_on_lens(light: Float, count: int, rng: np.random.Generator) -> Float:
    """float32 [H,W,1] 0..1: where drops, far out of focus, blur the image."""
    height, width = light.shape[:2]
    inside = np.zeros((height, width), np.float32)
    for x, y, size, stretch in rng.random((count, 4)):
        radius = scaled(7 + 22 * size, light)
        axes = (max(1, round(radius)), max(1, round(radius * (0.9 + 0.5 * stretch))))
        cv2.ellipse(inside, (int(x * width), int(y * height)), axes, 0, 0, 360, 1.0, cv2.FILLED)
    return blur(inside, scaled(4, light))[..., None]
