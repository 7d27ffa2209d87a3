"""What lies behind and under the objects: sky, ground, buildings, trees, halls."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.data.synthetic.canvas import (
    FAR_M,
    INVERSE_DEPTH_SCALE,
    Camera,
    Canvas,
    Color,
    Image,
    Paint,
    Points,
    heat_code,
    paint,
    shaded,
)
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.solids import Placement, upright

# The lateral profile of the ground: 1024 strips of 5 cm about the road's centre line.
STRIP_M = 0.05
STRIPS = 1024
TEXTURE_M = 8.0
_TEXTURE_SIZE = 256


def cloud_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Image:
    """Smooth noise uint8 [height, width] of mean about 128 in three octaves."""
    total = np.zeros((height, width), np.float32)
    for octave in (1, 2, 4):
        coarse = rng.normal(0.0, 34.0 / octave, (cells * octave, cells * octave))
        total += cv2.resize(coarse.astype(np.float32), (width, height))
    return np.clip(total + 128.0, 0, 255).astype(np.uint8)


def ground_texture(rng: np.random.Generator) -> Image:
    """A tile of 8 x 8 m of grain, patches and cracks, uint8, mean about 128; it repeats."""
    size = _TEXTURE_SIZE
    grain = rng.normal(0.0, 16.0, (size, size)).astype(np.float32)
    patches = rng.normal(0.0, 1.0, (size, size)).astype(np.float32)
    patches = cv2.GaussianBlur(np.tile(patches, (3, 3)), (0, 0), 14)[
        size : 2 * size, size : 2 * size
    ]
    tile = 128.0 + grain + patches * (12.0 / max(float(patches.std()), 1e-6))
    for _ in range(3):
        walk = np.cumsum(rng.normal(0, 9, (12, 2)), axis=0) + rng.uniform(0, size, 2)
        cv2.polylines(tile, [walk.astype(np.int32)], False, 85.0, 1)
    return np.clip(tile, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class GroundView:
    """Road coordinates of the pixels below the horizon."""

    top: int
    z: npt.NDArray[np.float32]
    d: npt.NDArray[np.float32]
    s: npt.NDArray[np.float32]


def ground_view(camera: Camera) -> GroundView:
    """Distance [R, 1], lateral position [R, W] and road length [R, 1] of the ground's pixels."""
    top = max(0, int(np.ceil(camera.horizon + camera.focal * camera.mount / 200.0)))
    rows = np.arange(top, camera.height, dtype=np.float32)[:, None] + 0.5
    z = (camera.focal * camera.mount / (rows - camera.horizon)).astype(np.float32)
    u = np.arange(camera.width, dtype=np.float32)[None, :] + (0.5 - camera.cx)
    d = u * (z / camera.focal) + (camera.lateral - camera.bend * z * z)
    return GroundView(top, z, d.astype(np.float32), z + np.float32(camera.travel))


