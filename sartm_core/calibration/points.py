"""A homography from points that a person marked in both images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sartm_core.calibration.fit import Fit, residual_summary, transform
from sartm_core.errors import SartmError
from sartm_core.registration import Homography, Points, Registration, Size

COLUMNS = ("thermal_x", "thermal_y", "rgb_x", "rgb_y")
INLIER_PX = 3.0
"""An inlier fits this well, in pixels of the coarser camera."""

_MIN_POINTS = 4
_MIN_SPREAD = 0.02  # of the longest extent of the points: below it they lie on a line
_MAX_BYTES = 1 << 20


class PointPairs(NamedTuple):
    """The same N points in both images: thermal [N,2] and rgb [N,2], float64 pixels."""

    thermal: Points
    rgb: Points


def read_points(path: Path) -> PointPairs:
    """Read a CSV file with the header ``thermal_x,thermal_y,rgb_x,rgb_y``.

    Raises:
        SartmError: no such file, another header, a line that is not four finite numbers.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SartmError(f"{path} is too large for a list of points", got=path.stat().st_size)
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(i, row) for i, row in enumerate(csv.reader(file), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SartmError(f"{path} cannot be read", got=error, expected="a CSV file") from error
    header = [name.strip() for name in rows[0][1]] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise SartmError(
            f"{path} is not a list of points",
            got=f"first line {','.join(header)!r}",
            expected=",".join(COLUMNS),
        )
    values = np.array([_numbers(path, line, row) for line, row in rows[1:]]).reshape(-1, 4)
    ordered = values[:, [header.index(name) for name in COLUMNS]]
    return PointPairs(ordered[:, :2], ordered[:, 2:])


def _numbers(path: Path, line: int, row: list[str]) -> list[float]:
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise SartmError(
            f"{path}, line {line} is no point", got=",".join(row), expected="four finite numbers"
        )
    return numbers


def fit_points(points: PointPairs, rgb_size: Size, thermal_size: Size) -> Fit:
    """The homography that most of the points agree on.

    A sample consensus (OpenCV's MAGSAC) finds the points that fit, least squares on these gives the
    matrix. With four points there is nothing to agree on: they are taken as they are.

    Args:
        points: at least four.
        rgb_size, thermal_size: (width, height) of the images in which they were marked.

    Raises:
        SartmError: fewer than four points, points outside their image, on a line, or without a
            homography that half of them (and at least five) fit.
    """
    count = len(points.rgb)
    if count < _MIN_POINTS:
        raise SartmError(
            "too few points for a homography",
            got=count,
            expected=f"at least {_MIN_POINTS}, better 15, spread over the whole image",
        )
    for camera, marked, size in (
        ("RGB", points.rgb, rgb_size),
        ("thermal", points.thermal, thermal_size),
    ):
        _check_inside(camera, marked, size)
        _check_spread(camera, marked)
    inside = INLIER_PX * max(1.0, rgb_size[0] / thermal_size[0])
    if count == _MIN_POINTS:
        matrix = np.asarray(
            cv2.getPerspectiveTransform(
                points.thermal.astype(np.float32), points.rgb.astype(np.float32)
            ),
            np.float64,
        )
        fitting = np.ones(count, bool)
    else:
        matrix, fitting = _consensus(points, inside)
    lengths = np.linalg.norm(transform(matrix, points.thermal) - points.rgb, axis=1)
    residual = residual_summary(lengths[fitting])
    covered = _coverage(points.rgb[fitting], rgb_size)
    lines = [
        f"{fitting.sum()} of {count} points fit within {inside:.1f} RGB pixels: "
        f"median {residual['median']:.2f}, p95 {residual['p95']:.2f}",
        f"they span {covered:.0%} of the RGB image; beyond them the homography is extrapolated",
    ]
    if count == _MIN_POINTS:
        residual = {}
        lines[0] = "4 points are fitted exactly: mark more to learn how well they fit"
    return Fit(
        Registration(rgb_size, thermal_size, Homography(matrix), residual),
        {
            "points": count,
            "inliers": int(fitting.sum()),
            "outlier_lines": [int(i) + 2 for i in np.flatnonzero(~fitting)],
            "coverage": round(covered, 4),
        },
        lines,
    )


def _consensus(points: PointPairs, inside: float) -> tuple[Points, np.ndarray]:
    """The matrix [3,3], and [N] bool: which points it was fitted to."""
    needed = max(_MIN_POINTS + 1, -(-len(points.rgb) // 2))
    found, _ = cv2.findHomography(*points, cv2.USAC_MAGSAC, inside, maxIters=10_000)
    fitting = np.zeros(len(points.rgb), bool)
    for _ in range(4):
        if found is not None:
            matrix = np.asarray(found, np.float64)
            lengths = np.linalg.norm(transform(matrix, points.thermal) - points.rgb, axis=1)
            fitting = lengths <= inside
        if fitting.sum() < needed:
            raise SartmError(
                "the points do not agree on a homography",
                got=f"at most {fitting.sum()} of {len(points.rgb)} within {inside:.1f} pixels",
                expected=f"at least {needed}",
                remedy="check that each line names the same point in both images, thermal first; "
                "mark points at about one distance",
            )
        found, _ = cv2.findHomography(points.thermal[fitting], points.rgb[fitting])
    for camera, marked in (("RGB", points.rgb), ("thermal", points.thermal)):
        _check_spread(camera, marked[fitting])
    return np.asarray(found, np.float64), fitting


def _check_inside(camera: str, marked: Points, size: Size) -> None:
    outside = ((marked < -0.5) | (marked > np.array(size) - 0.5)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise SartmError(
            f"{outside.sum()} of {len(marked)} points lie outside the {camera} image",
            got="({:g}, {:g}) in point {}".format(*marked[row], row + 1),
            expected="coordinates within {}x{}".format(*size),
            remedy="check the image sizes and the order of the columns",
        )


def _check_spread(camera: str, marked: Points) -> None:
    spread = np.linalg.svd(marked - marked.mean(axis=0), compute_uv=False)
    if spread[1] < _MIN_SPREAD * spread[0] or spread[0] == 0:
        raise SartmError(
            f"the points lie on a line in the {camera} image",
            expected="points spread over the whole image",
            remedy="mark points near the corners too",
        )


def _coverage(marked: Points, size: Size) -> float:
    hull = cv2.convexHull(marked.astype(np.float32))
    return float(cv2.contourArea(hull)) / (size[0] * size[1])
