"""Street and hall furniture: cones, bollards, rails, bumps, and unlabelled distractors."""

from __future__ import annotations

import numpy as np

from sartm_core.data.synthetic.canvas import Canvas, Color, Paint, circle, paint, shaded
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.solids import (
    Box,
    Decal,
    Placement,
    draw_box,
    rectangle,
    to_road,
    upright,
)

CAR_STOP = 5
GUARDRAIL = 6
CONE = 7
BUMP = 8


def _block_faces(color: Color, celsius: float, label: int = 0) -> dict[str, Paint]:
    shade = {"rear": 0.85, "front": 0.85, "left": 0.7, "right": 0.95, "top": 1.15}
    return {name: paint(shaded(color, s), celsius, label) for name, s in shade.items()}


def make_cone(rng: np.random.Generator, climate: Climate) -> Prop:
    """A traffic cone of 0.5 to 0.8 m with one or two white stripes."""
    high = float(rng.uniform(0.5, 0.8))
    color = pick(rng, ((230, 75, 25), (235, 60, 35), (220, 95, 20), (60, 160, 90)))
    heat = climate.metal(rng) - 1.0
    body, stripe = paint(color, heat, CONE), paint((235, 235, 230), heat + 1.5, CONE)
    foot = Box((0.2, -0.2, 0.2), (0.19, -0.19, 0.19), 0.0, 0.05,
               _block_faces(shaded(color, 0.6), heat + 1.5, CONE))  # fmt: skip
    stripes = [(0.42, 0.62)] if rng.random() < 0.5 else [(0.32, 0.46), (0.6, 0.74)]

    def draw(canvas: Canvas, place: Placement) -> None:
        def slice_at(v0: float, v1: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
            r0, r1 = 0.15 - 0.125 * v0, 0.15 - 0.125 * v1
            return upright(np.array(((-r0, v0), (r0, v0), (r1, v1), (-r1, v1))) * (1, high), place)

        draw_box(canvas, foot, place)
        canvas.fill([slice_at(0.04, 1.0)], body)
        canvas.fill([slice_at(*s) for s in stripes], stripe)

    return Prop(draw, 0.2, 0.2, high)


def make_bollard(rng: np.random.Generator, climate: Climate) -> Prop:
    """A bollard of 0.7 to 1 m (class car_stop), with a reflective band."""
    high, radius = float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.07, 0.13))
    color = pick(rng, ((150, 155, 160), (90, 95, 100), (215, 170, 40), (120, 75, 50)))
    heat = climate.metal(rng) - 0.5
    rim = circle(1.0, 12)
    tube = np.array(((-radius, 0), (radius, 0), (radius, high), (-radius, high)))
    lit = np.array(((radius * 0.2, 0), (radius * 0.75, 0), (radius * 0.75, high),
                    (radius * 0.2, high)))  # fmt: skip
    band = tube * (1, 0.12) + (0, high * 0.74)
    paints = (
        (tube, paint(shaded(color, 0.8), heat, CAR_STOP)),
        (lit, paint(shaded(color, 1.2), heat + 0.7, CAR_STOP)),
        (band, paint((240, 235, 200), heat + 1.0, CAR_STOP)),
        (rim * (radius, radius * 0.4) + (0, high), paint(color, heat - 1.5, CAR_STOP)),
    )

    def draw(canvas: Canvas, place: Placement) -> None:
        for outline, surface in paints:
            canvas.fill([upright(outline, place)], surface)

    return Prop(draw, radius, radius, high)


