"""How far thermal lies off RGB in each part of the image, by the edges of many frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sartm_core.data.alignment import Edges
from sartm_core.registration import Points, Size

MIN_CORRELATION = 0.04
MIN_CLEARNESS = 5.0
"""Height of a peak above the median of its surface, in standard deviations of that surface."""


@dataclass(frozen=True)
class Cells:
    """Windows of one size on a picture.

    Attributes:
        size: (width, height) of each, pixels.
        corners: upper left corner of each, (x, y).
    """

    size: Size
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def spread(cls, picture: Size, cell: Size, across: int, down: int) -> Cells:
        """``across`` x ``down`` windows over a picture, in rows."""
        xs, ys = (
            np.linspace(0, whole - part, count).round().astype(int).tolist()
            for whole, part, count in zip(picture, cell, (across, down), strict=True)
        )
        return cls(cell, tuple((x, y) for y in ys for x in xs))


@dataclass(frozen=True)
class LocalShifts:
    """The shift of thermal against RGB in N windows.

    Attributes:
        centres: [N,2] pixels.
        shifts: [N,2] pixels, how far thermal lies to the right and below.
        correlations: [N] of the edges at that shift.
        clear: [N] bool, whether there is one peak within reach.
    """

    centres: Points
    shifts: Points
    correlations: npt.NDArray[np.float64]
    clear: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> npt.NDArray[np.float64]:
        """Of the clear shifts, pixels."""
        return np.asarray(np.hypot(*self.shifts[self.clear].T), np.float64)


def local_shifts(
    rgb: Sequence[Edges], thermal: Sequence[Edges], cells: Cells, reach: int
) -> LocalShifts:
    """The shift in each window, by the mean over frames of the windows' cross-correlations.

    Args:
        rgb, thermal: edges of the same frames on one plane, float32 [H,W] each.
        cells: where to look.
        reach: largest shift in pixels, less than half a window.
    """
    width, height = cells.size
    fade = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    total = np.zeros((len(cells.corners), height, width))
    for pair in zip(rgb, thermal, strict=True):
        first, second = (
            np.stack([e[y : y + height, x : x + width] * fade for x, y in cells.corners])
            for e in pair
        )
        norm = np.sqrt((first**2).sum((1, 2)) * (second**2).sum((1, 2)))[:, None, None]
        product = np.fft.rfft2(second) * np.conj(np.fft.rfft2(first))
        total += np.fft.irfft2(product, s=(height, width)) / np.maximum(norm, 1e-3)
    surfaces = np.fft.fftshift(total / len(rgb), axes=(1, 2))
    peaks = np.array([find_peak(surface, reach) for surface in surfaces])
    return LocalShifts(
        centres=np.array(cells.corners, np.float64) + (np.array(cells.size) - 1) / 2,
        shifts=peaks[:, :2],
        correlations=peaks[:, 2],
        clear=(peaks[:, 2] > MIN_CORRELATION) & (peaks[:, 3] > MIN_CLEARNESS),
    )


class Peak(NamedTuple):
    """The highest place of a correlation surface.

    dx, dy: from the middle, in parts of a pixel. correlation: its height. clearness: the height
    above the surface's median in standard deviations; 0 on the rim, where it may go on rising.
    """

    dx: float
    dy: float
    correlation: float
    clearness: float


def find_peak(surface: npt.NDArray[np.floating[Any]], reach: int) -> Peak:
    """The highest place within ``reach`` pixels of the middle of a surface [H,W]."""
    y, x = surface.shape[0] // 2, surface.shape[1] // 2
    window = surface[y - reach : y + reach + 1, x - reach : x + reach + 1]
    row, column = np.unravel_index(int(window.argmax()), window.shape)
    height = float(window[row, column])
    dx, dy = float(column - reach), float(row - reach)
    if not (0 < row < 2 * reach and 0 < column < 2 * reach):
        return Peak(dx, dy, height, 0.0)
    dx += _vertex(window[row, column - 1 : column + 2])
    dy += _vertex(window[row - 1 : row + 2, column])
    clearness = (height - float(np.median(surface))) / max(float(surface.std()), 1e-9)
    return Peak(dx, dy, height, clearness)


def _vertex(three: npt.NDArray[np.floating[Any]]) -> float:
    """Where the parabola through three heights at -1, 0, 1 is highest; the middle one is."""
    bend = float(three[0] - 2 * three[1] + three[2])
    return 0.5 * float(three[0] - three[2]) / bend if bend < 0 else 0.0
