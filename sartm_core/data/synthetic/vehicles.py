"""Cars, vans, trucks and bikes."""

from __future__ import annotations

import math

import numpy as np

from sartm_core.data.synthetic.canvas import Canvas, Color, Paint, Points, circle, paint, shaded
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.people import Pose, make_figure
from sartm_core.data.synthetic.solids import (
    Box,
    Decals,
    Placement,
    decals,
    draw_box,
    rectangle,
    to_road,
)

CAR = 1
BIKE = 3

_CAR_COLORS: tuple[Color, ...] = (
    (205, 205, 208), (150, 152, 156), (40, 42, 46), (150, 28, 30), (30, 55, 125),
    (225, 225, 220), (85, 92, 98), (60, 90, 70), (190, 150, 60),
)  # fmt: skip
_FRAME_COLORS: tuple[Color, ...] = ((170, 30, 30), (30, 60, 150), (40, 40, 40), (190, 190, 195))


def _face_paints(color: Color, celsius: float, label: int) -> dict[str, Paint]:
    shade = {"rear": 0.85, "front": 0.9, "left": 0.72, "right": 1.0, "top": 1.12}
    return {name: paint(shaded(color, s), celsius, label) for name, s in shade.items()}


def _around(center: tuple[float, float], size: tuple[float, float]) -> Points:
    outline: Points = circle(1.0) * size + center
    return outline


def make_car(rng: np.random.Generator, climate: Climate, *, running: bool) -> Prop:
    """A car, van or truck; a running one has a warm engine, wheels and exhaust, and lights."""
    kind = str(rng.choice(["sedan", "hatch", "van", "truck"], p=[0.4, 0.3, 0.18, 0.12]))
    color = pick(rng, _CAR_COLORS)
    length, width, high = {
        "sedan": (4.4, 1.74, 1.42),
        "hatch": (3.7, 1.66, 1.5),
        "van": (4.4, 1.75, 1.95),
        "truck": (5.2, 1.9, 2.6),
    }[kind]
    a, w = length / 2, width / 2
    belt = 0.88 if kind in ("sedan", "hatch") else 1.05
    metal = climate.metal(rng) + (2.0 if running else 0.0)
    engine = metal + (float(rng.uniform(7, 13)) if running else float(rng.uniform(0, 2)))
    tyre = climate.ground + (9.0 if running else -1.0)
    exhaust = climate.ground + (22.0 if running else 0.0)
    glass_heat = metal + (2.5 if running else -1.5)
    lights = running and climate.night

    glass = paint((32, 40, 48), glass_heat, CAR)
    body = _face_paints(color, metal, CAR)
    under = paint((14, 14, 15), metal + (6.0 if running else 0.5), CAR)
    chassis = Box(
        (w * 0.92, -a + 0.15, a - 0.15), (w * 0.92, -a + 0.15, a - 0.15), 0.12, 0.34,
        dict.fromkeys(("rear", "front", "left", "right"), under),
        {"rear": decals((_around((0.22, 0.4), (0.09, 0.35)), paint((50, 50, 50), exhaust, CAR)))},
    )  # fmt: skip

    red = paint((255, 30, 20) if lights else (150, 25, 25), metal + 1, CAR, 200 if lights else 0)
    white = paint((255, 250, 225) if lights else (215, 220, 225), metal + (14 if lights else 1),
                  CAR, 255 if lights else 0)  # fmt: skip
    plate = paint((225, 225, 215), metal - 1, CAR)
    dark = paint(shaded(color, 0.4), metal + 0.5, CAR)
    grille = paint((25, 25, 27), engine + 3, CAR)
    lower = Box(
        (w, -a, a), (w * 0.96, -a + 0.06, a - 0.1), 0.3, belt, body,
        {
            "rear": decals(
                (rectangle(0, 1, 0, 0.22), dark),
                (rectangle(0.03, 0.2, 0.55, 0.85), red),
                (rectangle(0.8, 0.97, 0.55, 0.85), red),
                (rectangle(0.37, 0.63, 0.38, 0.6), plate),
            ),
            "front": decals(
                (rectangle(0, 1, 0, 0.2), dark),
                (_around((0.5, 0.55), (0.42, 0.4)), paint(color, (engine + metal) / 2, CAR)),
                (rectangle(0.26, 0.74, 0.4, 0.72), grille),
                (rectangle(0.03, 0.22, 0.55, 0.85), white),
                (rectangle(0.78, 0.97, 0.55, 0.85), white),
                (rectangle(0.39, 0.61, 0.1, 0.3), plate),
            ),
            "top": decals(
                (rectangle(0.1, 0.9, 0.72, 1.0), paint(shaded(color, 1.1), engine, CAR)),
            ),
            "left": _side(color, metal, a, belt, tyre, -1.0),
            "right": _side(color, metal, a, belt, tyre, 1.0),
        },
    )  # fmt: skip

    base0, base1, top0, top1 = {
        "sedan": (-a + 0.75, a - 1.15, -a + 1.3, a - 1.95),
        "hatch": (-a + 0.08, a - 0.95, -a + 0.4, a - 1.6),
        "van": (-a + 0.08, a - 0.55, -a + 0.15, a - 1.1),
        "truck": (a - 1.6, a - 0.1, a - 1.55, a - 0.4),
    }[kind]
    cabin_high = high if kind != "truck" else 2.0
    windows = {
        name: decals(
            (rectangle(0.08, 0.48, 0.14, 0.86), glass),
            (rectangle(0.52, 0.92, 0.14, 0.86), glass),
        )
        for name in ("left", "right")
    }
    pane = decals((rectangle(0.07, 0.93, 0.1, 0.88), glass))
    cabin = Box(
        (w * 0.94, base0, base1), (w * 0.8, top0, top1), belt, cabin_high, body,
        {**windows, "front": pane, "rear": pane},
    )  # fmt: skip
    cargo_color = pick(rng, ((215, 215, 210), (120, 130, 140), (60, 90, 150)))
    cargo = Box(
        (w, -a, a - 1.7), (w, -a, a - 1.7), 0.9, high, _face_paints(cargo_color, metal - 0.5, CAR),
        {"rear": decals((rectangle(0.48, 0.52, 0.05, 0.95), dark))},
    )  # fmt: skip

    def draw(canvas: Canvas, place: Placement) -> None:
        boxes = [chassis, lower, cabin]
        if kind == "truck":
            boxes.insert(3 if math.cos(place.yaw) > 0 else 2, cargo)
        for box in boxes:
            draw_box(canvas, box, place)

    return Prop(draw, w, a, high)


