"""A homography refined on ordinary frames: RGB edges against registered thermal edges.

Outlines show in both cameras, but a single frame tells little: most edges belong to one camera
alone. Summed over a few dozen frames, the cross-correlation of the edges in each part of the image
has one peak. The shifts at these peaks, in ever smaller parts, are fitted by a small projective
correction, robustly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.calibration.fit import Fit, rescaling, residual_summary, transform
from sartm_core.calibration.local_shift import Cells, LocalShifts, local_shifts
from sartm_core.data.alignment import MIN_FRAMES, Edges, edge_strength
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.registration import Homography, Matrix, Points, Registration, Size

LONG_SIDE = 320
"""Pixels of the longer side at which edges are compared."""

GRID = 3
"""The residual is that of GRID x GRID cells."""

_MIN_CLEAR_CELLS = 5  # of GRID x GRID
_GRID_REACH = 24


class _Level(NamedTuple):
    part: int  # side of a square part, pixels of LONG_SIDE
    reach: int  # largest shift


_LEVELS = (_Level(160, 40), _Level(128, 32), _Level(96, 20), _Level(96, 12), _Level(80, 8),
           _Level(80, 8))  # fmt: skip
STEPS = len(_LEVELS) + 2
"""How often `refine` goes through the frames."""

_TURN_RIDGE = np.array([1.0, 1.0, 1e-3, 1.0, 1.0, 1e-3, 3.0, 3.0]) * 1e-3
_OUTLIER_PX = 1.5


@dataclass(frozen=True)
class EdgeFrames:
    """Frames made small: RGB edges and thermal levels.

    Attributes:
        rgb_size, thermal_size: (width, height) of the cameras' images.
        rgb: float32 [h,w] edges, LONG_SIDE pixels long.
        thermal: uint8 [h,w].
    """

    rgb_size: Size
    thermal_size: Size
    rgb: list[Edges]
    thermal: list[Image]

    @classmethod
    def of(cls, frames: Iterable[tuple[Image, Image]]) -> EdgeFrames:
        """Make frames small.

        Args:
            frames: (HxWx3 uint8 RGB, hxw uint8 normalised thermal), all of the same sizes.

        Raises:
            SartmError: too few frames, or sizes that differ.
        """
        sizes: set[tuple[Size, Size]] = set()
        edges, levels = [], []
        for rgb, thermal in frames:
            sizes.add((_size(rgb), _size(thermal)))
            grey = cast(Image, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
            edges.append(edge_strength(_reduced(grey)))
            levels.append(_reduced(thermal))
        if len(edges) < MIN_FRAMES:
            raise SartmError(
                "too few frames to refine a registration",
                got=len(edges),
                expected=f"at least {MIN_FRAMES}, better 40, of different scenes",
            )
        if len(sizes) > 1:
            raise SartmError(
                "the images differ in size",
                got=", ".join(sorted("{}x{} + {}x{}".format(*a, *b) for a, b in sizes)[:3]),
                expected="one size for each camera",
            )
        ((rgb_size, thermal_size),) = sizes
        return cls(rgb_size, thermal_size, edges, levels)

    @property
    def small_rgb(self) -> Size:
        return _size(self.rgb[0])

    @property
    def small_thermal(self) -> Size:
        return _size(self.thermal[0])

    def shifts(self, matrix: Matrix, cells: Cells, reach: int) -> LocalShifts:
        """Local shifts left by a homography between the small images, small pixels."""
        registration = Registration(self.small_rgb, self.small_thermal, Homography(matrix))
        moved = (registration.apply(thermal, self.small_rgb) for thermal in self.thermal)
        return local_shifts(
            self.rgb,
            [edge_strength(cast(Image, levels), valid) for levels, valid in moved],
            cells,
            reach,
        )

    def to_small(self, matrix: Matrix) -> Matrix:
        """A homography between the cameras' images as one between the small images."""
        return (
            rescaling(self.rgb_size, self.small_rgb)
            @ matrix
            @ rescaling(self.small_thermal, self.thermal_size)
        )

    def to_full(self, matrix: Matrix) -> Matrix:
        """The inverse of `to_small`."""
        return (
            rescaling(self.small_rgb, self.rgb_size)
            @ matrix
            @ rescaling(self.thermal_size, self.small_thermal)
        )

    def residual(self, matrix: Matrix) -> LocalShifts:
        """Local shifts in GRID x GRID cells that a small homography leaves, small pixels."""
        width, height = (side // GRID for side in self.small_rgb)
        cells = Cells.spread(self.small_rgb, (width, height), GRID, GRID)
        return self.shifts(matrix, cells, min(_GRID_REACH, (min(width, height) - 1) // 2))


def refine(
    frames: EdgeFrames, initial: Registration, *, advance: Callable[[], None] = lambda: None
) -> Fit:
    """Refine a homography so that thermal edges fall on RGB edges.

    Args:
        frames: at least 10 of different scenes, better 40.
        initial: a homography, off by at most an eighth of the image's width and a twentieth in
            scale.
        advance: called after each of STEPS steps.

    Returns:
        The refined homography; its residual is that of the local shifts in GRID x GRID cells.

    Raises:
        SartmError: ``initial`` is no homography or of another size, or the frames' edges have no
            clear common peak.
    """
    if not isinstance(initial.model, Homography):
        raise SartmError(
            "a registration by two camera models is not refined",
            expected="a homography",
            remedy="calibrate with --board again, or refine without --registration",
        )
    for camera, size, expected in (
        ("RGB", frames.rgb_size, initial.rgb_size),
        ("thermal", frames.thermal_size, initial.thermal_size),
    ):
        if size != expected:
            raise SartmError(
                f"the {camera} images have another size than the registration's",
                got="{}x{}".format(*size),
                expected="{}x{}".format(*expected),
            )
    matrix = frames.to_small(initial.model.matrix)
    before = frames.residual(matrix)
    advance()
    for number, level in enumerate(_LEVELS):
        shifts = frames.shifts(matrix, _parts(frames.small_rgb, level.part), level.reach)
        if number == 0 and shifts.clear.mean() < 0.5:
            raise _unclear(shifts)
        if shifts.clear.sum() >= 3:
            matrix = correction(shifts, frames.small_rgb) @ matrix
        advance()
    after = frames.residual(matrix)
    advance()
    if after.clear.sum() < _MIN_CLEAR_CELLS:
        raise _unclear(after)
    return _fit(frames, matrix, before, after)


def correction(shifts: LocalShifts, picture: Size) -> Matrix:
    """The projective map, close to identity, that undoes the clear shifts of a picture.

    Iteratively reweighted least squares on the linearised equations, with a ridge towards identity
    for scale, rotation and perspective: few shifts move the picture, many may also bend it.
    """
    middle, half = (np.array(picture) - 1) / 2, max(picture) / 2
    rgb = (shifts.centres[shifts.clear] - middle) / half
    thermal = rgb + shifts.shifts[shifts.clear] / half
    weights = shifts.correlations[shifts.clear]
    design, target = _linear_equations(thermal, rgb)
    ridge = np.diag(_TURN_RIDGE * weights.sum())
    identity = np.array([1.0, 0, 0, 0, 1, 0, 0, 0])
    trust = weights
    for _ in range(10):
        weighted = design * np.concatenate([trust, trust])[:, None]
        found = np.linalg.solve(weighted.T @ design + ridge, weighted.T @ target + ridge @ identity)
        matrix = np.append(found, 1.0).reshape(3, 3)
        errors = np.linalg.norm(transform(matrix, thermal) - rgb, axis=1) * half
        trust = weights / (1 + (errors / _OUTLIER_PX) ** 2)
    inward = np.array([[1 / half, 0, -middle[0] / half], [0, 1 / half, -middle[1] / half],
                       [0, 0, 1]])  # fmt: skip
    return np.asarray(np.linalg.inv(inward) @ matrix @ inward, np.float64)


def _linear_equations(source: Points, target: Points) -> tuple[Matrix, npt.NDArray[np.float64]]:
    """[2N,8] and [2N]: the equations that the first 8 elements of a homography fulfil."""
    (x, y), (u, v) = source.T, target.T
    one, none = np.ones(len(x)), np.zeros(len(x))
    across = np.stack([x, y, one, none, none, none, -u * x, -u * y], axis=1)
    down = np.stack([none, none, none, x, y, one, -v * x, -v * y], axis=1)
    return np.concatenate([across, down]), np.concatenate([u, v])


def _parts(picture: Size, side: int) -> Cells:
    """Square parts that overlap by half."""
    side = min(side, *picture)
    across, down = (max(round((whole - side) / (side / 2)) + 1, 1) for whole in picture)
    return Cells.spread(picture, (side, side), across, down)


def _fit(frames: EdgeFrames, matrix: Matrix, before: LocalShifts, after: LocalShifts) -> Fit:
    scale = frames.rgb_size[0] / frames.small_rgb[0]
    cells = GRID * GRID
    summaries = {
        name: {
            **({} if not shifts.clear.any() else residual_summary(shifts.lengths * scale)),
            "clear_cells": int(shifts.clear.sum()),
            "correlation": float(shifts.correlations.mean()),
        }
        for name, shifts in (("before", before), ("after", after))
    }
    residual = {key: summaries["after"][key] for key in ("median", "p95")}
    full = frames.to_full(matrix)
    lines = [
        f"{name:6} local shifts: "
        + (f"median {s['median']:.2f}, p95 {s['p95']:.2f} RGB pixels" if "median" in s else "none")
        + f" ({s['clear_cells']} of {cells} cells clear, edge correlation {s['correlation']:.3f})"
        for name, s in summaries.items()
    ]
    return Fit(
        Registration(frames.rgb_size, frames.thermal_size, Homography(full / full[2, 2]), residual),
        {"frames": len(frames.rgb), "cells": cells, "local_shift_px": summaries},
        lines,
    )


def _unclear(shifts: LocalShifts) -> SartmError:
    return SartmError(
        "the cameras' edges show no clear common shift",
        got=f"a peak in {shifts.clear.sum()} of {len(shifts.clear)} parts of the image, "
        f"correlation {shifts.correlations.mean():.3f}",
        expected="a peak in most parts",
        remedy="use frames by day with outlines in both cameras, of different scenes; if thermal "
        "is off by more than an eighth of the width, start from --registration made with --points",
    )


def _reduced(picture: Image) -> Image:
    width, height = _size(picture)
    scale = LONG_SIDE / max(width, height)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cast(Image, cv2.resize(picture, size, interpolation=kind))


def _size(picture: npt.NDArray[np.float32] | Image) -> Size:
    return picture.shape[1], picture.shape[0]