def draw_ground(
    canvas: Canvas, view: GroundView, profile: Image, texture: Image, roughness: float
) -> None:
    """Lay the strips of ``profile`` uint8 [1024, 4] (RGB, heat) and their texture."""
    index = ((view.d + STRIP_M * STRIPS / 2) * (1 / STRIP_M)).astype(np.int32)
    np.clip(index, 0, STRIPS - 1, out=index)
    look = cv2.remap(
        profile[None], index.astype(np.float32), np.zeros_like(view.d), cv2.INTER_NEAREST
    )
    per_m = _TEXTURE_SIZE / TEXTURE_M
    lengths = np.broadcast_to((view.s % TEXTURE_M) * per_m, view.d.shape).astype(np.float32)
    across = (view.d % TEXTURE_M) * np.float32(per_m)
    grain = cv2.remap(texture, across, lengths, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    # Fine texture averages out with distance.
    fade = roughness * np.minimum(1.0, 6.0 / view.z)
    gain = 1.0 + (grain.astype(np.float32) - 128.0) * (fade / 128.0)
    rows = canvas.look[view.top :]
    rows[..., :3] = np.clip(look[..., :3] * gain[..., None], 0, 255)
    rows[..., 3] = look[..., 3] + ((grain >> 5).astype(np.int8) - 4).astype(np.uint8)
    canvas.meta[view.top :, :, 2] = np.minimum(255.0, INVERSE_DEPTH_SCALE / view.z)


def draw_sky(canvas: Canvas, clouds: Image, climate: Climate, zenith: Color, rim: Color) -> None:
    """A sky with a gradient and clouds, cold above and warmer towards the horizon."""
    height = min(canvas.camera.height, max(1, int(canvas.camera.horizon) + 2))
    rise = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    cover = np.clip((clouds[:height].astype(np.float32) - 118.0) / 70.0, 0.0, 1.0)
    cover *= 1.0 - 0.5 * rise
    for channel in range(3):
        base = zenith[channel] + (rim[channel] - zenith[channel]) * rise
        white = 24.0 if climate.night else 238.0
        canvas.look[:height, :, channel] = base + (white - base) * cover
    cold = climate.air - 16.0 + 9.0 * rise + 5.0 * cover
    canvas.look[:height, :, 3] = np.clip((cold + 16.0) * 4.0, 0, 255)


def wall_grid(d: float, near: float, far: float, low: float, high: float,
              pitch: tuple[float, float], fill: tuple[float, float]) -> list[Points]:  # fmt: skip
    """Window quads [4, 3] on a wall along the road at lateral position ``d``."""
    quads = []
    bays, floors = int((far - near) / pitch[0]), int((high - low) / pitch[1])
    for bay in range(bays):
        z0 = near + pitch[0] * (bay + 0.5 - fill[0] / 2)
        z1 = z0 + pitch[0] * fill[0]
        for floor in range(floors):
            y0 = low + pitch[1] * (floor + 0.5 - fill[1] / 2)
            y1 = y0 + pitch[1] * fill[1]
            quads.append(np.array(((d, y0, z0), (d, y0, z1), (d, y1, z1), (d, y1, z0))))
    return quads


def make_building(rng: np.random.Generator, climate: Climate, length: float) -> Prop:
    """A building along the road, with windows (at night some are lit, some warm)."""
    high = float(rng.uniform(5, 17))
    color = pick(rng, ((165, 150, 135), (140, 90, 70), (190, 188, 182), (110, 112, 118),
                       (200, 180, 140)))  # fmt: skip
    warmth = climate.air + float(rng.uniform(-0.5, 2.5)) + 4.0 * climate.sunshine
    wall, gable = paint(color, warmth), paint(shaded(color, 0.7), warmth - 1.0)
    plinth = paint(shaded(color, 0.55), warmth + 1.0)
    glass = paint((52, 62, 74), warmth - float(rng.uniform(1.0, 4.0)))
    warm_glass = paint((60, 68, 78), warmth + float(rng.uniform(1.0, 5.0)))
    lit = paint(pick(rng, ((255, 225, 160), (225, 240, 240))), warmth + 4.0,
                glow=int(rng.uniform(70, 200)) if climate.night else 0)  # fmt: skip
    pitch = (float(rng.uniform(1.8, 3.2)), float(rng.uniform(2.6, 3.3)))
    share = (float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.35, 0.6)))
    bays, floors = int(length / pitch[0]), int((high - 0.8) / pitch[1])
    shares = (0.78, 0.14, 0.08) if climate.night else (0.7, 0.3, 0.0)
    state = rng.choice(3, size=bays * floors, p=shares)

    def draw(canvas: Canvas, place: Placement) -> None:
        d, near, far = place.d, place.z - length / 2, place.z + length / 2
        outer = d + (14.0 if d > 0 else -14.0)
        if near > 0:
            end = np.array(((d, 0, near), (outer, 0, near), (outer, high, near), (d, high, near)))
            canvas.fill([end], gable)
        side = np.array(((d, 0, near), (d, 0, far), (d, high, far), (d, high, near)))
        canvas.fill([side], wall)
        canvas.fill([side * (1, 0, 1) + np.array((0, 0.6, 0)) * (side[:, 1:2] > 0)], plinth)
        windows = wall_grid(d, near, far, 0.8, high, pitch, share)
        for value, surface in enumerate((glass, warm_glass, lit)):
            chosen = [w for w, s in zip(windows, state, strict=True) if s == value]
            if chosen:
                canvas.fill(chosen, surface)

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


def make_tree(rng: np.random.Generator, climate: Climate, stamp: Stamp) -> Prop:
    """A tree with a trunk and a crown."""
    high, crown = float(rng.uniform(4.5, 8.0)), float(rng.uniform(1.6, 2.8))
    trunk = paint(pick(rng, ((85, 65, 45), (95, 85, 75))), climate.air + 1.2)

    def draw(canvas: Canvas, place: Placement) -> None:
        pole = np.array(((-0.16, 0), (0.16, 0), (0.1, high - crown), (-0.1, high - crown)))
        canvas.fill([upright(pole, place)], trunk)
        ends = np.array(((-crown, high), (crown, high - 2 * crown)))
        (left, top), (right, bottom) = canvas.camera.project(upright(ends, place))
        paste(canvas, stamp, (left, top, right, bottom), place.z)

    return Prop(draw, 0.15, 0.15, 0.0)


