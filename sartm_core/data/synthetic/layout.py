"""Sampling of worlds: roads and halls, with everything in its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sartm_core.data.synthetic import furniture
from sartm_core.data.synthetic.backdrop import (
    STRIP_M,
    STRIPS,
    Hall,
    Stamp,
    cloud_noise,
    ground_texture,
    make_building,
    make_foliage,
    make_hedge,
    make_tree,
)
from sartm_core.data.synthetic.canvas import FAR_M, Camera, Canvas, Color, Image, heat_code, paint
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.people import make_person
from sartm_core.data.synthetic.solids import Placement
from sartm_core.data.synthetic.vehicles import make_bike, make_car
from sartm_core.data.synthetic.world import RING_M, Item, Optics, Streetlight, World

KERB = 4
CELL_M = 4.0
CELLS = int(RING_M / CELL_M)
SCENERY_RING_M = 140.0


def make_world(
    seed: int, width: int, height: int, night: bool | None, indoor: bool | None
) -> World:
    """Sample a world; ``night`` and ``indoor`` are drawn where None."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    by_night, inside = bool(rng.random() < 0.5), bool(rng.random() < 0.28)
    by_night = by_night if night is None else night
    inside = inside if indoor is None else indoor
    climate = _climate(rng, by_night, inside)
    return (_hall if inside else _road)(rng, climate, width, height)


def _climate(rng: np.random.Generator, night: bool, indoor: bool) -> Climate:
    if indoor:
        return Climate(night, True, float(rng.uniform(13, 23)), 0.0, (0.0, 0.0))
    if night:
        return Climate(True, False, float(rng.uniform(3, 18)), 0.0, (0.0, 0.0))
    sunshine = 0.0 if rng.random() < 0.4 else float(rng.uniform(0.3, 1.0))
    sun = (float(rng.uniform(-1.4, 1.4)), float(rng.uniform(-0.7, 0.9)))
    return Climate(False, False, float(rng.uniform(8, 27)), sunshine, sun if sunshine else (0, 0))


def _camera(
    rng: np.random.Generator, width: int, height: int, lateral: float, bend: float
) -> Camera:
    # The picture spans a 4:3 field whatever its shape, so that objects keep their share of it.
    span = min(width, height * 4 / 3)
    focal = span * float(rng.uniform(0.82, 1.05))
    return Camera(
        width, height, focal,
        width * float(rng.uniform(0.44, 0.56)), height * float(rng.uniform(0.36, 0.47)),
        float(rng.uniform(1.1, 1.7)), lateral, bend, 0.0,
    )  # fmt: skip


def _optics(rng: np.random.Generator, climate: Climate, width: int, height: int) -> Optics:
    night = climate.night
    warm = float(rng.uniform(-0.1, 0.1))
    if night:
        ambient = float(np.exp(rng.uniform(np.log(0.004), np.log(0.03))))
        green = float(rng.uniform(-0.05, 0.15))
        tint = (1.0 + warm, 1.0 + green, 1.0 - warm)
    else:
        ambient = float(rng.uniform(0.6, 1.1))
        tint = (1.0 + warm, 1.0, 1.0 - warm)
    air = climate.air
    window = (air - float(rng.uniform(7, 14)), max(air + 9 * climate.sunshine, 22.0 if night else 26)
              + float(rng.uniform(8, 18)))  # fmt: skip
    levels = (float(rng.uniform(0, 40)), float(rng.uniform(190, 255)))
    drift = cloud_noise(rng, height, width, 3)
    return Optics(
        ambient=ambient,
        headlight=float(rng.uniform(0.02, 0.12)) if night and rng.random() < 0.25 else 0.0,
        tint=tint,
        haze=0.0 if climate.indoor else float(rng.uniform(0.0, 0.012)),
        haze_color=(190, 200, 212),
        rgb_noise=float(rng.uniform(2.0, 4.0)) if night else float(rng.uniform(0.8, 2.0)),
        black_level=float(rng.uniform(4, 12)) if night else 0.0,
        bloom=float(rng.uniform(0.7, 1.6)) if night else 0.15,
        thermal_window=window,
        thermal_levels=levels,
        thermal_noise=float(rng.uniform(0.6, 1.6)),
        thermal_blur=float(rng.uniform(0.5, 0.9)) * max(1.0, min(width, height * 4 / 3) / 320.0),
        thermal_drift=drift,
    )


