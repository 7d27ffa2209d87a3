"""Street and hall furniture: cones, bollards, rails, bumps, and unlabelled distractors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sartm_core.data.synthetic.canvas import (
    Canvas,
    Color,
    Paint,
    Part,
    Points,
    circle,
    paint,
    shaded,
)
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.solids import (
    Box,
    Placement,
    decals,
    draw_box,
    rectangle,
    to_road,
)

CAR_STOP = 5
GUARDRAIL = 6
CONE = 7
BUMP = 8


def _block_faces(color: Color, celsius: float, label: int = 0) -> dict[str, Paint]:
    shade = {"rear": 0.85, "front": 0.85, "left": 0.7, "right": 0.95, "top": 1.15}
    return {name: paint(shaded(color, s), celsius, label) for name, s in shade.items()}


def _trapeze(low: float, high: float, half_low: float, half_high: float) -> Points:
    return np.array(((-half_low, low), (half_low, low), (half_high, high), (-half_high, high)))


def make_cone(rng: np.random.Generator, climate: Climate) -> Prop:
    """A traffic cone of 0.5 to 0.8 m with one or two white stripes."""
    high = float(rng.uniform(0.5, 0.8))
    color = pick(rng, ((230, 75, 25), (235, 60, 35), (220, 95, 20), (60, 160, 90)))
    heat = climate.metal(rng) - 1.0
    body, stripe = paint(color, heat, CONE), paint((235, 235, 230), heat + 1.5, CONE)
    faces = _block_faces(shaded(color, 0.6), heat + 1.5, CONE)
    foot = Box((0.2, -0.2, 0.2), (0.19, -0.19, 0.19), 0.0, 0.05, faces)
    stripes = ((0.42, 0.62),) if rng.random() < 0.5 else ((0.32, 0.46), (0.6, 0.74))
    parts: list[Part] = [
        (_trapeze(v0 * high, v1 * high, 0.15 - 0.125 * v0, 0.15 - 0.125 * v1), surface)
        for v0, v1, surface in ((0.04, 1.0, body), *((*band, stripe) for band in stripes))
    ]

    def draw(canvas: Canvas, place: Placement) -> None:
        draw_box(canvas, foot, place)
        canvas.fill_figure(parts, place.d, place.z)

    return Prop(draw, 0.2, 0.2, high)


def make_bollard(rng: np.random.Generator, climate: Climate) -> Prop:
    """A bollard of 0.7 to 1 m (class car_stop), with a reflective band."""
    high, radius = float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.07, 0.13))
    color = pick(rng, ((150, 155, 160), (90, 95, 100), (215, 170, 40), (120, 75, 50)))
    heat = climate.metal(rng) - 0.5
    tube = _trapeze(0.0, high, radius, radius)
    parts: list[Part] = [
        (tube, paint(shaded(color, 0.8), heat, CAR_STOP)),
        (tube * (0.3, 1.0) + (radius * 0.5, 0), paint(shaded(color, 1.2), heat + 0.7, CAR_STOP)),
        (tube * (1, 0.12) + (0, high * 0.74), paint((240, 235, 200), heat + 1.0, CAR_STOP)),
        (circle(radius) * (1, 0.4) + (0, high), paint(color, heat - 1.5, CAR_STOP)),
    ]

    def draw(canvas: Canvas, place: Placement) -> None:
        canvas.fill_figure(parts, place.d, place.z)

    return Prop(draw, radius, radius, high)


def make_parking_block(rng: np.random.Generator, climate: Climate) -> Prop:
    """A low block that stops cars (class car_stop): concrete, or rubber with yellow stripes."""
    half, high = float(rng.uniform(0.45, 0.9)), float(rng.uniform(0.18, 0.4))
    concrete = rng.random() < 0.6
    color: Color = (175, 172, 165) if concrete else (40, 40, 40)
    heat = climate.air + (-2.5 if climate.night or climate.indoor else 3.0)
    yellow = paint((225, 180, 40), heat - 0.7, CAR_STOP)
    bands = decals(*((rectangle(u, u + 0.15, 0, 1), yellow) for u in (0.1, 0.4, 0.7)))
    box = Box(
        (half, -0.12, 0.12),
        (half - 0.04, -0.07, 0.07),
        0.0,
        high,
        _block_faces(color, heat, CAR_STOP),
        {} if concrete else dict.fromkeys(("rear", "front", "top"), bands),
    )

    def draw(canvas: Canvas, place: Placement) -> None:
        draw_box(canvas, box, place)

    return Prop(draw, half, 0.12, high)


def _trapeze3(high: float, half: float, along: float) -> Points:
    return np.array(
        ((-half, 0, along), (half, 0, along), (half, high, along), (-half, high, along))
    )


def _board(place: Placement, start: float, stop: float, low: float, high: float) -> Points:
    d, z0, z1 = place.d, place.z + start, place.z + stop
    return np.array(((d, low, z0), (d, low, z1), (d, high, z1), (d, high, z0)))


def make_guardrail(rng: np.random.Generator, climate: Climate) -> Prop:
    """A 4 m length of guardrail along the road: steel beam, double pipe or solid barrier."""
    kind = str(rng.choice(["beam", "pipe", "barrier"], p=[0.5, 0.3, 0.2]))
    color = pick(rng, ((180, 184, 186), (225, 225, 220), (120, 128, 132), (215, 175, 50)))
    heat = climate.metal(rng) - 0.8
    beam = paint(color, heat, GUARDRAIL)
    groove = paint(shaded(color, 0.72), heat + 1.0, GUARDRAIL)
    post = paint(shaded(color, 0.6), heat + 1.2, GUARDRAIL)
    bands = {
        "beam": ((0.42, 0.78, beam), (0.56, 0.64, groove)),
        "pipe": ((0.3, 0.42, groove), (0.48, 0.6, beam), (0.68, 0.82, beam)),
        "barrier": ((0.0, 0.8, groove), (0.2, 0.74, beam)),
    }[kind]
    reflector = paint((230, 140, 40), heat, GUARDRAIL)

    def draw(canvas: Canvas, place: Placement) -> None:
        parts: list[Part] = []
        if kind != "barrier":
            for along in (1.9, 0.0, -1.9):
                parts.append((to_road(_trapeze3(0.8, 0.06, along), place), post))
        for y0, y1, surface in bands:
            # Short pieces, far to near, follow the bend of the road and keep depth right.
            for far in (2.0, 1.0, 0.0, -1.0):
                parts.append((_board(place, far - 1.0, far, y0, y1), surface))
        if kind == "beam":
            parts.append((_board(place, -0.08, 0.08, 0.56, 0.66), reflector))
        canvas.fill(parts)

    return Prop(draw, 0.08, 2.0, 0.8)


def make_bump(rng: np.random.Generator, climate: Climate, half_width: float) -> Prop:
    """A speed bump across the lane, striped; only its rubber's warmth shows at night."""
    high, half = float(rng.uniform(0.05, 0.09)), float(rng.uniform(0.25, 0.5))
    stripes = int(rng.integers(6, 14))
    color = pick(rng, ((225, 180, 40), (230, 228, 220)))
    warm = climate.ground + (3.5 if climate.night or climate.indoor else 4.5)
    dark = paint((38, 37, 36), warm, BUMP)
    bright = paint(color, warm - 1.2, BUMP)
    edges = np.linspace(-half_width, half_width, stripes + 1).tolist()
    # Both slopes of each stripe, far slope first, about the bump's own middle.
    slopes = [
        (np.array(((x0, y0, z0), (x1, y0, z0), (x1, y1, z1), (x0, y1, z1))), (dark, bright)[i % 2])
        for z0, y0, z1, y1 in ((0.08, high, half, 0.0), (-half, 0.0, 0.08, high))
        for i, (x0, x1) in enumerate(pairwise(edges))
    ]

    def draw(canvas: Canvas, place: Placement) -> None:
        canvas.fill([(to_road(slope, place), surface) for slope, surface in slopes])

    return Prop(draw, half_width, half, 0.0)