def _side(
    color: Color, celsius: float, half_length: float, belt: float, tyre_heat: float, mirror: float
) -> Decals:
    """Doors and wheels; the wheels reach below the face that carries them."""
    seam = paint(shaded(color, 0.5), celsius, CAR)
    sill = paint(shaded(color, 0.45), celsius + 0.5, CAR)
    wheel, hub = paint((18, 18, 19), tyre_heat, CAR), paint((130, 132, 136), tyre_heat + 2, CAR)
    wheels = []
    for along in (-0.6 * mirror, 0.62 * mirror):
        center = (0.5 + along / 2, 0.03 / (belt - 0.3))
        for radius, surface in ((0.33, wheel), (0.19, hub)):
            size = (radius / (2 * half_length), radius / (belt - 0.3))
            wheels.append((_around(center, size), surface))
    return decals(
        (rectangle(0, 1, 0, 0.14), sill),
        (rectangle(0.495, 0.51, 0.1, 0.95), seam),
        (rectangle(0.3, 0.36, 0.7, 0.76), seam),
        *wheels,
    )


def make_bike(rng: np.random.Generator, climate: Climate, *, ridden: bool) -> Prop:
    """A bicycle, alone or ridden; the area inside a wheel belongs to the bike."""
    frame_heat = climate.metal(rng) - 0.5
    color = pick(rng, _FRAME_COLORS)
    tyre = paint((20, 20, 22), climate.ground + (3.0 if ridden else -2.0), BIKE)
    tube = paint(color, frame_heat, BIKE)
    chrome = paint((170, 172, 176), frame_heat, BIKE)
    saddle = paint((25, 25, 25), climate.air + (12.0 if ridden else 0.5), BIKE)
    basket = paint((90, 92, 95), frame_heat, BIKE) if rng.random() < 0.5 else None
    rider = make_figure(rng, climate, sitting=True) if ridden else None
    reach, radius = 0.54, 0.34
    rim = circle(radius, 16)

    def draw(canvas: Canvas, place: Placement) -> None:
        def side_view(*points: tuple[float, float]) -> Points:
            local = np.array([(0.0, up, along) for along, up in points])
            return to_road(local, place)

        wheels = []
        for along in (-reach, reach):
            local = np.stack((rim[:, 0] * 0.06, rim[:, 1] + radius, rim[:, 0] + along), axis=1)
            wheels.append(to_road(local, place))
        canvas.claim(wheels, BIKE)
        canvas.stroke([np.vstack((wheel, wheel[:1])) for wheel in wheels], 0.055, tyre)
        spokes = [side_view((x - 0.2, radius - 0.2), (x + 0.2, radius + 0.2))
                  for x in (-reach, reach)]  # fmt: skip
        canvas.stroke(spokes, 0.015, chrome)
        canvas.stroke(
            [
                side_view((-reach, radius), (-0.1, radius - 0.02), (0.42, 0.78), (-0.2, 0.72),
                          (-reach, radius)),
                side_view((-0.1, radius - 0.02), (-0.25, 0.88)),
                side_view((reach, radius), (0.38, 0.98)),
            ],
            0.05,
            tube,
        )  # fmt: skip
        canvas.stroke([side_view((-0.36, 0.9), (-0.12, 0.9))], 0.09, saddle)
        bar = to_road(np.array(((-0.27, 1.0, 0.33), (0.0, 0.98, 0.38), (0.27, 1.0, 0.33))), place)
        canvas.stroke([bar], 0.04, chrome)
        if basket is not None:
            canvas.fill([(side_view((0.45, 0.7), (0.75, 0.7), (0.8, 0.98), (0.42, 0.98)), basket)])
        if rider is not None:
            rider.draw(canvas, place, Pose((place.walked or 0.0) * 2.2, sitting=True))

    return Prop(draw, 0.3, 0.85, 1.7 if ridden else 1.0)
