"""Exposure, motion and noise."""

from __future__ import annotations

import math

import cv2
import numpy as np

from sartm_core.evaluation.corruptions.pixels import (
    Float,
    Views,
    blur,
    display,
    heat_range,
    like,
    linear,
    noise,
    scaled,
    to_uint8,
)
from sartm_core.frames import Image, ThermalImage

_FULL_WELL = 4000  # electrons of a white pixel
_READ_NOISE = 1.4e-3  # of white


def low_light(views: Views, exposure: float, rng: np.random.Generator) -> Views:
    """A share of the light, with the shot and read noise of a camera that gets no more."""
    rgb, thermal, valid = views
    light = linear(rgb) * np.float32(exposure)
    light += noise(rng, rgb.shape) * np.sqrt(light / _FULL_WELL + np.float32(_READ_NOISE**2))
    return display(light), thermal, valid


def over_exposure(views: Views, exposure: float, rng: np.random.Generator) -> Views:
    """Too much light: clipped, and what is beyond white spreads around it."""
    rgb, thermal, valid = views
    light = linear(rgb) * np.float32(exposure)
    excess = np.clip(light - 1, 0, 6)
    light += 0.15 * blur(excess, scaled(10, rgb)) + 0.1 * blur(excess, scaled(40, rgb))
    return display(light), thermal, valid


def motion_blur(views: Views, length: float, rng: np.random.Generator) -> Views:
    """The cameras turn during the exposure, mostly sideways."""
    rgb, thermal, valid = views
    angle = rng.normal(0, 0.25)
    return (
        to_uint8(_smear(rgb, length, angle)),
        like(thermal, _smear(thermal, length, angle)),
        valid,
    )


def sensor_noise(views: Views, level: float, rng: np.random.Generator) -> Views:
    """High gain: shot noise in RGB; pixel and column noise in thermal, relative to its range."""
    rgb, thermal, valid = views
    light = rgb.astype(np.float32)
    light += noise(rng, rgb.shape) * np.float32(level) * (0.5 + 0.5 * np.sqrt(light / 255))
    heat = thermal.astype(np.float32)
    _, span = heat_range(heat, valid)
    heat += noise(rng, heat.shape) * np.float32(0.0025 * level) * span
    heat += noise(rng, (1, heat.shape[1])) * np.float32(0.001 * level) * span
    return to_uint8(light), like(thermal, heat), valid


def _smear(image: Image | ThermalImage, length: float, angle: float) -> Float:
    """The mean along a line; its kernel is drawn at four times the size."""
    length = scaled(length, image)
    side = 2 * math.ceil(length / 2) + 1
    fine = np.zeros((4 * side, 4 * side), np.uint8)
    centre, step = 2 * side - 0.5, 2 * length * np.array((math.cos(angle), math.sin(angle)))
    start, end = (tuple(int(value) for value in np.rint(centre + s * step)) for s in (-1, 1))
    cv2.line(fine, start, end, 255, 4)
    kernel = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    smeared = cv2.filter2D(
        image.astype(np.float32), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(smeared, np.float32)