def make_lamp(rng: np.random.Generator, climate: Climate, *, lit: bool) -> Prop:
    """A street lamp of about 5 m; lit ones glow and warm up."""
    high = float(rng.uniform(4.2, 6.0))
    steel = paint((95, 98, 100), climate.metal(rng) + 2.0)
    color: Color = (255, 225, 170) if rng.random() < 0.6 else (225, 240, 255)
    head = paint(color, climate.air + (18.0 if lit else 1.0), glow=255 if lit else 0)
    arm = np.array(((0, high - 0.08), (0.9, high), (0.9, high + 0.08), (0, high + 0.05)))
    parts: list[Part] = [
        (_trapeze(0.0, high, 0.07, 0.05), steel),
        (arm, steel),
        (circle(1.0, 8) * (0.3, 0.1) + (0.95, high), head),
    ]
    mirrored: list[Part] = [(outline * (-1, 1), surface) for outline, surface in parts]

    def draw(canvas: Canvas, place: Placement) -> None:
        canvas.fill_figure(mirrored if place.d > 0 else parts, place.d, place.z)

    return Prop(draw, 1.0, 0.1, 0.0)


def make_sign(rng: np.random.Generator, climate: Climate) -> Prop:
    """A traffic sign or notice board on a post."""
    color = pick(rng, ((40, 80, 180), (200, 40, 40), (230, 230, 225), (40, 130, 80)))
    heat = climate.metal(rng) + 1.0
    high = float(rng.uniform(1.9, 2.5))
    shape = circle(0.34, int(rng.choice([3, 4, 12])))[:, ::-1]
    parts: list[Part] = [
        (_trapeze(0.0, high, 0.03, 0.03), paint((140, 142, 145), heat)),
        (shape + (0, high), paint(color, heat - 0.5)),
        (shape * 0.5 + (0, high), paint((240, 240, 240), heat - 0.5)),
    ]

    def draw(canvas: Canvas, place: Placement) -> None:
        canvas.fill_figure(parts, place.d, place.z)

    return Prop(draw, 0.1, 0.1, high)


