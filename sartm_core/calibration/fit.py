"""What every way of calibrating returns, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.registration import Homography, Matrix, Registration, Size


@dataclass(frozen=True)
class Fit:
    """A registration and how well it fits what it was made from.

    Attributes:
        registration: with its ``residual_px``.
        facts: what ``--json`` shows beside the residual, ready for JSON.
        lines: the same for a person.
    """

    registration: Registration
    facts: Mapping[str, Any]
    lines: list[str] = field(default_factory=list)


def rescaling(size: Size, other: Size) -> Matrix:
    """3x3: pixels of an image of one size to those of the same image at another size.

    Pixel centres have whole coordinates, so corners lie half a pixel outside.
    """
    x, y = other[0] / size[0], other[1] / size[1]
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])


def stretched(rgb_size: Size, thermal_size: Size) -> Registration:
    """The registration of two cameras that see the same view: thermal is stretched to RGB."""
    return Registration(rgb_size, thermal_size, Homography(rescaling(thermal_size, rgb_size)))


def transform(matrix: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points [N,2] through a 3x3 projective map."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)


def residual_summary(lengths: npt.NDArray[np.float64]) -> dict[str, float]:
    """Median and 95th percentile of error lengths in RGB pixels."""
    return {"median": float(np.median(lengths)), "p95": float(np.percentile(lengths, 95))}
