"""The shift that a registration leaves, from frames one by one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sartm_core.calibration.drift import FRAMES, ResidualShift
from tests.core.calibration.scenes import SIZE, frames


def moved(dx: float, dy: float) -> np.ndarray:
    return np.array([[1.0, 0, dx], [0, 1, dy], [0, 0, 1]])


def fed(truth: np.ndarray, count: int = FRAMES, shuffled: bool = False) -> ResidualShift:
    shift = ResidualShift()
    for rgb, thermal in frames(count, truth, shuffled=shuffled):
        shift.add(rgb, thermal)
    return shift


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (6, -4), (-9.5, 3.5)])
def test_a_shift_is_told(dx: float, dy: float) -> None:
    shift = fed(moved(dx, dy))
    assert shift.estimate() == pytest.approx((dx, dy), abs=0.6)
    assert shift.unsure_because == ""


def test_pixels_are_those_of_the_image() -> None:
    shift = ResidualShift()
    for rgb, thermal in frames(12, moved(5, 5)):
        wide = cv2.resize(rgb, (1280, 720)), cv2.resize(thermal, (1280, 720))
        shift.add(*wide)
    assert shift.estimate() == pytest.approx((20, 15), abs=2.5)


def test_too_few_frames() -> None:
    shift = fed(np.eye(3), 9)
    assert shift.estimate() is None
    assert shift.unsure_because == "9 of 10 frames so far"


def test_other_scenes_are_unsure() -> None:
    shift = fed(np.eye(3), shuffled=True)
    assert shift.estimate() is None
    assert "outlines" in shift.unsure_because


def test_darkness_is_unsure() -> None:
    shift = ResidualShift()
    for _, thermal in frames(12, np.eye(3)):
        shift.add(np.zeros((*SIZE[::-1], 3), np.uint8), thermal)
    assert shift.estimate() is None


def test_a_camera_that_is_knocked_is_seen() -> None:
    """After as many new frames as are kept, nothing of the old place is left."""
    shift = fed(np.eye(3))
    assert shift.estimate() == pytest.approx((0, 0), abs=0.5)
    for rgb, thermal in frames(FRAMES, moved(8, 0)):
        shift.add(rgb, thermal)
    assert shift.estimate() == pytest.approx((8, 0), abs=0.5)
