"""A pin-hole camera over a ground plane, and the planes that objects are painted on.

Coordinates are road coordinates in metres: ``d`` to the right of the road's centre line, ``y`` up
from the ground, ``z`` ahead of the camera along the road. A bend of the road is the parabola
``d + bend * z**2``: everything that stands beside the road bends with it.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Paint:
    """What one surface writes: RGB and temperature code, then label and emitted light."""

    look: tuple[int, int, int, int]
    label: int
    glow: int


def heat_code(celsius: float) -> int:
    """Temperature as stored on the canvas: 0..255 in steps of 0.25 degrees from -16 C."""
    return int(min(255.0, max(0.0, (celsius - CELSIUS_MIN) * CODES_PER_CELSIUS)))


def paint(color: Color, celsius: float, label: int = 0, glow: int = 0) -> Paint:
    """Paint of an RGB colour (0..255), a temperature, a class id and emitted light (0..255)."""
    r, g, b = color
    return Paint((int(r), int(g), int(b), heat_code(celsius)), label, glow)


def shaded(color: Color, factor: float) -> Color:
    """The colour times a factor, within 0..255."""
    r, g, b = (int(min(255.0, max(0.0, c * factor))) for c in color)
    return r, g, b


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
        d, y, z = points[:, 0], points[:, 1], points[:, 2]
        scale = self.focal / z
        u = self.cx + (d - self.lateral + self.bend * z * z) * scale
        v = self.horizon + (self.mount - y) * scale
        return np.stack((u, v), axis=1)

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
    return np.rint((pixels - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


class Canvas:
    """Painted planes of one frame; later paint covers earlier (far to near).

    ``look`` uint8 [H, W, 4] holds RGB reflectance and the temperature code, ``meta`` uint8
    [H, W, 3] holds label, emitted light and inverse depth (510 / metres).
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.look: Image = np.zeros((camera.height, camera.width, 4), np.uint8)
        self.meta: Image = np.zeros((camera.height, camera.width, 3), np.uint8)

    def fill_pixels(self, polygons: list[Points], surface: Paint, z: float) -> None:
        """Fill polygons given in pixels, at one depth."""
        fixed: list[Any] = [_fixed_point(p) for p in polygons]
        cv2.fillPoly(self.look, fixed, surface.look, shift=_SUBPIXEL_BITS)
        cv2.fillPoly(self.meta, fixed, self._meta_value(surface, z), shift=_SUBPIXEL_BITS)

    def fill(self, polygons: list[Points], surface: Paint) -> None:
        """Fill polygons of road points [N, 3]; what lies behind the camera is clipped."""
        clipped = [c for c in map(clip_near, polygons) if len(c)]
        if clipped:
            pixels = [self.camera.project(c) for c in clipped]
            self.fill_pixels(pixels, surface, float(clipped[0][:, 2].min()))

    def stroke(self, lines: list[Points], width_m: float, surface: Paint) -> None:
        """Draw polylines of road points [N, 3] as tubes of a width in metres."""
        z = float(min(line[:, 2].min() for line in lines))
        if z < NEAR_M:
            return
        thickness = max(1, round(width_m * self.camera.scale(z)))
        fixed: list[Any] = [_fixed_point(self.camera.project(line)) for line in lines]
        for plane, value in ((self.look, surface.look), (self.meta, self._meta_value(surface, z))):
            cv2.polylines(plane, fixed, False, value, thickness, cv2.LINE_8, _SUBPIXEL_BITS)

    def claim(self, polygons: list[Points], label: int) -> None:
        """Give polygons a label and leave what is seen there (a wheel between its spokes)."""
        clipped = [c for c in map(clip_near, polygons) if len(c)]
        if clipped:
            fixed: list[Any] = [_fixed_point(self.camera.project(c)) for c in clipped]
            value = (label, 0, self._inverse_depth(float(clipped[0][:, 2].min())))
            cv2.fillPoly(self.meta, fixed, value, shift=_SUBPIXEL_BITS)

    def _meta_value(self, surface: Paint, z: float) -> tuple[int, int, int]:
        return surface.label, surface.glow, self._inverse_depth(z)

    @staticmethod
    def _inverse_depth(z: float) -> int:
        return int(min(255.0, INVERSE_DEPTH_SCALE / max(z, NEAR_M)))


def circle(radius: float, corners: int = 12) -> Points:
    """A circle [corners, 2] about the origin."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack((np.cos(angle), np.sin(angle)), axis=1) * radius
