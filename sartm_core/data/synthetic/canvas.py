"""A pin-hole camera over a ground plane, and the planes that objects are painted on.

Coordinates are road coordinates in metres: ``d`` to the right of the road's centre line, ``y`` up
from the ground, ``z`` ahead of the camera along the road. A bend of the road is the parabola
``d + bend * z**2``: everything that stands beside the road bends with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

NEAR_M = 0.5
FAR_M = 60.0
CELSIUS_MIN = -16.0
CODES_PER_CELSIUS = 4.0
INVERSE_DEPTH_SCALE = 510.0

_SUBPIXEL_BITS = 4
_ONE_PIXEL = 16.0


@dataclass(frozen=True, slots=True)
class Paint:
    """What one surface writes: RGB and temperature code, then label and emitted light."""

    look: tuple[int, int, int, int]
    label: int
    glow: int


Part = tuple[Points, Paint]


def heat_code(celsius: float) -> int:
    """Temperature as stored on the canvas: 0..255 in steps of 0.25 degrees from -16 C."""
    return int(min(255.0, max(0.0, (celsius - CELSIUS_MIN) * CODES_PER_CELSIUS)))


def paint(color: Color, celsius: float, label: int = 0, glow: int = 0) -> Paint:
    """Paint of an RGB colour (0..255), a temperature, a class id and emitted light (0..255)."""
    r, g, b = color
    return Paint((int(r), int(g), int(b), heat_code(celsius)), label, glow)


def shaded(color: Color, factor: float) -> Color:
    """The colour times a factor of 0 or more, at most 255."""
    r, g, b = color
    return min(255, int(r * factor)), min(255, int(g * factor)), min(255, int(b * factor))


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera is and how it projects: pixels for ``focal``, ``cx`` and ``horizon``."""

    width: int
    height: int
    focal: float
    cx: float
    horizon: float
    mount: float
    lateral: float
    bend: float
    travel: float

    def project(self, points: Points) -> Points:
        """Pixel positions [N, 2] of road points [N, 3], all of them ahead of the near plane."""
        z = points[:, 2]
        scale = self.focal / z
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.cx + (points[:, 0] + (self.bend * z * z - self.lateral)) * scale
        pixels[:, 1] = self.horizon + (self.mount - points[:, 1]) * scale
        return pixels

    def scale(self, z: float) -> float:
        """Pixels per metre at a distance."""
        return self.focal / z


def clip_near(points: Points, near: float = NEAR_M) -> Points:
    """The part of a polygon [N, 3] ahead of the near plane (Sutherland-Hodgman); may be empty."""
    inside = points[:, 2] >= near
    if inside.all():
        return points
    kept: list[Points] = []
    for i in range(len(points)):
        a, b = points[i - 1], points[i]
        if inside[i] != inside[i - 1]:
            kept.append(a + (b - a) * ((near - a[2]) / (b[2] - a[2])))
        if inside[i]:
            kept.append(b)
    return np.array(kept) if len(kept) >= 3 else np.empty((0, 3))


def _fixed_point(pixels: Points) -> npt.NDArray[np.int32]:
    # Pixel centres stand at integers for OpenCV.
    scaled = pixels * _ONE_PIXEL
    scaled -= _ONE_PIXEL / 2
    return np.rint(scaled).astype(np.int32)


class Canvas:
    """Painted planes of one frame; later paint covers earlier (far to near).

    ``look`` uint8 [H, W, 4] holds RGB reflectance and the temperature code, ``meta`` uint8
    [H, W, 3] holds label, emitted light and inverse depth (510 / metres).
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.look: Image = np.zeros((camera.height, camera.width, 4), np.uint8)
        self.meta: Image = np.zeros((camera.height, camera.width, 3), np.uint8)

    def fill(self, parts: list[Part]) -> None:
        """Fill polygons of road points [N, 3], in order; what is behind the camera is clipped."""
        if not parts:
            return
        points = np.concatenate([part[0] for part in parts])
        if points[:, 2].min() < NEAR_M:
            parts = [(c, surface) for c, surface in ((clip_near(p), s) for p, s in parts) if len(c)]
            if not parts:
                return
            points = np.concatenate([part[0] for part in parts])
        fixed = _fixed_point(self.camera.project(points))
        stop = 0
        for outline, surface in parts:
            start, stop = stop, stop + len(outline)
            self._fill_fixed([fixed[start:stop]], surface, float(points[start, 2]))

    def fill_quads(self, quads: Points, surface: Paint) -> None:
        """Fill quads [N, 4, 3] that do not overlap; those behind the camera are left out."""
        quads = quads[quads[:, :, 2].min(axis=1) >= NEAR_M]
        if len(quads):
            fixed = _fixed_point(self.camera.project(quads.reshape(-1, 3))).reshape(-1, 4, 2)
            self._fill_fixed(list(fixed), surface, float(quads[0, 0, 2]))

    def fill_figure(self, parts: list[Part], d: float, z: float) -> None:
        """Fill polygons [N, 2] (metres right and up) of a flat figure that faces the camera."""
        if z < NEAR_M:
            return
        camera = self.camera
        scale = camera.scale(z)
        foot = camera.project(np.array(((d, 0.0, z),)))[0]
        pixels = np.concatenate([part[0] for part in parts]) * (scale, -scale) + foot
        fixed = _fixed_point(pixels)
        stop = 0
        for outline, surface in parts:
            start, stop = stop, stop + len(outline)
            self._fill_fixed([fixed[start:stop]], surface, z)

    def stroke(self, lines: list[Points], width_m: float, surface: Paint) -> None:
        """Draw polylines of road points [N, 3] as tubes of a width in metres."""
        z = float(min(line[:, 2].min() for line in lines))
        if z < NEAR_M:
            return
        thickness = max(1, round(width_m * self.camera.scale(z)))
        fixed: list[Any] = [_fixed_point(self.camera.project(line)) for line in lines]
        meta = (surface.label, surface.glow, _inverse_depth(z))
        for plane, value in ((self.look, surface.look), (self.meta, meta)):
            cv2.polylines(plane, fixed, False, value, thickness, cv2.LINE_8, _SUBPIXEL_BITS)

    def claim(self, polygons: list[Points], label: int) -> None:
        """Give polygons a label and leave what is seen there (a wheel between its spokes)."""
        clipped = [c for c in map(clip_near, polygons) if len(c)]
        if clipped:
            fixed: list[Any] = [_fixed_point(self.camera.project(c)) for c in clipped]
            value = (label, 0, _inverse_depth(float(clipped[0][0, 2])))
            cv2.fillPoly(self.meta, fixed, value, shift=_SUBPIXEL_BITS)

    def _fill_fixed(self, fixed: list[Any], surface: Paint, z: float) -> None:
        cv2.fillPoly(self.look, fixed, surface.look, shift=_SUBPIXEL_BITS)
        meta = (surface.label, surface.glow, _inverse_depth(z))
        cv2.fillPoly(self.meta, fixed, meta, shift=_SUBPIXEL_BITS)


def _inverse_depth(z: float) -> int:
    return min(255, int(INVERSE_DEPTH_SCALE / z)) if z > NEAR_M else 255


def circle(radius: float, corners: int = 12) -> Points:
    """A circle [corners, 2] about the origin."""
    return _unit_circle(corners) * radius


@cache
def _unit_circle(corners: int) -> Points:
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack((np.cos(angle), np.sin(angle)), axis=1)
