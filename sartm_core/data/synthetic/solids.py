"""Boxes with decals on their faces, and upright figures: what objects are built from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sartm_core.data.synthetic.canvas import NEAR_M, Canvas, Paint, Part, Points


class Placement(NamedTuple):
    """Where an object stands: metres right and ahead, and its heading (0 = away).

    ``walked`` is how many metres it has gone, None for what stands still.
    """

    d: float
    z: float
    yaw: float = 0.0
    walked: float | None = None


class Decals(NamedTuple):
    """Polygons in a face's own unit square (u to the right, v up): points [N, 2], sizes, paints."""

    outlines: Points
    sizes: tuple[int, ...]
    surfaces: tuple[Paint, ...]


def decals(*parts: Part) -> Decals:
    """Details of a face, in drawing order."""
    return Decals(
        np.concatenate([outline for outline, _ in parts]),
        tuple(len(outline) for outline, _ in parts),
        tuple(surface for _, surface in parts),
    )


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
    decals: dict[str, Decals] = field(default_factory=dict)


def rectangle(u0: float, u1: float, v0: float, v1: float) -> Points:
    """A rectangle [4, 2]."""
    return np.array(((u0, v0), (u1, v0), (u1, v1), (u0, v1)))


def to_road(local: Points, place: Placement) -> Points:
    """Road points [N, 3] of an object's own points [N, 3] (right, up, along its heading)."""
    c, s = math.cos(place.yaw), math.sin(place.yaw)
    road = np.empty_like(local)
    road[:, 0] = place.d + local[:, 0] * c + local[:, 2] * s
    road[:, 1] = local[:, 1]
    road[:, 2] = place.z - local[:, 0] * s + local[:, 2] * c
    return road


# Corners are numbered 4 * front + 2 * right + top; each face runs bottom left, bottom right,
# top right, top left as seen from outside.
_FACES = ("rear", "front", "left", "right", "top")
_FACE_CORNERS = np.array(((0, 2, 3, 1), (6, 4, 5, 7), (4, 0, 1, 5), (2, 6, 7, 3), (1, 3, 7, 5)))


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
    camera = canvas.camera
    quads = corners[_FACE_CORNERS]
    # A face is seen when the camera is on its outer side: the sign of a volume.
    eye = np.array((camera.lateral - camera.bend * place.z**2, camera.mount, 0.0))
    seen = np.linalg.det(quads[:, (0, 1, 3)] - eye) > 0
    parts: list[Part] = []
    for name, quad, visible in zip(_FACES, quads, seen, strict=True):
        if visible and name in box.faces:
            parts.append((quad, box.faces[name]))
            if name in box.decals:
                parts += _on_face(quad, box.decals[name])
    canvas.fill(parts)


def _on_face(quad: Points, details: Decals) -> list[Part]:
    u, v = details.outlines[:, :1], details.outlines[:, 1:]
    uv = u * v
    points = quad[0] * (1 - u - v + uv) + quad[1] * (u - uv) + quad[3] * (v - uv) + quad[2] * uv
    parts, stop = [], 0
    for size, surface in zip(details.sizes, details.surfaces, strict=True):
        start, stop = stop, stop + size
        parts.append((points[start:stop], surface))
    return parts
