"""Persons: an articulated figure that stands, walks or rides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

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
from sartm_core.data.synthetic.solids import Placement

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


def _limb(start: complex, end: complex, width0: float, width1: float) -> Points:
    """A tapered limb [6, 2] from one joint to the next, a little rounded at its end."""
    along = (end - start) / max(abs(end - start), 1e-6)
    across = along * 1j
    return _outline(
        start - across * width0,
        start + across * width0,
        end + across * width1,
        end + (across * 0.5 + along * 0.8) * width1,
        end + (along * 0.8 - across * 0.5) * width1,
        end - across * width1,
    )


def _outline(*corners: complex) -> Points:
    return np.array(corners).view(np.float64).reshape(-1, 2)


def _ellipse(center: complex, right: float, up: float, corners: int = 12) -> Points:
    return circle(1.0, corners) * (right, up) + (center.real, center.imag)


@dataclass(frozen=True)
class Figure:
    """A person's build and paint. Joints are complex numbers: metres right + 1j x metres up."""

    scale: float
    girth: float
    coat: bool
    hat: bool
    arm_bias: float
    top: Paint
    chest: Paint
    sleeve: Paint
    thigh: Paint
    shin: Paint
    shoe: Paint
    face: Paint
    hand: Paint
    hair: Paint
    bag: Paint | None

    def draw(self, canvas: Canvas, place: Placement, pose: Pose) -> None:
        """Draw the figure in a pose, from its far arm to its head."""
        # Limbs swing along the heading; seen from ahead or behind they hardly move sideways.
        turn, facing = math.sin(place.yaw), math.cos(place.yaw)
        breadth = self.girth * (0.13 + 0.09 * abs(facing))
        hip = complex(-0.16 * turn, 0.95) if pose.sitting else 0.88j
        neck = hip + complex(turn * (0.28 if pose.sitting else 0.05), 0.56)
        swing = math.sin(pose.swing) * 0.42 * pose.stride
        parts = [
            *self._arm(neck - breadth - 0.015, 0.9 if pose.sitting else swing, turn, -0.03),
            *self._leg(hip - breadth * 0.5, pose, turn, -1.0),
            *self._leg(hip + breadth * 0.5, pose, turn, 1.0),
            *self._trunk(hip, neck, breadth, turn, facing < -0.3, pose.sitting),
            *self._arm(neck + breadth + 0.015, 0.9 if pose.sitting else -swing, turn, 0.03),
            *self._head(neck, turn, facing),
        ]
        scaled = [(outline * self.scale, surface) for outline, surface in parts]
        canvas.fill_figure(scaled, place.d, place.z)

    def _leg(self, root: complex, pose: Pose, turn: float, side: float) -> list[Part]:
        phase = math.sin(pose.swing if side > 0 else pose.swing + math.pi)
        if pose.sitting:
            lift = 0.95 + 0.35 * phase
            knee = _joint(root, lift, 0.42, turn if abs(turn) > 0.3 else side * 0.15)
            foot = _joint(knee, lift - 1.15, 0.42, turn)
        else:
            angle = phase * 0.4 * pose.stride
            knee = _joint(root, angle + 0.12 * pose.stride, 0.43, turn)
            foot = _joint(knee, angle - 0.35 * max(0.0, -phase) * pose.stride, 0.42, turn)
        toe = foot + complex(0.12 * turn + side * 0.03, -0.02)
        return [
            (_limb(root, knee, 0.085 * self.girth, 0.065 * self.girth), self.thigh),
            (_limb(knee, foot, 0.06 * self.girth, 0.045), self.shin),
            (_limb(foot, toe, 0.04, 0.04), self.shoe),
        ]

    def _arm(self, shoulder: complex, angle: float, turn: float, outward: float) -> list[Part]:
        shoulder -= 0.1j
        elbow = _joint(shoulder, angle + self.arm_bias, 0.29, turn) + outward
        wrist = _joint(elbow, angle + self.arm_bias + 0.35, 0.25, turn)
        return [
            (_limb(shoulder, elbow, 0.055 * self.girth, 0.045 * self.girth), self.sleeve),
            (_limb(elbow, wrist, 0.045 * self.girth, 0.035), self.sleeve),
            (_ellipse(wrist, 0.045, 0.045, 8), self.hand),
        ]

    def _trunk(
        self,
        hip: complex,
        neck: complex,
        breadth: float,
        turn: float,
        from_ahead: bool,
        sitting: bool,
    ) -> list[Part]:
        hem = hip - (0.32j if self.coat and not sitting else 0.06j)
        waist, shoulders, collar = hip + 0.2j, neck - 0.06j, neck + 0.02j
        middle = (hip + neck) / 2
        trunk = _outline(
            hem - breadth * 0.95,
            hem + breadth * 0.95,
            waist + breadth * 0.9,
            shoulders + breadth * 1.08,
            collar + breadth * 0.5,
            collar - breadth * 0.5,
            shoulders - breadth * 1.08,
            waist - breadth * 0.9,
        )
        parts = [
            (trunk, self.top),
            (_ellipse(middle + 0.1j, breadth * 0.7, 0.18, 10), self.chest),
        ]
        if self.bag is not None and not from_ahead:
            back = middle + complex(-0.2 * turn, 0.08)
            parts.append((_ellipse(back, 0.06 + 0.08 * abs(turn), 0.2, 8), self.bag))
        return parts

    def _head(self, neck: complex, turn: float, facing: float) -> list[Part]:
        head = neck + complex(0.04 * turn, 0.17)
        crown = circle(1.0, 12)[:7] * (0.108, 0.12) + (head.real - 0.015 * turn, head.imag + 0.03)
        parts = [
            (_limb(neck, head, 0.05, 0.05), self.face),
            (_ellipse(head, 0.1, 0.135), self.face),
            (crown, self.hair),
        ]
        if facing > 0.75:
            parts.append((_ellipse(head + 0.015j, 0.1, 0.13, 10), self.hair))
        if self.hat:
            brim, top = head + 0.05j, head + 0.15j
            cap = _outline(brim - 0.13, brim + 0.13, top + 0.09, top - 0.09)
            parts.append((cap, self.sleeve))
        return parts


