"""What stands beyond the roadside: buildings, trees and hedges; none of it is labelled."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sartm_core.data.synthetic.canvas import (
    INVERSE_DEPTH_SCALE,
    NEAR_M,
    Canvas,
    Image,
    Part,
    Points,
    heat_code,
    paint,
    shaded,
)
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.ground import cloud_noise
from sartm_core.data.synthetic.solids import Placement


def wall_grid(
    near: float, far: float, low: float, high: float, pitch: tuple[float, float], fill: float
) -> Points:
    """Window quads [N, 4, 3] on a wall along the road at d = 0, each ``fill`` of its bay wide."""
    bays, floors = int((far - near) / pitch[0]), int((high - low) / pitch[1])
    z = near + pitch[0] * (np.arange(bays) + 0.5)
    y = low + pitch[1] * (np.arange(floors) + 0.5)
    middle = np.stack(np.meshgrid(y, z), axis=-1).reshape(-1, 1, 2)
    half = np.array(((-1, -1), (-1, 1), (1, 1), (1, -1))) * (pitch[1] * 0.25, pitch[0] * fill / 2)
    quads = np.zeros((len(middle), 4, 3))
    quads[:, :, 1:] = middle + half
    return quads


def make_building(rng: np.random.Generator, climate: Climate, length: float) -> Prop:
    """A building along the road, with windows (at night some are lit, some warm)."""
    high = float(rng.uniform(5, 17))
    color = pick(rng, ((165, 150, 135), (140, 90, 70), (190, 188, 182), (110, 112, 118),
                       (200, 180, 140)))  # fmt: skip
    warmth = climate.air + float(rng.uniform(-0.5, 2.5)) + 4.0 * climate.sunshine
    # Some facades stand in the light of lamps.
    floodlit = int(rng.uniform(8, 45)) if climate.night and rng.random() < 0.4 else 0
    wall = paint(color, warmth, glow=floodlit)
    gable = paint(shaded(color, 0.7), warmth - 1.0, glow=floodlit // 2)
    plinth = paint(shaded(color, 0.55), warmth + 1.0, glow=floodlit)
    shop = climate.night and rng.random() < 0.25
    light = pick(rng, ((255, 225, 160), (225, 240, 240), (190, 255, 200)))
    panes = (
        paint((52, 62, 74), warmth - float(rng.uniform(1.0, 4.0)), glow=floodlit),
        paint((60, 68, 78), warmth + float(rng.uniform(1.0, 5.0)), glow=floodlit),
        paint(light, warmth + 4.0, glow=int(rng.uniform(60, 210)) if climate.night else 0),
    )
    windows = wall_grid(
        -length / 2, length / 2, 0.8, high,
        (float(rng.uniform(1.8, 3.2)), float(rng.uniform(2.6, 3.3))), float(rng.uniform(0.4, 0.8)),
    )  # fmt: skip
    shares = (0.7, 0.14, 0.16) if climate.night else (0.7, 0.3, 0.0)
    state = rng.choice(3, size=len(windows), p=shares)
    if shop:
        state[windows[:, 0, 1] < 2.0] = 2
    groups = [(windows[state == value], surface) for value, surface in enumerate(panes)]

    def draw(canvas: Canvas, place: Placement) -> None:
        d, near, far = place.d, place.z - length / 2, place.z + length / 2
        outer = d + (14.0 if d > 0 else -14.0)
        end = np.array(((d, 0, near), (outer, 0, near), (outer, high, near), (d, high, near)))
        side = np.array(((d, 0, near), (d, 0, far), (d, high, far), (d, high, near)))
        base = np.array(((d, 0, near), (d, 0, far), (d, 0.6, far), (d, 0.6, near)))
        parts: list[Part] = [(end, gable)] if near > NEAR_M else []
        canvas.fill([*parts, (side, wall), (base, plinth)])
        for quads, surface in groups:
            canvas.fill_quads(quads + (d, 0.0, place.z), surface)

    return Prop(draw, 0.0, length / 2, 0.0)


@dataclass(frozen=True)
class Stamp:
    """A foliage picture: uint8 [N, N, 4] look and a bool-like mask uint8 [N, N]."""

    look: Image
    mask: Image


def make_foliage(rng: np.random.Generator, climate: Climate, *, round_crown: bool) -> Stamp:
    """Leaves with lit and shaded clumps and a ragged outline."""
    size = 72
    clumps = cloud_noise(rng, size, size, 7).astype(np.float32) - 128.0
    leaves = rng.normal(0.0, 22.0, (size, size)).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    if round_crown:
        edge = 1.0 - np.hypot(axis[None, :], axis[:, None])
    else:
        edge = np.minimum(0.7 + axis[:, None], 1.0 - np.abs(axis[None, :])) * 1.2
    mask = (edge * 110.0 + clumps * 0.8 + leaves * 0.5 > 12.0).astype(np.uint8)
    green = np.array(pick(rng, ((70, 100, 45), (95, 110, 45), (55, 85, 50), (130, 105, 45))))
    light = np.clip(0.8 + clumps / 110.0 + leaves / 190.0 - axis[:, None] * 0.2, 0.15, 1.7)
    look = np.empty((size, size, 4), np.uint8)
    look[..., :3] = np.clip(green * light[..., None], 0, 255)
    mean = heat_code(climate.air + 0.3 + 1.5 * climate.sunshine)
    look[..., 3] = np.clip(mean + clumps * 0.12 + leaves * 0.06, 0, 255)
    return Stamp(look, mask)


def paste(canvas: Canvas, stamp: Stamp, box: tuple[float, float, float, float], z: float) -> None:
    """Paste a stamp into a pixel box (left, top, right, bottom); what is outside is cut."""
    left, top, right, bottom = (round(v) for v in box)
    size = stamp.mask.shape[0]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(canvas.camera.width, right), min(canvas.camera.height, bottom)
    if x1 - x0 < 1 or y1 - y0 < 1:
        return
    columns = ((np.arange(x0, x1) - left) * size) // (right - left)
    rows = ((np.arange(y0, y1) - top) * size) // (bottom - top)
    mask = stamp.mask[rows][:, columns]
    cv2.copyTo(stamp.look[rows][:, columns], mask, canvas.look[y0:y1, x0:x1])
    meta = np.zeros((*mask.shape, 3), np.uint8)
    meta[..., 2] = int(min(255.0, INVERSE_DEPTH_SCALE / z))
    cv2.copyTo(meta, mask, canvas.meta[y0:y1, x0:x1])


def _paste_between(canvas: Canvas, stamp: Stamp, place: Placement, half: float, low: float,
                   high: float) -> None:  # fmt: skip
    if place.z < NEAR_M:
        return
    ends = np.array(((place.d - half, high, place.z), (place.d + half, low, place.z)))
    (left, top), (right, bottom) = canvas.camera.project(ends)
    paste(canvas, stamp, (left, top, right, bottom), place.z)


def make_tree(rng: np.random.Generator, climate: Climate, stamp: Stamp) -> Prop:
    """A tree with a trunk and a crown."""
    high, crown = float(rng.uniform(4.5, 8.0)), float(rng.uniform(1.6, 2.8))
    bark = paint(pick(rng, ((85, 65, 45), (95, 85, 75))), climate.air + 1.2)
    top = high - crown
    trunk: list[Part] = [(np.array(((-0.16, 0), (0.16, 0), (0.1, top), (-0.1, top))), bark)]

    def draw(canvas: Canvas, place: Placement) -> None:
        canvas.fill_figure(trunk, place.d, place.z)
        _paste_between(canvas, stamp, place, crown, high - 2 * crown, high)

    return Prop(draw, 0.15, 0.15, 0.0)


def make_hedge(rng: np.random.Generator, stamp: Stamp) -> Prop:
    """A bush or a length of hedge."""
    half, high = float(rng.uniform(0.9, 1.8)), float(rng.uniform(0.8, 1.7))

    def draw(canvas: Canvas, place: Placement) -> None:
        _paste_between(canvas, stamp, place, half, -0.05, high)

    return Prop(draw, half, half, high)