def make_parking_block(rng: np.random.Generator, climate: Climate) -> Prop:
    """A low block that stops cars (class car_stop): concrete, or rubber with yellow stripes."""
    half, high = float(rng.uniform(0.45, 0.9)), float(rng.uniform(0.18, 0.4))
    concrete = rng.random() < 0.6
    color: Color = (175, 172, 165) if concrete else (40, 40, 40)
    heat = climate.air + (-2.5 if climate.night or climate.indoor else 3.0)
    faces = _block_faces(color, heat, CAR_STOP)
    yellow = paint((225, 180, 40), heat - 0.7, CAR_STOP)
    bands = [Decal(rectangle(u, u + 0.15, 0, 1), yellow) for u in (0.1, 0.4, 0.7)]
    box = Box((half, -0.12, 0.12), (half - 0.04, -0.07, 0.07), 0.0, high, faces,
              {} if concrete else {"rear": bands, "front": bands, "top": bands})  # fmt: skip

    def draw(canvas: Canvas, place: Placement) -> None:
        draw_box(canvas, box, place)

    return Prop(draw, half, 0.12, high)


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
        def board(z0: float, z1: float, y0: float, y1: float) -> object:
            return np.array(((place.d, y0, z0), (place.d, y0, z1), (place.d, y1, z1),
                             (place.d, y1, z0)))  # fmt: skip

        def panel(z0: float, z1: float, y0: float, y1: float, surface: Paint) -> None:
            # Several short pieces follow the bend of the road, and keep depth right.
            cuts = np.linspace(place.z + z1, place.z + z0, 5)
            for far, near in zip(cuts[:-1], cuts[1:], strict=True):
                canvas.fill([np.asarray(board(near, far, y0, y1))], surface)

        for along in (1.9, 0.0, -1.9):
            if kind != "barrier":
                local = np.array(((-0.06, 0, along), (0.06, 0, along), (0.06, 0.8, along),
                                  (-0.06, 0.8, along)))  # fmt: skip
                canvas.fill([to_road(local, place)], post)
        for y0, y1, surface in bands:
            panel(-2.0, 2.0, y0, y1, surface)
        if kind == "beam":
            panel(-0.08, 0.08, 0.56, 0.66, reflector)

    return Prop(draw, 0.08, 2.0, 0.8)


def make_bump(rng: np.random.Generator, climate: Climate, half_width: float) -> Prop:
    """A speed bump across the lane, striped; only its rubber's warmth shows at night."""
    high, half = float(rng.uniform(0.05, 0.09)), float(rng.uniform(0.25, 0.5))
    stripes = int(rng.integers(6, 14))
    color = pick(rng, ((225, 180, 40), (230, 228, 220)))
    warm = climate.ground + (3.5 if climate.night or climate.indoor else 4.5)
    dark = paint((38, 37, 36), warm, BUMP)
    bright = paint(color, warm - 1.2, BUMP)
    edges = np.linspace(-half_width, half_width, stripes + 1)

    def draw(canvas: Canvas, place: Placement) -> None:
        for far in (True, False):
            if far:
                profile = ((0.08, high), (half, 0.0))
            else:
                profile = ((-half, 0.0), (0.08, high))
            for parity, surface in ((0, dark), (1, bright)):
                quads = [
                    to_road(np.array(((x0, y0, z0), (x1, y0, z0), (x1, y1, z1), (x0, y1, z1))),
                            place)
                    for x0, x1 in zip(edges[parity:-1:2], edges[parity + 1 :: 2], strict=False)
                    for (z0, y0), (z1, y1) in (profile,)
                ]  # fmt: skip
                canvas.fill(quads, surface)

    return Prop(draw, half_width, half, 0.0)


def make_lamp(rng: np.random.Generator, climate: Climate, *, lit: bool) -> Prop:
    """A street lamp of about 5 m; lit ones glow and warm up."""
    high = float(rng.uniform(4.2, 6.0))
    steel = paint((95, 98, 100), climate.metal(rng) + 2.0)
    color: Color = (255, 225, 170) if rng.random() < 0.6 else (225, 240, 255)
    head = paint(color, climate.air + (18.0 if lit else 1.0), glow=255 if lit else 0)

    def draw(canvas: Canvas, place: Placement) -> None:
        side = -1.0 if place.d > 0 else 1.0
        pole = np.array(((-0.07, 0), (0.07, 0), (0.05, high), (-0.05, high)))
        arm = np.array(((0, high - 0.08), (side * 0.9, high), (side * 0.9, high + 0.08),
                        (0, high + 0.05)))  # fmt: skip
        canvas.fill([upright(pole, place)], steel)
        canvas.fill([upright(arm, place)], steel)
        canvas.fill([upright(circle(1.0, 8) * (0.3, 0.1) + (side * 0.95, high), place)], head)

    return Prop(draw, 0.1, 0.1, 0.0)


