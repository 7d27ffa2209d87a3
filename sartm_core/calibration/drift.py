"""Does a registration still hold? The shift that is left, watched while the cameras run."""

from __future__ import annotations

from collections import deque
from typing import cast

import cv2
import numpy as np

from sartm_core.calibration.local_shift import Peak, find_peak
from sartm_core.data.alignment import MIN_FRAMES, REACH, SIZE, Surface, edge_correlation
from sartm_core.frames import Image
from sartm_core.registration import Size

FRAMES = 20
"""The estimate is that of the last so many frames."""

MIN_CLEARNESS = 6.0
MIN_CORRELATION = 0.05
MAX_DISAGREEMENT = 2.0  # pixels of SIZE, between every other frame and the rest


class ResidualShift:
    """The common shift of registered thermal against RGB over the last frames.

    Given a frame about once a second, so that the frames show different scenes. `add` only makes
    the images small; the work is done in `estimate`, a few milliseconds for each frame added since.
    One thread may add while another estimates.

    Attributes:
        unsure_because: why the last `estimate` gave None, else "".
    """

    def __init__(self) -> None:
        self.unsure_because = ""
        self._waiting: deque[tuple[Image, Image]] = deque(maxlen=FRAMES)
        self._surfaces: deque[Surface] = deque(maxlen=FRAMES)
        self._size: Size | None = None

    def add(self, rgb: Image, thermal: Image) -> None:
        """Take a frame.

        Args:
            rgb: HxWx3 uint8, RGB order.
            thermal: HxW uint8, the levels that the network gets, on the RGB plane.
        """
        self._size = (rgb.shape[1], rgb.shape[0])
        self._waiting.append((_small(rgb), _small(thermal)))

    def estimate(self) -> tuple[float, float] | None:
        """How far thermal lies to the right of and below RGB, in pixels of the last RGB image.

        None if that is not clear; then ``unsure_because`` says why.
        """
        while self._waiting:
            self._surfaces.append(edge_correlation(*self._waiting.popleft()))
        peak = self._peak()
        if peak is None or self._size is None:
            return None
        self.unsure_because = ""
        return peak.dx * self._size[0] / SIZE[0], peak.dy * self._size[1] / SIZE[1]

    def _peak(self) -> Peak | None:
        surfaces = list(self._surfaces)
        if len(surfaces) < MIN_FRAMES:
            self.unsure_because = f"{len(surfaces)} of {MIN_FRAMES} frames so far"
            return None
        peak = find_peak(np.mean(surfaces, axis=0), REACH)
        halves = [find_peak(np.mean(surfaces[i::2], axis=0), REACH) for i in (0, 1)]
        apart = max(np.hypot(half.dx - peak.dx, half.dy - peak.dy) for half in halves)
        if peak.correlation < MIN_CORRELATION or peak.clearness < MIN_CLEARNESS:
            self.unsure_because = "the cameras share too few outlines"
        elif apart > MAX_DISAGREEMENT:
            self.unsure_because = "the frames disagree"
        else:
            return peak
        return None


def _small(picture: Image) -> Image:
    """At SIZE; large images are thinned out first, which takes the same time at any size."""
    double = (2 * SIZE[0], 2 * SIZE[1])
    if picture.shape[1] > double[0] and picture.shape[0] > double[1]:
        picture = cast(Image, cv2.resize(picture, double, interpolation=cv2.INTER_LINEAR))
    return cast(Image, cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA))
