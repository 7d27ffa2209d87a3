"""Persons: an articulated figure that stands, walks or rides."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sartm_core.data.synthetic.canvas import NEAR_M, Canvas, Color, Paint, Points, circle, paint
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.solids import Placement, limb, upright

PERSON = 2

_TOPS: tuple[Color, ...] = (
    (40, 44, 60), (150, 40, 40), (200, 200, 195), (60, 90, 140), (30, 30, 32), (90, 110, 70),
    (180, 150, 90), (110, 60, 120),
)  # fmt: skip
_TROUSERS: tuple[Color, ...] = ((35, 40, 60), (28, 28, 30), (110, 100, 80), (70, 75, 85))
_SKINS: tuple[Color, ...] = ((225, 180, 150), (190, 140, 105), (120, 80, 55))
_HAIR: tuple[Color, ...] = ((25, 20, 18), (70, 48, 30), (120, 115, 110))


class Pose(NamedTuple):
    """``swing`` is the phase of the gait (or of the pedals) in radians."""

    swing: float = 0.0
    stride: float = 1.0
    sitting: bool = False


Figure = Callable[[Canvas, Placement, Pose], None]


def make_figure(rng: np.random.Generator, climate: Climate, *, sitting: bool = False) -> Figure:
    """A person's look and temperatures; the result draws it at a placement in a pose."""
    scale = float(rng.uniform(0.9, 1.06)) * (0.97 if sitting else 1.0)
    girth = float(rng.uniform(0.9, 1.25))
    coat = rng.random() < 0.35
    top_heat = climate.cloth(rng, float(rng.uniform(0.45, 0.7)))
    leg_heat = climate.cloth(rng, float(rng.uniform(0.5, 0.72)))
    face_heat = climate.skin(rng)
    top_color = pick(rng, _TOPS)
    top = paint(top_color, top_heat, PERSON)
    chest = paint(top_color, top_heat + 1.6, PERSON)
    sleeve = paint((int(top_color[0] * 0.85), int(top_color[1] * 0.85), int(top_color[2] * 0.85)),
                   top_heat - 0.8, PERSON)  # fmt: skip
    trousers_color = pick(rng, _TROUSERS)
    thigh = paint(trousers_color, leg_heat, PERSON)
    shin = paint(trousers_color, leg_heat - 1.5, PERSON)
    shoe = paint((30, 28, 28), climate.ground + 1.0, PERSON)
    skin_color = pick(rng, _SKINS)
    face = paint(skin_color, face_heat, PERSON)
    hand = paint(skin_color, face_heat - 2.5, PERSON)
    hair = paint(pick(rng, _HAIR), face_heat - float(rng.uniform(3, 6)), PERSON)
    hat = rng.random() < 0.2
    bag = paint(pick(rng, _TOPS), climate.air + 1.5, PERSON) if rng.random() < 0.35 else None
    arm_bias = float(rng.uniform(-0.2, 0.3))

    def joint(start: Points, angle: float, length: float, turn: float) -> Points:
        return start + length * np.array((np.sin(angle) * turn, -np.cos(angle)))

    def draw(canvas: Canvas, place: Placement, pose: Pose) -> None:
        if place.z < NEAR_M:
            return
        # Limbs swing along the heading; seen from ahead or behind they hardly move sideways.
        turn = float(np.sin(place.yaw))
        breadth = girth * (0.13 + 0.09 * abs(float(np.cos(place.yaw))))
        hip_height = 0.88 if not pose.sitting else 0.95
        lean = turn * (0.28 if pose.sitting else 0.05)
        hip = np.array((-0.16 * turn if pose.sitting else 0.0, hip_height))
        neck = hip + np.array((lean, 0.56))
        swing = np.sin(pose.swing) * 0.5 * pose.stride

        def part(outline: Points, surface: Paint) -> None:
            canvas.fill([upright(outline * scale, place)], surface)

        def leg(phase: float, side: float) -> None:
            root = hip + np.array((side * breadth * 0.5, 0.0))
            if pose.sitting:
                lift = 0.95 + 0.35 * np.sin(pose.swing + phase)
                knee = joint(root, lift, 0.42, turn if abs(turn) > 0.3 else side * 0.15)
                foot = joint(knee, lift - 1.15, 0.42, turn)
            else:
                angle = swing if phase == 0 else -swing
                knee = joint(root, angle + 0.12 * pose.stride, 0.43, turn)
                foot = joint(knee, angle - 0.3 * max(0.0, float(np.sin(pose.swing + phase)))
                             * pose.stride, 0.42, turn)  # fmt: skip
            part(limb(root, knee, 0.085 * girth, 0.065 * girth), thigh)
            part(limb(knee, foot, 0.06 * girth, 0.045), shin)
            toe = foot + np.array((0.12 * turn + side * 0.03, -0.02))
            part(limb(foot, toe, 0.04, 0.04), shoe)

        def arm(angle: float, side: float) -> None:
            shoulder = neck + np.array((side * (breadth + 0.04), -0.05))
            if pose.sitting:
                angle = 0.9
            elbow = joint(shoulder, angle + arm_bias, 0.29, turn) + np.array((side * 0.03, 0.0))
            wrist = joint(elbow, angle + arm_bias + 0.35, 0.25, turn)
            part(limb(shoulder, elbow, 0.055 * girth, 0.045 * girth), sleeve)
            part(limb(elbow, wrist, 0.045 * girth, 0.035), sleeve)
            part(circle(0.045, 8) + wrist, hand)

        arm(swing, -1.0)
        leg(np.pi, -1.0)
        leg(0.0, 1.0)
        low = hip + np.array((0.0, -0.32 if coat and not pose.sitting else -0.06))
        part(
            np.array(
                (
                    low + (-breadth * 0.95, 0),
                    low + (breadth * 0.95, 0),
                    hip + (breadth * 0.9, 0.2),
                    neck + (breadth * 1.15, -0.06),
                    neck + (breadth * 0.5, 0.02),
                    neck + (-breadth * 0.5, 0.02),
                    neck + (-breadth * 1.15, -0.06),
                    hip + (-breadth * 0.9, 0.2),
                )
            ),
            top,
        )
        part(circle(0.7, 10) * (breadth, 0.26) + (hip + neck) / 2 + (0, 0.12), chest)
        if bag is not None:
            back = (hip + neck) / 2 + (-0.2 * turn, 0.08)
            part(circle(1.0, 8) * (0.06 + 0.08 * abs(turn), 0.2) + back, bag)
        arm(-swing, 1.0)
        head = neck + np.array((lean * 0.3 + 0.02 * turn, 0.17))
        part(limb(neck, head, 0.05, 0.05), face)
        part(circle(1.0, 12) * (0.1, 0.135) + head, face)
        crown = circle(1.0, 12)[:7] * (0.108, 0.12) + head + (-0.015 * turn, 0.03)
        part(crown, hair)
        if hat:
            part(np.array((head + (-0.13, 0.05), head + (0.13, 0.05), head + (0.1, 0.15),
                           head + (-0.1, 0.15))), hair)  # fmt: skip
        if place.yaw % (2 * np.pi) < 0.7 or place.yaw % (2 * np.pi) > 5.6:
            part(circle(1.0, 10) * (0.09, 0.11) + head + (0, 0.02), hair)

    return draw


def make_person(rng: np.random.Generator, climate: Climate) -> Prop:
    """A pedestrian, whose gait follows the distance walked."""
    figure = make_figure(rng, climate)
    rest = float(rng.uniform(0, 2 * np.pi))
    stance = float(rng.uniform(0.15, 0.9))

    def draw(canvas: Canvas, place: Placement) -> None:
        stride = 1.0 if place.walked else stance
        figure(canvas, place, Pose(swing=rest + place.walked * 4.2, stride=stride))

    return Prop(draw, 0.22, 0.22, 1.7)
