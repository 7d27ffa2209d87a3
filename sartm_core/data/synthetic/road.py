"""Roads: the street, its two sides and its traffic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sartm_core.data.synthetic import furniture
from sartm_core.data.synthetic.canvas import Canvas, Color, Points, paint
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.ground import Sky, cloud_noise, ground_profile, ground_texture
from sartm_core.data.synthetic.kerb import kerb_items
from sartm_core.data.synthetic.optics import make_camera, make_optics
from sartm_core.data.synthetic.people import make_person
from sartm_core.data.synthetic.scenery import make_building, make_foliage, make_hedge, make_tree
from sartm_core.data.synthetic.vehicles import make_bike, make_car
from sartm_core.data.synthetic.world import CELL_M, CELLS, RING_M, Item, Streetlight, World

_SCENERY_RING_M = 140.0
_LAMP_SPACING_M = RING_M / 2


def make_road(rng: np.random.Generator, climate: Climate, width: int, height: int) -> World:
    """Sample a road."""
    half = float(rng.uniform(3.5, 5.0))
    walk = half + float(rng.uniform(2.0, 3.2))
    lateral = float(rng.uniform(-1.1, 1.1))
    speed = float(rng.uniform(0.9, 1.6))
    lamps, lights = _lamps(rng, climate, half)
    items = (*_roadside(rng, climate, half, walk), *_traffic(rng, climate, half, lateral, speed))
    return World(
        climate=climate,
        camera=make_camera(rng, width, height, lateral, float(rng.uniform(-0.003, 0.003))),
        camera_speed=speed,
        bobbing=(float(rng.uniform(0.0005, 0.003)), float(rng.uniform(0.0, 0.01))),
        profile=_street_profile(rng, climate, half, walk),
        texture=ground_texture(rng),
        roughness=float(rng.uniform(0.6, 1.4)),
        sky=_make_sky(rng, climate, width, height),
        markings=_markings(rng, climate, half),
        shell=None,
        scenery=_scenery(rng, climate, walk),
        flat=(*kerb_items(rng, climate, half), *_bumps(rng, climate, half, lateral)),
        items=(*items, *lamps),
        lights=lights,
        optics=make_optics(rng, climate, width, height),
    )


def _street_profile(
    rng: np.random.Generator, climate: Climate, half: float, walk: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    asphalt = pick(rng, ((88, 88, 92), (70, 71, 76), (105, 102, 98)))
    pavement = pick(rng, ((150, 145, 138), (165, 150, 135), (125, 124, 122)))
    grass = pick(rng, ((78, 105, 50), (100, 110, 60), (90, 85, 60)))
    line: Color = (225, 225, 220)
    ground = climate.ground
    return ground_profile(
        [
            (-26, 26, grass, climate.air - (1.5 if climate.night else -1.0)),
            (-walk, walk, pavement, ground - 1.0),
            (-half, half, asphalt, ground),
            (-half + 0.25, -half + 0.4, line, ground - 0.5),
            (half - 0.4, half - 0.25, line, ground - 0.5),
        ]
    )


def _make_sky(rng: np.random.Generator, climate: Climate, width: int, height: int) -> Sky:
    clouds = cloud_noise(rng, height, width, 3)
    if climate.night:
        glow = int(rng.uniform(0, 110))
        return Sky(clouds, (10, 12, 24), (70, 62, 58), (40, 38, 42), glow, None)
    if climate.sunshine == 0.0:
        return Sky(clouds, (170, 178, 190), (215, 220, 224), (200, 204, 208), 0, None)
    low_sun = rng.random() < 0.35
    sun = (float(rng.uniform(-18, 18)), float(rng.uniform(8, 18))) if low_sun else None
    zenith = pick(rng, ((70, 125, 205), (95, 150, 215)))
    return Sky(clouds, zenith, (190, 212, 235), (240, 240, 240), 0, sun)


def _markings(
    rng: np.random.Generator, climate: Climate, half: float
) -> Callable[[Canvas, float], None]:
    """Lane dashes, perhaps a crossing, and a manhole cover that may be warm."""
    white = paint((222, 222, 216), climate.ground - 0.7)
    iron = paint((60, 58, 56), climate.ground + float(rng.uniform(-1.5, 6.0)))
    dashed = rng.random() < 0.6
    crossing = float(rng.uniform(0, RING_M)) if rng.random() < 0.4 else None
    cover = (float(rng.uniform(-half * 0.7, half * 0.7)), float(rng.uniform(0, RING_M)))
    bars = np.arange(-half + 0.6, half - 0.8, 0.9)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)

    def lying(d0: float, d1: float, z0: float, z1: float) -> Points:
        return np.array(((d0, 0, z0), (d1, 0, z0), (d1, 0, z1), (d0, 0, z1)))

    def draw(canvas: Canvas, travel: float) -> None:
        parts = []
        if dashed:
            starts = np.arange(-(travel % 7.0), RING_M, 7.0)
            parts += [(lying(-0.07, 0.07, z, z + 3.0), white) for z in starts]
        if crossing is not None:
            z = (crossing - travel) % RING_M - 4.0
            parts += [(lying(d, d + 0.45, z, z + 3.0), white) for d in bars]
        z = (cover[1] - travel) % RING_M - 1.0
        disc = np.stack((cover[0] + 0.35 * np.cos(angle), angle * 0, z + 0.35 * np.sin(angle)), 1)
        canvas.fill([*parts, (disc, iron)])

    return draw


def _bumps(rng: np.random.Generator, climate: Climate, half: float, lateral: float) -> list[Item]:
    items = []
    first = float(rng.uniform(0, RING_M / 3)) + 2.0
    for i in range(int(rng.integers(0, 4))):
        across = rng.random() < 0.6
        spread = half - 0.4 if across else half * 0.45
        d = 0.0 if across else float(np.sign(lateral)) * half * 0.5
        items.append(Item(furniture.make_bump(rng, climate, spread), d, first + i * RING_M / 3))
    return items


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
            run = 1 if kind == "car" else min(run, CELLS - cell)
            places = [(cell + i + 0.5) * CELL_M for i in range(run)]
            items += _fill_cells(rng, climate, kind, side, places, half, walk)
            cell += run
    return items


def _fill_cells(
    rng: np.random.Generator, climate: Climate, kind: str, side: float, places: list[float],
    half: float, walk: float,
) -> list[Item]:  # fmt: skip
    items: list[Item] = []
    match kind:
        case "car":
            car = make_car(rng, climate, running=rng.random() < 0.15)
            items += [
                Item(car, side * (half - 1.05), s, 0.0 if side > 0 else np.pi) for s in places
            ]
        case "bollards":
            bollard = furniture.make_bollard(rng, climate)
            items += [Item(bollard, side * (half + 0.5), s + k) for s in places for k in (-1, 1)]
        case "guardrail":
            rail = furniture.make_guardrail(rng, climate)
            items += [Item(rail, side * (half + 0.4), s) for s in places]
        case "cones":
            d = side * (half - float(rng.uniform(0.3, 1.2)))
            cones = [
                (furniture.make_cone(rng, climate), s + k) for s in places for k in (-1.2, 0.6)
            ]
            items += [Item(cone, d, s) for cone, s in cones]
        case "bikes":
            yaw = float(rng.uniform(0.5, 1.2)) * float(rng.choice([-1, 1]))
            for s in places:
                for k in range(int(rng.integers(1, 4))):
                    bike = make_bike(rng, climate, ridden=False)
                    items.append(Item(bike, side * (half + 1.1), s - 1.2 + 0.9 * k, yaw))
        case "block":
            for s in places:
                block = furniture.make_parking_block(rng, climate)
                items.append(Item(block, side * (half - 0.9), s, float(rng.uniform(-0.3, 0.3))))
        case "kit":
            for s in places:
                if rng.random() < 0.5:
                    kit = furniture.make_sign(rng, climate)
                else:
                    kit = furniture.make_vending_machine(rng, climate, lit=climate.night)
                items.append(Item(kit, side * (walk - 0.5), s))
    return items


def _traffic(
    rng: np.random.Generator, climate: Climate, half: float, lateral: float, speed: float
) -> list[Item]:
    """Persons, riders, moving cars and animals."""
    items: list[Item] = []
    if rng.random() < 0.45:
        leader = make_car(rng, climate, running=True)
        d, s = lateral + float(rng.uniform(-0.4, 0.4)), float(rng.uniform(9, 18))
        items.append(Item(leader, d, s, 0.0, speed + float(rng.uniform(0.0, 0.3))))
    passing = -1.0 if lateral > 0 else 1.0
    if rng.random() < 0.5:
        oncoming = make_car(rng, climate, running=True)
        d, s = lateral + passing * max(2.3, half * 0.5), float(rng.uniform(8, 45))
        items.append(Item(oncoming, d, s, np.pi, -float(rng.uniform(2, 5))))
    for _ in range(int(rng.integers(2, 6))):
        d = float(rng.choice([-1.0, 1.0])) * float(rng.uniform(half + 0.7, half + 2.0))
        pace = float(rng.choice([-1.3, 1.1, speed, speed]))
        yaw = (0.0 if pace > 0 else np.pi) + float(rng.uniform(-0.6, 0.6))
        # Who walks at the camera's speed stays in view: near enough to be seen well.
        s = float(rng.uniform(4, 22 if pace == speed else 45))
        items.append(Item(make_person(rng, climate), d, s, yaw, pace))
    for _ in range(int(rng.integers(0, 3))):
        crosser = make_person(rng, climate)
        d, s, phase = rng.uniform((-1, 6, 0), (1, 18, 2 * np.pi)).tolist()
        sway, pace = rng.uniform((1.5, 0.7), (half, 1.3)).tolist()
        items.append(Item(crosser, d, s, phase, speed, sway=sway, pace=pace))
    if rng.random() < 0.5:
        rider = make_bike(rng, climate, ridden=True)
        away = rng.random() < 0.6
        yaw = (0.0 if away else np.pi) + float(rng.uniform(-0.35, 0.35))
        d, s = lateral + passing * float(rng.uniform(1.4, 2.2)), float(rng.uniform(5, 20))
        items.append(Item(rider, d, s, yaw, speed + 0.4 if away else -2.5))
    if rng.random() < 0.35:
        animal = furniture.make_animal(rng, climate)
        s, phase = rng.uniform((5, 0), (14, 2 * np.pi)).tolist()
        items.append(Item(animal, 0.0, s, phase, speed, sway=half * 0.8, pace=0.9))
    return items


def _scenery(rng: np.random.Generator, climate: Climate, walk: float) -> tuple[Item, ...]:
    """Buildings, trees and hedges beyond the pavement."""
    crowns = [make_foliage(rng, climate, round_crown=True) for _ in range(2)]
    hedge = make_foliage(rng, climate, round_crown=False)
    items: list[Item] = []

    def put(prop: Prop, d: float, s: float) -> None:
        items.append(Item(prop, d, s, ring=_SCENERY_RING_M, behind=12.0))

    for side in (-1.0, 1.0):
        built = float(rng.uniform(0.2, 0.95))
        s = 0.0
        while s < _SCENERY_RING_M:
            length = float(rng.uniform(9, 20))
            if rng.random() < built:
                house = make_building(rng, climate, length - 0.5)
                put(house, side * (walk + float(rng.uniform(0.2, 2.5))), s + length / 2)
            else:
                for k in np.arange(s + 1.0, s + length, 3.2).tolist():
                    tree = make_tree(rng, climate, crowns[rng.integers(len(crowns))])
                    put(tree, side * (walk + float(rng.uniform(0.8, 5.0))), k)
                    put(make_hedge(rng, hedge), side * (walk + 0.6), k + 0.4)
            s += length
    return tuple(items)


def _lamps(
    rng: np.random.Generator, climate: Climate, half: float
) -> tuple[list[Item], tuple[Streetlight, ...]]:
    if rng.random() < 0.2:
        return [], ()
    side, start = float(rng.choice([-1.0, 1.0])), float(rng.uniform(0, _LAMP_SPACING_M))
    lit = climate.night and rng.random() < 0.8
    lamp = furniture.make_lamp(rng, climate, lit=lit)
    places = (start, start + _LAMP_SPACING_M)
    color: Color = (255, 225, 180) if rng.random() < 0.6 else (215, 255, 225)
    strength = float(rng.uniform(0.15, 0.6))
    lights = tuple(Streetlight(side * half, s, color, strength) for s in places) if lit else ()
    return [Item(lamp, side * (half + 0.9), s) for s in places], lights