def _profile(bands: list[tuple[float, float, Color, float]]) -> Image:
    """Ground strips from bands of (from d, to d, colour, Celsius), later over earlier."""
    profile = np.zeros((STRIPS, 4), np.uint8)
    for start, stop, color, celsius in bands:
        i, j = (int(round(d / STRIP_M)) + STRIPS // 2 for d in (start, stop))
        profile[max(0, i) : max(0, j)] = (*color, heat_code(celsius))
    return profile


def make_kerb(rng: np.random.Generator, climate: Climate, side: float) -> Prop:
    """12 m of kerb stone along the road."""
    color = pick(rng, ((170, 168, 162), (195, 192, 185), (140, 138, 134)))
    warm = climate.ground + (4.0 if climate.night else -2.0)
    high, broad = float(rng.uniform(0.12, 0.2)), side * float(rng.uniform(0.18, 0.3))
    face = paint((int(color[0] * 0.75), int(color[1] * 0.75), int(color[2] * 0.75)), warm + 1, KERB)
    top = paint(color, warm, KERB)
    z = np.linspace(-6.0, 6.0, 9)

    def draw(canvas: Canvas, place: Placement) -> None:
        near = np.clip(place.z + z, 0.55, FAR_M)
        if near[0] == near[-1]:
            return
        d = np.full_like(near, place.d)
        base = np.stack((d, d * 0, near), 1)
        edge = np.stack((d, d * 0 + high, near), 1)
        back = np.stack((d + broad, d * 0 + high, near), 1)
        canvas.fill([np.vstack((base, edge[::-1]))], face)
        canvas.fill([np.vstack((edge, back[::-1]))], top)

    return Prop(draw, 0.1, 6.0, 0.0)


def _road(rng: np.random.Generator, climate: Climate, width: int, height: int) -> World:
    half = float(rng.uniform(3.5, 5.0))
    lateral = float(rng.uniform(-1.1, 1.1))
    camera = _camera(rng, width, height, lateral, float(rng.uniform(-0.003, 0.003)))
    speed = float(rng.uniform(0.9, 1.6))
    asphalt = pick(rng, ((88, 88, 92), (70, 71, 76), (105, 102, 98)))
    pavement = pick(rng, ((150, 145, 138), (165, 150, 135), (125, 124, 122)))
    grass = pick(rng, ((78, 105, 50), (100, 110, 60), (90, 85, 60)))
    line: Color = (225, 225, 220)
    walk = half + float(rng.uniform(2.0, 3.2))
    ground = climate.ground
    profile = _profile(
        [
            (-26, 26, grass, climate.air - (1.5 if climate.night else -1.0)),
            (-walk, walk, pavement, ground - 1.0),
            (-half, half, asphalt, ground),
            (-half + 0.25, -half + 0.4, line, ground - 0.5),
            (half - 0.4, half - 0.25, line, ground - 0.5),
        ]
    )
    flat: list[Item] = []
    for side in (-1.0, 1.0):
        if rng.random() < 0.85:
            kerb = make_kerb(rng, climate, side)
            sections = range(0, 60, 12) if rng.random() < 0.7 else range(0, 60, 24)
            flat += [Item(kerb, side * half, float(s) + 6, ring=60.0, behind=6.5) for s in sections]
    bumps = int(rng.integers(0, 4))
    for s in rng.uniform(0, RING_M / 3, 1) + np.arange(bumps) * RING_M / 3:
        spread = half - 0.4 if rng.random() < 0.6 else half * 0.45
        center = 0.0 if spread > 2.5 else float(np.sign(lateral)) * half * 0.5
        flat.append(Item(furniture.make_bump(rng, climate, spread), center, float(s) + 2))

    items = _roadside(rng, climate, half, walk)
    items += _traffic(rng, climate, half, lateral, speed)
    stamps = [
        make_foliage(rng, climate, round_crown=True),
        make_foliage(rng, climate, round_crown=True),
    ]
    hedge = make_foliage(rng, climate, round_crown=False)
    scenery = _scenery(rng, climate, walk, stamps, hedge)
    lamps, lights = _lamps(rng, climate, half)
    return World(
        climate=climate,
        camera=camera,
        camera_speed=speed,
        sway=(float(rng.uniform(0.0005, 0.003)), float(rng.uniform(0.0, 0.01))),
        profile=profile,
        texture=ground_texture(rng),
        roughness=float(rng.uniform(0.6, 1.4)),
        sky=_sky(rng, climate, width, height),
        hall=None,
        markings=_markings(rng, climate, half),
        scenery=scenery,
        flat=tuple(flat),
        items=(*items, *lamps),
        lights=lights,
        optics=_optics(rng, climate, width, height),
    )


def _sky(
    rng: np.random.Generator, climate: Climate, width: int, height: int
) -> tuple[Image, Color, Color]:
    clouds = cloud_noise(rng, height, width, 3)
    if climate.night:
        return clouds, (6, 8, 16), (26, 26, 34)
    if climate.sunshine == 0.0:
        return np.minimum(clouds, 200) // 2 + np.uint8(100), (170, 178, 190), (215, 220, 224)
    return clouds, pick(rng, ((70, 125, 205), (95, 150, 215))), (190, 212, 235)


def _markings(
    rng: np.random.Generator, climate: Climate, half: float
) -> Callable[[Canvas, float], None]:
    white = paint((222, 222, 216), climate.ground - 0.7)
    iron = paint((60, 58, 56), climate.ground + float(rng.uniform(-1.5, 6.0)))
    dashed = rng.random() < 0.6
    crossing = float(rng.uniform(0, RING_M)) if rng.random() < 0.4 else None
    cover = (float(rng.uniform(-half * 0.7, half * 0.7)), float(rng.uniform(0, RING_M)))

    def quad(
        d0: float, d1: float, z0: float, z1: float
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.array(((d0, 0, z0), (d1, 0, z0), (d1, 0, z1), (d0, 0, z1)))

    def draw(canvas: Canvas, travel: float) -> None:
        if dashed:
            starts = np.arange(-(travel % 7.0), RING_M, 7.0)
            canvas.fill([quad(-0.07, 0.07, z, z + 3.0) for z in starts], white)
        if crossing is not None:
            z = (crossing - travel) % RING_M - 4.0
            bars = np.arange(-half + 0.6, half - 0.8, 0.9)
            canvas.fill([quad(d, d + 0.45, z, z + 3.0) for d in bars], white)
        z = (cover[1] - travel) % RING_M - 1.0
        angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        disc = np.stack((cover[0] + 0.35 * np.cos(angle), angle * 0, z + 0.35 * np.sin(angle)), 1)
        canvas.fill([disc], iron)

    return draw


def _roadside(rng: np.random.Generator, climate: Climate, half: float, walk: float) -> list[Item]:
    """What stands along both edges of the road, in cells of 4 m so that nothing overlaps."""
    items: list[Item] = []
    kinds = ["car", "bollards", "guardrail", "cones", "bikes", "block", "kit", "free"]
    weights = rng.dirichlet(np.array((0.19, 0.14, 0.16, 0.13, 0.12, 0.08, 0.06, 0.12)) * 25)
    for side in (-1.0, 1.0):
        cell = 0
        while cell < CELLS:
            kind = str(rng.choice(kinds, p=weights))
            run = int(rng.integers(2, 5)) if kind == "guardrail" else int(rng.integers(1, 3))
            if kind == "guardrail":
                rail = furniture.make_guardrail(rng, climate)
            elif kind == "bollards":
                bollard = furniture.make_bollard(rng, climate)
            for i in range(cell, min(CELLS, cell + run)):
                s = (i + 0.5) * CELL_M
                if kind == "car" and i == cell:
                    car = make_car(rng, climate, running=rng.random() < 0.15)
                    yaw = 0.0 if side > 0 else np.pi
                    items.append(Item(car, side * (half - 1.05), s, yaw))
                elif kind == "bollards":
                    items += [Item(bollard, side * (half + 0.5), s + k) for k in (-1.0, 1.0)]
                elif kind == "guardrail":
                    items.append(Item(rail, side * (half + 0.4), s))
                elif kind == "cones":
                    taper = float(rng.uniform(0.3, 1.2))
                    items += [
                        Item(furniture.make_cone(rng, climate), side * (half - taper), s + k)
                        for k in (-1.2, 0.6)
                    ]
                elif kind == "bikes":
                    yaw = float(rng.uniform(0.5, 1.2)) * float(rng.choice([-1, 1]))
                    for k in range(int(rng.integers(1, 4))):
                        bike = make_bike(rng, climate, ridden=False)
                        items.append(Item(bike, side * (half + 1.1), s - 1.2 + 0.9 * k, yaw))
                elif kind == "block":
                    block = furniture.make_parking_block(rng, climate)
                    items.append(Item(block, side * (half - 0.9), s, float(rng.uniform(-0.3, 0.3))))
                elif kind == "kit":
                    maker = furniture.make_sign if rng.random() < 0.5 else None
                    prop = (
                        maker(rng, climate)
                        if maker
                        else furniture.make_vending_machine(rng, climate, lit=climate.night)
                    )
                    items.append(Item(prop, side * (walk - 0.5), s))
            cell += run
    return items


def _traffic(
    rng: np.random.Generator, climate: Climate, half: float, lateral: float, speed: float
) -> list[Item]:
    """Persons, riders, moving cars and animals."""
    items: list[Item] = []
    lane = half * 0.5
    if rng.random() < 0.45:
        car = make_car(rng, climate, running=True)
        drift = speed + float(rng.uniform(0.0, 0.3))
        items.append(Item(car, lateral + float(rng.uniform(-0.4, 0.4)),
                          float(rng.uniform(9, 18)), 0.0, drift))  # fmt: skip
    if rng.random() < 0.5:
        car = make_car(rng, climate, running=True)
        d = lateral - float(np.sign(lateral) or 1.0) * max(2.3, lane)
        items.append(Item(car, d, float(rng.uniform(8, 45)), np.pi, -float(rng.uniform(2, 5))))
    for _ in range(int(rng.integers(2, 6))):
        side = float(rng.choice([-1.0, 1.0]))
        d = side * float(rng.uniform(half + 0.7, half + 2.0))
        pace = float(rng.choice([-1.3, 1.1, speed, speed]))
        yaw = (0.0 if pace > 0 else np.pi) + float(rng.uniform(-0.6, 0.6))
        reach = 22.0 if pace == speed else 45.0
        items.append(Item(make_person(rng, climate), d, float(rng.uniform(4, reach)), yaw, pace))
    for _ in range(int(rng.integers(0, 3))):
        sway = float(rng.uniform(1.5, half))
        items.append(Item(make_person(rng, climate), float(rng.uniform(-1, 1)),
                          float(rng.uniform(6, 18)), float(rng.uniform(0, 6.28)), speed,
                          sway, float(rng.uniform(0.7, 1.3))))  # fmt: skip
    for _ in range(int(rng.integers(0, 2))):
        rider = make_bike(rng, climate, ridden=True)
        away = rng.random() < 0.6
        yaw = (0.0 if away else np.pi) + float(rng.uniform(-0.35, 0.35))
        side = 1.0 if lateral < 0 else -1.0
        d = lateral + side * float(rng.uniform(1.4, 2.2))
        items.append(Item(rider, d, float(rng.uniform(5, 20)), yaw, speed + 0.4 if away else -2.5))
    if rng.random() < 0.35:
        animal = furniture.make_animal(rng, climate)
        items.append(Item(animal, 0.0, float(rng.uniform(5, 14)), float(rng.uniform(0, 6.28)),
                          speed, half * 0.8, 0.9))  # fmt: skip
    return items


def _scenery(
    rng: np.random.Generator, climate: Climate, walk: float, stamps: list[Stamp], hedge: Stamp
) -> tuple[Item, ...]:
    """Buildings, trees and hedges beyond the pavement."""
    items: list[Item] = []
    for side in (-1.0, 1.0):
        built = float(rng.uniform(0.2, 0.95))
        s = 0.0
        while s < SCENERY_RING_M:
            length = float(rng.uniform(9, 20))
            ring = {"ring": SCENERY_RING_M, "behind": 12.0}
            middle = s + length / 2
            if rng.random() < built:
                house = make_building(rng, climate, length - 0.5)
                setback = float(rng.uniform(0.2, 2.5))
                items.append(Item(house, side * (walk + setback), middle, **ring))
            else:
                for k in np.arange(s + 1.0, s + length, 3.2):
                    off = float(rng.uniform(0.8, 5.0))
                    tree = make_tree(rng, climate, stamps[rng.integers(len(stamps))])
                    items.append(Item(tree, side * (walk + off), float(k), **ring))
                    bush = make_hedge(rng, hedge)
                    items.append(Item(bush, side * (walk + 0.6), float(k) + 0.4, **ring))
            s += length
    return tuple(items)


def _lamps(
    rng: np.random.Generator, climate: Climate, half: float
) -> tuple[list[Item], tuple[Streetlight, ...]]:
    items, lights = [], []
    if rng.random() < 0.7:
        side = float(rng.choice([-1.0, 1.0]))
        lit = climate.night and rng.random() < 0.75
        start = float(rng.uniform(0, 28))
        lamp = furniture.make_lamp(rng, climate, lit=lit)
        for s in (start, start + 28.0):
            items.append(Item(lamp, side * (half + 0.9), s))
            if lit:
                strength = float(rng.uniform(0.05, 0.3))
                lights.append(Streetlight(side * half, s, (255, 225, 180), strength))
    return items, tuple(lights)


def _hall(rng: np.random.Generator, climate: Climate, width: int, height: int) -> World:
    kind = str(rng.choice(["corridor", "warehouse", "deck"], p=[0.25, 0.4, 0.35]))
    half = {"corridor": 2.2, "warehouse": 4.5, "deck": 6.5}[kind] * float(rng.uniform(0.9, 1.2))
    high = {"corridor": 2.7, "warehouse": 5.5, "deck": 2.9}[kind] * float(rng.uniform(0.95, 1.15))
    lateral = float(rng.uniform(-0.5, 0.5))
    camera = _camera(rng, width, height, lateral, 0.0)
    speed = float(rng.uniform(0.7, 1.2))
    floor = pick(rng, ((150, 148, 140), (120, 128, 122), (168, 158, 140), (105, 105, 108)))
    wall = pick(rng, ((205, 202, 192), (185, 192, 195), (215, 205, 180), (150, 152, 150)))
    stripe = pick(rng, ((215, 180, 40), (225, 225, 220)))
    air, ground = climate.air, climate.ground
    lane = half - (0.4 if kind == "corridor" else 1.6)
    profile = _profile(
        [
            (-26, 26, floor, ground),
            (-lane - 0.1, -lane, stripe, ground - 0.3),
            (lane, lane + 0.1, stripe, ground - 0.3),
        ]
    )
    dark = climate.night
    hall = Hall(
        half_width=half,
        high=high,
        wall=paint(wall, air + 0.8),
        dado=paint(pick(rng, ((120, 140, 150), (140, 120, 100), wall)), air + 0.2),
        ceiling=paint((190, 190, 186), air + 2.0),
        end=paint(wall, air - 0.5),
        end_frame=paint((70, 75, 80), air - 1.5),
        lights=paint((255, 252, 240), air + (3.0 if dark else 12.0), glow=0 if dark else 255),
        bay_m=float(rng.uniform(4.0, 7.0)),
        feature={"corridor": "door", "warehouse": "shelf", "deck": "pillar"}[kind],
        feature_paint=paint(
            pick(rng, ((150, 110, 75), (90, 120, 150), (175, 172, 165))), air - 0.8
        ),
        feature_trim=paint(pick(rng, ((90, 80, 70), (60, 80, 120), (120, 120, 118))), air + 1.5),
    )
    items, flat = _hall_items(rng, climate, kind, half, lane, speed)
    return World(
        climate=climate,
        camera=camera,
        camera_speed=speed,
        sway=(float(rng.uniform(0.0005, 0.002)), float(rng.uniform(0.0, 0.008))),
        profile=profile,
        texture=ground_texture(rng),
        roughness=float(rng.uniform(0.2, 0.6)),
        sky=(np.zeros((height, width), np.uint8), (0, 0, 0), (0, 0, 0)),
        hall=hall,
        markings=lambda canvas, travel: None,
        scenery=(),
        flat=flat,
        items=items,
        lights=(),
        optics=_optics(rng, climate, width, height),
    )


def _hall_items(
    rng: np.random.Generator, climate: Climate, kind: str, half: float, lane: float, speed: float
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    items: list[Item] = []
    flat: list[Item] = []
    edge = lane + 0.2 if kind != "corridor" else lane
    for _ in range(int(rng.integers(2, 5))):
        side = float(rng.choice([-1.0, 1.0]))
        pace = float(rng.choice([-1.1, 0.0, speed, speed]))
        yaw = (0.0 if pace > 0 else np.pi) + float(rng.uniform(-0.7, 0.7))
        d = side * float(rng.uniform(0.9, max(1.1, lane - 0.3)))
        items.append(Item(make_person(rng, climate), d, float(rng.uniform(3.5, 24)), yaw, pace))
    if rng.random() < 0.5:
        items.append(Item(make_person(rng, climate), 0.0, float(rng.uniform(5, 14)), 1.0, speed,
                          lane * 0.8, 0.9))  # fmt: skip
    kinds = ["cones", "bollards", "guardrail", "block", "bike", "cartons", "heater", "free"]
    weights = np.array((0.17, 0.17, 0.16, 0.12, 0.1, 0.1, 0.05, 0.13))
    for side in (-1.0, 1.0):
        rail = furniture.make_guardrail(rng, climate)
        bollard = furniture.make_bollard(rng, climate)
        for i in range(CELLS):
            s, d = (i + 0.5) * CELL_M, side * edge
            if kind == "deck" and rng.random() < 0.45:
                car = make_car(rng, climate, running=rng.random() < 0.1)
                items.append(
                    Item(car, side * (half - 2.3), s, float(rng.choice([-1, 1])) * np.pi / 2)
                )
                stop = furniture.make_parking_block(rng, climate)
                items.append(Item(stop, side * (half - 0.2), s, np.pi / 2))
                continue
            match str(rng.choice(kinds, p=weights)):
                case "cones":
                    items += [Item(furniture.make_cone(rng, climate), d * 0.95, s + k)
                              for k in (-1.0, 0.8)]  # fmt: skip
                case "bollards":
                    items += [Item(bollard, d, s + k) for k in (-1.0, 1.0)]
                case "guardrail":
                    items.append(Item(rail, d, s))
                case "block":
                    items.append(Item(furniture.make_parking_block(rng, climate), d, s))
                case "bike":
                    yaw = float(rng.uniform(-1.2, 1.2))
                    items.append(Item(make_bike(rng, climate, ridden=False), d, s, yaw))
                case "cartons":
                    items.append(Item(furniture.make_cartons(rng, climate), d, s))
                case "heater":
                    items.append(Item(furniture.make_vending_machine(rng, climate,
                                      lit=climate.night), d, s))  # fmt: skip
    for s in np.arange(float(rng.uniform(2, 18)), RING_M, 18.0):
        if rng.random() < 0.6:
            flat.append(Item(furniture.make_bump(rng, climate, lane), 0.0, float(s)))
    if kind == "deck" and rng.random() < 0.6:
        for side in (-1.0, 1.0):
            kerb = make_kerb(rng, climate, side)
            flat += [Item(kerb, side * half * 0.99, float(s) + 6, ring=60.0, behind=6.5)
                     for s in range(0, 60, 12)]  # fmt: skip
    return tuple(items), tuple(flat)
