"""Thermal cameras that are mounted on their side or upside down."""

from __future__ import annotations

import numpy as np
import pytest

from sartm_core.errors import SartmError
from sartm_core.orientation import FLIPS, ROTATIONS, Orientation

IMAGE = np.arange(6, dtype=np.uint16).reshape(2, 3)


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_as_numpy_turns_and_mirrors(rotate: int, flip: str, dtype: type) -> None:
    expected = np.rot90(IMAGE, -rotate // 90)
    if flip != "none":
        expected = np.fliplr(expected) if flip == "horizontal" else np.flipud(expected)
    upright = Orientation(rotate, flip).apply(IMAGE.astype(dtype))
    np.testing.assert_array_equal(upright, expected)
    assert upright.dtype == dtype


def test_nothing_to_do_is_no_copy() -> None:
    assert Orientation().apply(IMAGE) is IMAGE


@pytest.mark.parametrize(("rotate", "flip"), [(45, "none"), (0, "both")])
def test_anything_else_is_refused(rotate: int, flip: str) -> None:
    with pytest.raises(SartmError, match="unknown orientation"):
        Orientation(rotate, flip)