def make_sign(rng: np.random.Generator, climate: Climate) -> Prop:
    """A traffic sign or notice board on a post."""
    color = pick(rng, ((40, 80, 180), (200, 40, 40), (230, 230, 225), (40, 130, 80)))
    heat = climate.metal(rng) + 1.0
    post, plate = paint((140, 142, 145), heat), paint(color, heat - 0.5)
    mark = paint((240, 240, 240), heat - 0.5)
    high = float(rng.uniform(1.9, 2.5))
    corners = int(rng.choice([3, 4, 12]))

    def draw(canvas: Canvas, place: Placement) -> None:
        pole = np.array(((-0.03, 0), (0.03, 0), (0.03, high), (-0.03, high)))
        shape = circle(0.34, corners)[:, ::-1]
        canvas.fill([upright(pole, place)], post)
        canvas.fill([upright(shape + (0, high), place)], plate)
        canvas.fill([upright(shape * 0.5 + (0, high), place)], mark)

    return Prop(draw, 0.1, 0.1, high)


def make_vending_machine(rng: np.random.Generator, climate: Climate, *, lit: bool) -> Prop:
    """A vending machine or heater cabinet: a warm box that is no labelled class."""
    color = pick(rng, ((200, 40, 40), (230, 230, 235), (40, 90, 170)))
    heat = climate.air + float(rng.uniform(1, 4))
    front = paint((235, 240, 245) if lit else (120, 125, 130), heat + 5.0, glow=150 if lit else 0)
    vent = paint((40, 40, 40), heat + float(rng.uniform(8, 16)))
    details = [Decal(rectangle(0.08, 0.92, 0.45, 0.92), front),
               Decal(rectangle(0.15, 0.85, 0.05, 0.18), vent)]  # fmt: skip
    box = Box((0.5, -0.38, 0.38), (0.5, -0.38, 0.38), 0.0, 1.8, _block_faces(color, heat),
              dict.fromkeys(("rear", "left", "right"), details))  # fmt: skip

    def draw(canvas: Canvas, place: Placement) -> None:
        draw_box(canvas, box, place)

    return Prop(draw, 0.5, 0.38, 1.8)


def make_animal(rng: np.random.Generator, climate: Climate) -> Prop:
    """A dog or cat: as warm as a person, and unlabelled."""
    size = float(rng.uniform(0.5, 1.0))
    color = pick(rng, ((120, 85, 50), (40, 36, 34), (200, 190, 175)))
    fur = paint(color, climate.cloth(rng, 0.45))
    face = paint(shaded(color, 0.8), climate.cloth(rng, 0.2))

    def draw(canvas: Canvas, place: Placement) -> None:
        turn = 1.0 if np.sin(place.yaw) >= 0 else -1.0
        step = 0.08 * np.sin(place.walked * 9.0)
        for x in (-0.22, -0.14, 0.14, 0.22):
            foot = x + (step if x in (-0.22, 0.14) else -step)
            leg = np.array(((x - 0.03, 0.28), (x + 0.03, 0.28), (foot + 0.03, 0), (foot - 0.03, 0)))
            canvas.fill([upright(leg * size * (turn, 1), place)], fur)
        for surface, center, radius in (
            (fur, (0.0, 0.36), (0.32, 0.13)),
            (fur, (-0.38, 0.5), (0.03, 0.14)),
            (face, (0.36, 0.52), (0.13, 0.11)),
        ):
            outline = (circle(1.0, 10) * radius + center) * size * (turn, 1)
            canvas.fill([upright(outline, place)], surface)

    return Prop(draw, 0.3, 0.2, 0.5)


def make_cartons(rng: np.random.Generator, climate: Climate) -> Prop:
    """A stack of boxes, as stands about in a hall."""
    boxes = []
    low = 0.0
    for _ in range(int(rng.integers(1, 4))):
        high = low + float(rng.uniform(0.3, 0.6))
        w, a = rng.uniform(0.25, 0.6, 2).tolist()
        color = pick(rng, ((165, 125, 80), (190, 150, 100), (90, 110, 150), (70, 72, 75)))
        tape = Decal(rectangle(0.45, 0.55, 0, 1), paint(shaded(color, 1.25), climate.air))
        boxes.append(Box((w, -a, a), (w, -a, a), low, high,
                         _block_faces(color, climate.air + float(rng.uniform(-0.6, 0.8))),
                         {"rear": [tape]}))  # fmt: skip
        low = high

    def draw(canvas: Canvas, place: Placement) -> None:
        for box in boxes:
            draw_box(canvas, box, place)

    return Prop(draw, 0.5, 0.5, low)
