"""Halls: corridors, warehouses and parking decks, their shell and what stands in them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sartm_core.data.synthetic import furniture
from sartm_core.data.synthetic.canvas import FAR_M, Canvas, Paint, Part, Points, paint
from sartm_core.data.synthetic.climate import Climate, pick
from sartm_core.data.synthetic.ground import ground_profile, ground_texture
from sartm_core.data.synthetic.kerb import kerb_items
from sartm_core.data.synthetic.optics import make_camera, make_optics
from sartm_core.data.synthetic.people import make_person
from sartm_core.data.synthetic.scenery import wall_grid
from sartm_core.data.synthetic.vehicles import make_bike, make_car
from sartm_core.data.synthetic.world import CELL_M, CELLS, RING_M, Item, World

_FAR_WALL_M = FAR_M * 0.75


@dataclass(frozen=True)
class Shell:
    """Walls, ceiling and what repeats along the walls (``feature``: door, shelf or pillar)."""

    half_width: float
    high: float
    wall: Paint
    dado: Paint
    ceiling: Paint
    end: Paint
    frame: Paint
    lights: Paint
    exit_sign: Paint
    bay_m: float
    feature: str
    feature_face: Paint
    feature_trim: Paint

    def draw(self, canvas: Canvas, travel: float) -> None:
        """Draw the hall from its end wall to the camera."""
        w, h, far = self.half_width, self.high, _FAR_WALL_M
        parts: list[Part] = [
            (_facing(far, -w, w, 0.0, h), self.end),
            (_facing(far, -0.9, 0.9, 0.0, 2.2), self.frame),
            (_facing(far, -0.5, 0.5, 2.3, 2.6), self.exit_sign),
        ]
        # Walls in pieces: each piece has one depth.
        for z1, z0 in pairwise((far, 24.0, 14.0, 8.0, 4.0, 2.0, 0.6)):
            parts.append((_lying(-w, w, h, z0, z1), self.ceiling))
            for side in (-w, w):
                parts.append((_wall(side, z0, z1, 0.0, h), self.wall))
                parts.append((_wall(side, z0, z1, 0.0, 1.0), self.dado))
        first = self.bay_m - travel % self.bay_m
        for bay in range(int((far - first) / self.bay_m), -1, -1):
            z = first + self.bay_m * bay
            parts.append((_lying(-0.35, 0.35, h - 0.02, z, z + 1.4), self.lights))
            for side in (-w, w):
                parts += self._feature(side, z)
        canvas.fill(parts)

    def _feature(self, side: float, z: float) -> list[Part]:
        if self.feature == "door":
            return [
                (_wall(side, z + 0.9, z + 2.2, 0.0, 2.2), self.feature_trim),
                (_wall(side, z + 1.0, z + 2.1, 0.0, 2.1), self.feature_face),
            ]
        inward = -1.0 if side > 0 else 1.0
        if self.feature == "pillar":
            d = side + inward * 0.5
            return [
                (_wall(d, z, z + 0.6, 0.0, self.high), self.feature_face),
                (_facing(z, side, d, 0.0, self.high), self.feature_trim),
            ]
        d, length, top = side + inward, self.bay_m * 0.8, min(self.high, 2.8)
        goods = wall_grid(z, z + length, 0.0, top, (length / 3, top / 3), 0.8) + (d, 0.0, 0.0)
        surfaces = (self.feature_face, self.feature_trim)
        return [
            (_wall(d, z, z + length, 0.0, top), self.frame),
            *((quad, surfaces[i % 2]) for i, quad in enumerate(goods)),
            (_facing(z, side, d, 0.0, top), self.feature_trim),
        ]


def _wall(d: float, z0: float, z1: float, low: float, high: float) -> Points:
    return np.array(((d, low, z0), (d, low, z1), (d, high, z1), (d, high, z0)))


def _facing(z: float, d0: float, d1: float, low: float, high: float) -> Points:
    return np.array(((d0, low, z), (d1, low, z), (d1, high, z), (d0, high, z)))


def _lying(d0: float, d1: float, y: float, z0: float, z1: float) -> Points:
    return np.array(((d0, y, z0), (d1, y, z0), (d1, y, z1), (d0, y, z1)))


def make_hall(rng: np.random.Generator, climate: Climate, width: int, height: int) -> World:
    """Sample a hall."""
    kind = str(rng.choice(["corridor", "warehouse", "deck"], p=[0.25, 0.4, 0.35]))
    half = {"corridor": 2.2, "warehouse": 4.5, "deck": 6.5}[kind] * float(rng.uniform(0.9, 1.2))
    speed = float(rng.uniform(0.7, 1.2))
    floor = pick(rng, ((150, 148, 140), (120, 128, 122), (168, 158, 140), (105, 105, 108)))
    stripe = pick(rng, ((215, 180, 40), (225, 225, 220)))
    ground = climate.ground
    lane = half - (0.4 if kind == "corridor" else 1.6)
    profile = ground_profile(
        [
            (-26, 26, floor, ground),
            (-lane - 0.1, -lane, stripe, ground - 0.3),
            (lane, lane + 0.1, stripe, ground - 0.3),
        ]
    )
    shell = _make_shell(rng, climate, kind, half)
    flat = [
        Item(furniture.make_bump(rng, climate, lane), 0.0, float(s))
        for s in np.arange(float(rng.uniform(2, 18)), RING_M, 18.0)
        if rng.random() < 0.6
    ]
    if kind == "deck" and rng.random() < 0.6:
        flat += kerb_items(rng, climate, half * 0.99)
    people = _people(rng, climate, lane, speed)
    return World(
        climate=climate,
        camera=make_camera(rng, width, height, float(rng.uniform(-0.5, 0.5)), 0.0),
        camera_speed=speed,
        bobbing=(float(rng.uniform(0.0005, 0.002)), float(rng.uniform(0.0, 0.008))),
        profile=profile,
        texture=ground_texture(rng),
        roughness=float(rng.uniform(0.2, 0.6)),
        sky=None,
        markings=None,
        shell=shell.draw,
        scenery=(),
        flat=tuple(flat),
        items=(*people, *_along_walls(rng, climate, kind, half, lane)),
        lights=(),
        optics=make_optics(rng, climate, width, height),
    )


def _make_shell(rng: np.random.Generator, climate: Climate, kind: str, half: float) -> Shell:
    air, dark = climate.air, climate.night
    wall = pick(rng, ((205, 202, 192), (185, 192, 195), (215, 205, 180), (150, 152, 150)))
    high = {"corridor": 2.7, "warehouse": 5.5, "deck": 2.9}[kind] * float(rng.uniform(0.95, 1.15))
    # After hours the lamps are off, or barely glow.
    glow = int(rng.uniform(0, 50)) if dark else 255
    face = pick(rng, ((150, 110, 75), (90, 120, 150), (175, 172, 165)))
    trim = pick(rng, ((90, 80, 70), (60, 80, 120), (120, 120, 118)))
    return Shell(
        half_width=half,
        high=high,
        wall=paint(wall, air + 0.8),
        dado=paint(pick(rng, ((120, 140, 150), (140, 120, 100), wall)), air + 0.2),
        ceiling=paint((190, 190, 186), air + 2.0),
        end=paint(wall, air - 0.5),
        frame=paint((70, 75, 80), air - 1.5),
        lights=paint((255, 252, 240), air + (3.0 if dark else 12.0), glow=glow),
        exit_sign=paint((60, 230, 120), air + 5.0, glow=230),
        bay_m=float(rng.uniform(4.0, 7.0)),
        feature={"corridor": "door", "warehouse": "shelf", "deck": "pillar"}[kind],
        feature_face=paint(face, air - 0.8),
        feature_trim=paint(trim, air + 1.5),
    )


def _people(rng: np.random.Generator, climate: Climate, lane: float, speed: float) -> list[Item]:
    items: list[Item] = []
    for _ in range(int(rng.integers(2, 5))):
        side = float(rng.choice([-1.0, 1.0]))
        pace = float(rng.choice([-1.1, 0.0, speed, speed]))
        yaw = (0.0 if pace > 0 else np.pi) + float(rng.uniform(-0.7, 0.7))
        d = side * float(rng.uniform(0.9, max(1.1, lane - 0.3)))
        items.append(Item(make_person(rng, climate), d, float(rng.uniform(3.5, 24)), yaw, pace))
    if rng.random() < 0.5:
        person = make_person(rng, climate)
        s = float(rng.uniform(5, 14))
        items.append(Item(person, 0.0, s, 1.0, speed, sway=lane * 0.8, pace=0.9))
    return items


def _along_walls(
    rng: np.random.Generator, climate: Climate, kind: str, half: float, lane: float
) -> list[Item]:
    items: list[Item] = []
    edge = lane + 0.2 if kind != "corridor" else lane
    kinds = ["cones", "bollards", "guardrail", "block", "bike", "cartons", "heater", "free"]
    weights = np.array((0.17, 0.17, 0.16, 0.12, 0.1, 0.1, 0.05, 0.13))
    for side in (-1.0, 1.0):
        rail = furniture.make_guardrail(rng, climate)
        bollard = furniture.make_bollard(rng, climate)
        for cell in range(CELLS):
            s, d = (cell + 0.5) * CELL_M, side * edge
            if kind == "deck" and rng.random() < 0.45:
                car = make_car(rng, climate, running=rng.random() < 0.1)
                yaw = float(rng.choice([-1, 1])) * np.pi / 2
                stop = furniture.make_parking_block(rng, climate)
                items.append(Item(car, side * (half - 2.3), s, yaw))
                items.append(Item(stop, side * (half - 0.2), s, np.pi / 2))
                continue
            match str(rng.choice(kinds, p=weights)):
                case "cones":
                    for k in (-1.0, 0.8):
                        items.append(Item(furniture.make_cone(rng, climate), d * 0.95, s + k))
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
                    heater = furniture.make_vending_machine(rng, climate, lit=climate.night)
                    items.append(Item(heater, d, s))
    return items