def _joint(start: complex, angle: float, length: float, turn: float) -> complex:
    """The end of a limb that hangs from ``start``, swung forward by an angle."""
    return start + length * complex(math.sin(angle) * turn, -math.cos(angle))


def make_figure(rng: np.random.Generator, climate: Climate, *, sitting: bool = False) -> Figure:
    """Sample a person's build, clothes and temperatures."""
    top_heat = climate.cloth(rng, float(rng.uniform(0.45, 0.7)))
    leg_heat = climate.cloth(rng, float(rng.uniform(0.5, 0.72)))
    face_heat = climate.skin(rng)
    top_color, trousers, skin = pick(rng, _TOPS), pick(rng, _TROUSERS), pick(rng, _SKINS)
    bag = paint(pick(rng, _TOPS), climate.air + 1.5, PERSON) if rng.random() < 0.35 else None
    return Figure(
        scale=float(rng.uniform(0.9, 1.06)) * (0.97 if sitting else 1.0),
        girth=float(rng.uniform(0.9, 1.25)),
        coat=bool(rng.random() < 0.35),
        hat=bool(rng.random() < 0.2),
        arm_bias=float(rng.uniform(-0.2, 0.3)),
        top=paint(top_color, top_heat, PERSON),
        chest=paint(top_color, top_heat + 1.6, PERSON),
        sleeve=paint(shaded(top_color, 0.85), top_heat - 0.8, PERSON),
        thigh=paint(trousers, leg_heat, PERSON),
        shin=paint(trousers, leg_heat - 1.5, PERSON),
        shoe=paint((30, 28, 28), climate.ground + 1.0, PERSON),
        face=paint(skin, face_heat, PERSON),
        hand=paint(skin, face_heat - 2.5, PERSON),
        hair=paint(pick(rng, _HAIR), face_heat - float(rng.uniform(3, 6)), PERSON),
        bag=bag,
    )


def make_person(rng: np.random.Generator, climate: Climate) -> Prop:
    """A pedestrian, whose gait follows the distance walked."""
    figure = make_figure(rng, climate)
    rest = float(rng.uniform(0, 2 * np.pi))
    stance = float(rng.uniform(0.1, 0.4))

    def draw(canvas: Canvas, place: Placement) -> None:
        stride = stance if place.walked is None else 1.0
        figure.draw(canvas, place, Pose(rest + (place.walked or 0.0) * 4.2, stride))

    return Prop(draw, 0.22, 0.22, 1.7)
