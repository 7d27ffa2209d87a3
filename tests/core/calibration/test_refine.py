"""Refinement finds known warps, and refuses where the cameras share nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sartm_core.calibration.fit import stretched, transform
from sartm_core.calibration.local_shift import Cells, LocalShifts, find_peak, local_shifts
from sartm_core.calibration.refine import EdgeFrames, correction, refine
from sartm_core.errors import SartmError
from sartm_core.registration import CameraModel, CameraPairModel, Matrix, Registration
from tests.core.calibration.scenes import SIZE, frames

WARP = np.array([[1.03, 0.02, -10.0], [-0.02, 0.98, 11.0], [3e-5, -2e-5, 1.0]])
PLAIN = stretched(SIZE, SIZE)


def grid() -> np.ndarray:
    x, y = np.meshgrid(np.linspace(25, 295, 8), np.linspace(25, 215, 6))
    return np.column_stack([x.ravel(), y.ravel()])


def error(matrix: Matrix, truth: Matrix) -> np.ndarray:
    return np.linalg.norm(transform(matrix @ truth, grid()) - grid(), axis=1)


def test_a_warp_is_found() -> None:
    fit = refine(EdgeFrames.of(frames(16, WARP)), PLAIN)
    before, after = error(np.eye(3), WARP), error(fit.registration.model.matrix, WARP)
    assert np.median(before) > 4
    assert np.median(after) < 0.7
    reported = fit.facts["local_shift_px"]
    assert reported["before"]["median"] == pytest.approx(np.median(before), abs=2.5)
    assert fit.registration.residual_px["median"] < 0.7
    assert reported["after"]["correlation"] > reported["before"]["correlation"]


def test_the_start_counts() -> None:
    """From a registration that is nearly right, a shift far beyond reach is no obstacle."""
    far = np.array([[1.0, 0, 70], [0, 1, 0], [0, 0, 1]])
    data = EdgeFrames.of(frames(16, far))
    nearly = np.array([[1.0, 0, -66], [0, 1, 3], [0, 0, 1]])
    start = Registration(SIZE, SIZE, type(PLAIN.model)(nearly))
    inside = grid()[:, 0] < 230
    found = refine(data, start).registration.model.matrix
    assert np.median(error(found, far)[inside]) < 1.0


def test_cameras_of_different_size() -> None:
    pairs = [(rgb, thermal[::2, ::2].copy()) for rgb, thermal in frames(14, np.eye(3))]
    fit = refine(EdgeFrames.of(pairs), stretched(SIZE, (160, 120)))
    expected = transform(fit.registration.model.matrix, np.array([[80.0, 60.0]]))
    # Every second pixel was taken, so the pixel at 2x, not at 2x + 0.5, is the same place.
    np.testing.assert_allclose(expected, [[160, 120]], atol=0.7)


def test_other_scenes_are_refused() -> None:
    data = EdgeFrames.of(frames(16, np.eye(3), shuffled=True))
    with pytest.raises(SartmError, match="no clear common shift"):
        refine(data, PLAIN)


def test_darkness_is_refused() -> None:
    rng = np.random.default_rng(0)
    dark = [(rng.integers(0, 6, rgb.shape, np.uint8), thermal)
            for rgb, thermal in frames(12, np.eye(3))]  # fmt: skip
    with pytest.raises(SartmError, match="no clear common shift"):
        refine(EdgeFrames.of(dark), PLAIN)


def test_flat_pictures_are_refused() -> None:
    flat = [(np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320), np.uint8))] * 12
    with pytest.raises(SartmError, match="no clear common shift"):
        refine(EdgeFrames.of(flat), PLAIN)


def test_too_few_or_unequal_frames() -> None:
    some = frames(12, np.eye(3))
    with pytest.raises(SartmError, match="too few frames"):
        EdgeFrames.of(some[:9])
    with pytest.raises(SartmError, match="differ in size"):
        EdgeFrames.of([*some, (some[0][0][:200], some[0][1])])


def test_camera_models_and_other_sizes_are_refused() -> None:
    data = EdgeFrames.of(frames(10, np.eye(3)))
    camera = CameraModel(np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]))
    pair = CameraPairModel(camera, camera, np.eye(3), np.array([0.05, 0, 0]), 3.0)
    with pytest.raises(SartmError, match="two camera models"):
        refine(data, Registration(SIZE, SIZE, pair))
    with pytest.raises(SartmError, match="another size"):
        refine(data, stretched((640, 480), SIZE))


def test_local_shifts_point_from_rgb_to_thermal() -> None:
    """Thermal 4 to the right and 3 up, everywhere."""
    from sartm_core.data.alignment import edge_strength

    rgb, thermal = frames(1, np.array([[1.0, 0, 4], [0, 1, -3], [0, 0, 1]]))[0]
    cells = Cells.spread(SIZE, (120, 100), 2, 2)
    found = local_shifts([edge_strength(rgb[..., 0])], [edge_strength(thermal)], cells, 12)
    assert found.clear.all()
    np.testing.assert_allclose(found.shifts, [[4, -3]] * 4, atol=0.4)


def test_a_peak_on_the_rim_is_not_clear() -> None:
    surface = np.random.default_rng(0).normal(0, 0.001, (41, 41))
    surface[20, 28] = 1.0
    assert find_peak(surface, 12)[:2] == pytest.approx((8, 0), abs=0.01)
    assert find_peak(surface, 12).clearness > 10
    assert find_peak(surface, 8).clearness == 0


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_correction_is_robust(wrong: int) -> None:
    """Shifts that follow a homography give it back, also if two of them are far off."""
    x, y = np.meshgrid(np.linspace(40, 280, 6), np.linspace(40, 200, 5))
    rgb = np.column_stack([x.ravel(), y.ravel()])
    thermal = transform(WARP, rgb)
    shifts = thermal - rgb
    shifts[:wrong] += 25
    clear = np.ones(len(rgb), bool)
    found = correction(LocalShifts(rgb, shifts, np.full(len(rgb), 0.2), clear), SIZE)
    assert np.median(error(found, WARP)) < 0.5
