"""Boxes with decals on their faces, and upright figures: what objects are built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sartm_core.data.synthetic.canvas import NEAR_M, Canvas, Paint, Points, clip_near


class Placement(NamedTuple):
    """Where an object stands: metres right and ahead, heading (0 = away), metres walked."""

    d: float
    z: float
    yaw: float = 0.0
    walked: float = 0.0


class Decal(NamedTuple):
    """A polygon [N, 2] in a face's own unit square (u to the right, v up) and its paint."""

    outline: Points
    surface: Paint


@dataclass(frozen=True)
class Box:
    """A box, possibly tapered: half widths and front/rear ends (metres) at bottom and top.

    ``faces`` maps rear, front, left, right, top to paint; absent faces are not drawn. ``decals``
    adds details to a face.
    """

    bottom: tuple[float, float, float]
    top: tuple[float, float, float]
    low: float
    high: float
    faces: dict[str, Paint]
    decals: dict[str, list[Decal]] = field(default_factory=dict)


def rectangle(u0: float, u1: float, v0: float, v1: float) -> Points:
    """A rectangle [4, 2]."""
    return np.array(((u0, v0), (u1, v0), (u1, v1), (u0, v1)))


def to_road(local: Points, place: Placement) -> Points:
    """Road points [N, 3] of an object's own points [N, 3] (right, up, along its heading)."""
    c, s = np.cos(place.yaw), np.sin(place.yaw)
    x, y, along = local[:, 0], local[:, 1], local[:, 2]
    return np.stack((place.d + x * c + along * s, y, place.z - x * s + along * c), axis=1)


# Corners are numbered 4 * front + 2 * right + top; each face runs bottom left, bottom right,
# top right, top left as seen from outside.
_FACES = {
    "rear": (0, 2, 3, 1),
    "front": (6, 4, 5, 7),
    "left": (4, 0, 1, 5),
    "right": (2, 6, 7, 3),
    "top": (1, 3, 7, 5),
}


def _corners(box: Box) -> Points:
    rows = []
    for end in (1, 2):
        for side in (-1.0, 1.0):
            rows.append((side * box.bottom[0], box.low, box.bottom[end]))
            rows.append((side * box.top[0], box.high, box.top[end]))
    return np.array(rows)


def draw_box(canvas: Canvas, box: Box, place: Placement) -> None:
    """Draw the faces that look at the camera, with their decals."""
    corners = to_road(_corners(box), place)
    if corners[:, 2].max() <= NEAR_M:
        return
    for name, indices in _FACES.items():
        if name not in box.faces:
            continue
        quad = corners[list(indices)]
        seen = clip_near(quad)
        if len(seen) == 0:
            continue
        pixels = canvas.camera.project(seen)
        if _signed_area(pixels) >= 0:
            continue
        canvas.fill_pixels([pixels], box.faces[name], float(seen[:, 2].min()))
        for decal in box.decals.get(name, ()):
            canvas.fill([on_face(quad, decal.outline)], decal.surface)


def on_face(quad: Points, outline: Points) -> Points:
    """Road points [N, 3] of unit-square points [N, 2] on a face [4, 3]."""
    u, v = outline[:, :1], outline[:, 1:]
    return (quad[0] * (1 - u) + quad[1] * u) * (1 - v) + (quad[3] * (1 - u) + quad[2] * u) * v


def _signed_area(pixels: Points) -> float:
    x, y = pixels[:, 0], pixels[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def limb(start: Points, end: Points, width0: float, width1: float) -> Points:
    """A tapered limb [6, 2] from one joint [2] to the next, a little rounded at its end."""
    along = end - start
    along = along / max(float(np.hypot(along[0], along[1])), 1e-6)
    across = np.array((-along[1], along[0]))
    return np.array(
        (
            start - across * width0,
            start + across * width0,
            end + across * width1,
            end + across * width1 * 0.5 + along * width1 * 0.8,
            end - across * width1 * 0.5 + along * width1 * 0.8,
            end - across * width1,
        )
    )


def upright(outline: Points, place: Placement) -> Points:
    """Road points [N, 3] of a flat figure [N, 2] (right, up) that faces the camera."""
    z = np.full(len(outline), place.z)
    return np.stack((outline[:, 0] + place.d, outline[:, 1], z), axis=1)
