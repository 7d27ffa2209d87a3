"""What teachers say, rounded: how far from it, and which of it is sure enough."""

from __future__ import annotations

import numpy as np
import pytest

from sartm_core.data.teacher_planes import LEAST, TeacherPlanes, confident


def all_cells(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices((height, width))
    return rows.ravel(), columns.ravel()


def test_probabilities_are_kept_to_a_few_percent() -> None:
    rng = np.random.default_rng(0)
    exact = rng.dirichlet([0.1] * 9, (20, 30)).astype(np.float32)
    planes = TeacherPlanes.encode(exact, None)
    assert planes.codes.dtype == np.uint8
    assert planes.feature is None
    found = planes.probabilities(*all_cells(20, 30)).reshape(exact.shape)
    np.testing.assert_allclose(found.sum(axis=2), 1.0, rtol=1e-6)
    likely = exact > 2 * LEAST
    # Half a step, and once more for the sum to be 1 again.
    np.testing.assert_allclose(found[likely], exact[likely], rtol=0.045)
    assert (found[~likely] < 4 * LEAST).all()


def test_features_are_kept_to_half_a_step_of_their_channel() -> None:
    rng = np.random.default_rng(0)
    exact = (rng.standard_normal((6, 8, 4)) * [0.0, 1.0, 100.0, 1e-3]).astype(np.float32)
    probability = np.full((24, 32, 2), 0.5, np.float32)
    planes = TeacherPlanes.encode(probability, exact)
    assert planes.feature is not None
    assert planes.feature.dtype == np.int8
    found = planes.features(*all_cells(6, 8)).reshape(exact.shape)
    half = np.abs(exact).max(axis=(0, 1)) / 254
    assert (np.abs(found - exact) <= half * 1.001).all()
    np.testing.assert_allclose(planes.mean_feature(), exact.mean(axis=(0, 1)), atol=half.max())
    centred = planes.around(planes.mean_feature()).features(*all_cells(6, 8))
    np.testing.assert_allclose(centred.mean(axis=0), 0.0, atol=1e-4)


def test_each_class_has_its_own_threshold() -> None:
    """Six cells of class 0 with confidences 0.9 and 0.7, four of class 1 with 0.6 and 0.55, none of
    class 2: half of each lie above."""
    rows = [[0.9, 0.06, 0.04]] * 3 + [[0.7, 0.2, 0.1]] * 3
    rows += [[0.3, 0.6, 0.1]] * 2 + [[0.3, 0.55, 0.15]] * 2
    planes = TeacherPlanes.encode(np.array(rows, np.float32)[None], None)
    sure = confident([planes], 0.5, 0.1)
    assert 0.7 < sure[0] < 0.9
    assert 0.55 < sure[1] < 0.6
    assert sure[2] == 1.0
    everything = confident([planes, planes], 1.0, 0.1)
    assert everything[0] < 0.7
    assert everything[1] < 0.55
    assert confident([planes], 1.0, 0.65)[1] == pytest.approx(0.65)