def make_hedge(rng: np.random.Generator, stamp: Stamp) -> Prop:
    """A bush or a length of hedge."""
    half, high = float(rng.uniform(0.9, 1.8)), float(rng.uniform(0.8, 1.7))

    def draw(canvas: Canvas, place: Placement) -> None:
        ends = np.array(((-half, high), (half, -0.05)))
        (left, top), (right, bottom) = canvas.camera.project(upright(ends, place))
        paste(canvas, stamp, (left, top, right, bottom), place.z)

    return Prop(draw, half, half, high)


@dataclass(frozen=True)
class Hall:
    """A corridor, warehouse or parking deck: metres to its walls and ceiling, and its paint."""

    half_width: float
    high: float
    wall: Paint
    dado: Paint
    ceiling: Paint
    end: Paint
    end_frame: Paint
    lights: Paint
    bay_m: float
    feature: str
    feature_paint: Paint
    feature_trim: Paint


def draw_hall(canvas: Canvas, hall: Hall, travel: float) -> None:
    """The shell of a hall, from its end wall to the camera."""
    w, h, far = hall.half_width, hall.high, FAR_M * 0.75
    cuts = np.array((far, 24.0, 14.0, 8.0, 4.0, 2.0, 0.6))

    def along(line: tuple[tuple[float, float], tuple[float, float]], surface: Paint) -> None:
        (d0, y0), (d1, y1) = line
        for z1, z0 in zip(cuts[:-1], cuts[1:], strict=True):
            quad = np.array(((d0, y0, z0), (d0, y0, z1), (d1, y1, z1), (d1, y1, z0)))
            canvas.fill([quad], surface)

    canvas.fill([np.array(((-w, 0, far), (w, 0, far), (w, h, far), (-w, h, far)))], hall.end)
    door = np.array(((-0.9, 0, far), (0.9, 0, far), (0.9, 2.2, far), (-0.9, 2.2, far)))
    canvas.fill([door], hall.end_frame)
    along(((-w, h), (w, h)), hall.ceiling)
    for side in (-w, w):
        along(((side, 0.0), (side, h)), hall.wall)
        along(((side, 0.0), (side, 1.0)), hall.dado)
    first = hall.bay_m - travel % hall.bay_m
    for z in np.arange(first + hall.bay_m * int((far - first) / hall.bay_m), 0.0, -hall.bay_m):
        strip = np.array(((-0.35, h - 0.02, z), (0.35, h - 0.02, z), (0.35, h - 0.02, z + 1.4),
                          (-0.35, h - 0.02, z + 1.4)))  # fmt: skip
        canvas.fill([strip], hall.lights)
        for side in (-w, w):
            _draw_feature(canvas, hall, side, float(z))


def _draw_feature(canvas: Canvas, hall: Hall, side: float, z: float) -> None:
    """What repeats along a hall's wall: a door, a shelf or a pillar."""
    inward = -1.0 if side > 0 else 1.0

    def flat(d: float, z0: float, z1: float, y0: float, y1: float) -> Points:
        return np.array(((d, y0, z0), (d, y0, z1), (d, y1, z1), (d, y1, z0)))

    if hall.feature == "door":
        canvas.fill([flat(side, z + 0.9, z + 2.2, 0, 2.2)], hall.feature_trim)
        canvas.fill([flat(side, z + 1.0, z + 2.1, 0, 2.1)], hall.feature_paint)
        return
    depth = 1.0 if hall.feature == "shelf" else 0.5
    length = hall.bay_m * 0.8 if hall.feature == "shelf" else 0.6
    d, top = side + inward * depth, min(hall.high, 2.8) if hall.feature == "shelf" else hall.high
    face = np.array(((side, 0, z), (d, 0, z), (d, top, z), (side, top, z)))
    if hall.feature == "pillar":
        canvas.fill([flat(d, z, z + length, 0, top)], hall.feature_paint)
        canvas.fill([face], hall.feature_trim)
        return
    canvas.fill([flat(d, z, z + length, 0, top)], hall.end_frame)
    goods = wall_grid(d, z, z + length, 0.0, top, (length / 3, top / 3), (0.8, 0.7))
    canvas.fill(goods[::2], hall.feature_paint)
    canvas.fill(goods[1::2], hall.feature_trim)
    canvas.fill([face], hall.feature_trim)