def make_vending_machine(rng: np.random.Generator, climate: Climate, *, lit: bool) -> Prop:
    """A vending machine or heater cabinet: a warm box that is no labelled class."""
    color = pick(rng, ((200, 40, 40), (230, 230, 235), (40, 90, 170)))
    heat = climate.air + float(rng.uniform(1, 4))
    front = paint((235, 240, 245) if lit else (120, 125, 130), heat + 5.0, glow=150 if lit else 0)
    vent = paint((40, 40, 40), heat + float(rng.uniform(8, 16)))
    details = decals(
        (rectangle(0.08, 0.92, 0.45, 0.92), front),
        (rectangle(0.15, 0.85, 0.05, 0.18), vent),
    )
    box = Box(
        (0.5, -0.38, 0.38),
        (0.5, -0.38, 0.38),
        0.0,
        1.8,
        _block_faces(color, heat),
        dict.fromkeys(("rear", "left", "right"), details),
    )

    def draw(canvas: Canvas, place: Placement) -> None:
        draw_box(canvas, box, place)

    return Prop(draw, 0.5, 0.38, 1.8)


def make_animal(rng: np.random.Generator, climate: Climate) -> Prop:
    """A dog or cat: as warm as a person, and unlabelled."""
    size = float(rng.uniform(0.5, 1.0))
    color = pick(rng, ((120, 85, 50), (40, 36, 34), (200, 190, 175)))
    fur = paint(color, climate.cloth(rng, 0.45))
    face = paint(shaded(color, 0.8), climate.cloth(rng, 0.2))

    body = tuple(
        (circle(1.0, 10) * radius + center, surface)
        for surface, center, radius in (
            (fur, (0.0, 0.36), (0.32, 0.13)),
            (fur, (-0.38, 0.5), (0.03, 0.14)),
            (face, (0.36, 0.52), (0.13, 0.11)),
        )
    )

    def draw(canvas: Canvas, place: Placement) -> None:
        turn = 1.0 if np.sin(place.yaw) >= 0 else -1.0
        step = 0.08 * float(np.sin((place.walked or 0.0) * 9.0))
        parts: list[Part] = []
        for x, stride in ((-0.22, step), (-0.14, -step), (0.14, step), (0.22, -step)):
            corners = ((x - 0.03, 0.28), (x + 0.03, 0.28), (x + stride + 0.03, 0), (x + stride, 0))
            parts.append((np.array(corners), fur))
        scale = (size * turn, size)
        canvas.fill_figure([(o * scale, s) for o, s in (*parts, *body)], place.d, place.z)

    return Prop(draw, 0.3, 0.2, 0.5)


def make_cartons(rng: np.random.Generator, climate: Climate) -> Prop:
    """A stack of boxes, as stands about in a hall."""
    boxes = []
    low = 0.0
    for _ in range(int(rng.integers(1, 4))):
        high = low + float(rng.uniform(0.3, 0.6))
        w, a = rng.uniform(0.25, 0.6, 2).tolist()
        color = pick(rng, ((165, 125, 80), (190, 150, 100), (90, 110, 150), (70, 72, 75)))
        tape = decals((rectangle(0.45, 0.55, 0, 1), paint(shaded(color, 1.25), climate.air)))
        boxes.append(Box((w, -a, a), (w, -a, a), low, high,
                         _block_faces(color, climate.air + float(rng.uniform(-0.6, 0.8))),
                         {"rear": tape}))  # fmt: skip
        low = high

    def draw(canvas: Canvas, place: Placement) -> None:
        for box in boxes:
            draw_box(canvas, box, place)

    return Prop(draw, 0.5, 0.5, low)
