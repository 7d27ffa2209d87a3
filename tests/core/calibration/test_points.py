"""Marked points: known homographies come back, wrong lists are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.calibration.fit import transform
from sartm_core.calibration.points import PointPairs, fit_points, read_points
from sartm_core.errors import SartmError

RGB, THERMAL = (640, 480), (320, 256)
TRUTH = np.array([[2.1, 0.05, -20.0], [-0.03, 1.95, -12.0], [1e-4, -5e-5, 1.0]])


def marked(
    count: int, *, sigma: float = 0.0, outliers: int = 0, seed: int = 0, truth: np.ndarray = TRUTH
) -> PointPairs:
    """Points spread over the RGB image; the last ones are wrong."""
    rng = np.random.default_rng(seed)
    rgb, inverse = np.empty((0, 2)), np.linalg.inv(truth)
    while len(rgb) < count:
        drawn = rng.uniform((5, 5), (634, 474), (count, 2))
        seen = transform(inverse, drawn)
        rgb = np.concatenate(
            [rgb, drawn[((seen > 0) & (seen < np.array(THERMAL) - 1)).all(axis=1)]]
        )
    rgb = rgb[:count]
    thermal = transform(inverse, rgb)
    rgb = np.clip(rgb + rng.normal(0, sigma, rgb.shape), 0, (639, 479)) if sigma else rgb
    if outliers:
        rgb[-outliers:] = rng.uniform((0, 0), (639, 479), (outliers, 2))
    return PointPairs(thermal, rgb)


def matrix_error(found: np.ndarray, truth: np.ndarray = TRUTH) -> np.ndarray:
    """Lengths in RGB pixels over a grid of the thermal image."""
    x, y = np.meshgrid(np.linspace(10, 309, 12), np.linspace(10, 245, 10))
    grid = np.column_stack([x.ravel(), y.ravel()])
    return np.linalg.norm(transform(found, grid) - transform(truth, grid), axis=1)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(-0.1, 0.1),
    st.floats(-30, 30),
    st.floats(-2e-4, 2e-4),
    st.integers(4, 30),
)
def test_exact_points_give_the_exact_homography(
    seed: int, turn: float, shift: float, bend: float, count: int
) -> None:
    truth = np.array([[2.0, turn, shift], [-turn, 1.9, -shift], [bend, -bend, 1.0]])
    points = marked(count, seed=seed, truth=truth)
    area = np.linalg.svd(points.rgb - points.rgb.mean(axis=0), compute_uv=False)
    if count == 4 and area[1] < 150:
        return  # four points close to a line extrapolate rounding
    fit = fit_points(points, RGB, THERMAL)
    assert np.median(matrix_error(fit.registration.model.matrix, truth)) < 0.05


def test_noise_and_outliers() -> None:
    """60 points, sigma 1 pixel, every fifth wrong; over 20 draws."""
    errors = []
    for seed in range(20):
        fit = fit_points(marked(60, sigma=1.0, outliers=12, seed=seed), RGB, THERMAL)
        assert 44 <= fit.facts["inliers"] <= 52
        assert 0.5 < fit.registration.residual_px["median"] < 1.8
        errors.append(matrix_error(fit.registration.model.matrix))
    assert np.median(errors) < 0.5
    assert np.max(errors) < 3.0


def test_outliers_are_named_by_line() -> None:
    points = marked(20, outliers=2)
    assert fit_points(points, RGB, THERMAL).facts["outlier_lines"] == [20, 21]


def test_four_points_promise_no_residual() -> None:
    rgb = np.array([[10.0, 10], [600, 20], [610, 470], [30, 450]])
    fit = fit_points(PointPairs(transform(np.linalg.inv(TRUTH), rgb), rgb), RGB, (400, 400))
    assert fit.registration.residual_px == {}
    np.testing.assert_allclose(fit.registration.model.matrix, TRUTH, rtol=1e-3, atol=1e-4)


def _line(count: int) -> PointPairs:
    along = np.linspace(10, 200, count)
    return PointPairs(np.column_stack([along, along]), np.column_stack([2 * along, along + 5]))


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (PointPairs(*(p[:3] for p in marked(8))), "too few points"),
        (_line(12), "on a line in the RGB image"),
        (PointPairs(marked(8).thermal, marked(8).rgb + 500), "outside the RGB image"),
        (PointPairs(marked(8).thermal - 300, marked(8).rgb), "outside the thermal image"),
        (PointPairs(marked(30).thermal, marked(30, seed=5).rgb), "do not agree"),
        (PointPairs(marked(5).thermal, marked(5, outliers=1).rgb), "do not agree"),
    ],
)
def test_refused(points: PointPairs, words: str) -> None:
    with pytest.raises(SartmError, match=words):
        fit_points(points, RGB, THERMAL)


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("rgb_x, rgb_y, thermal_x, thermal_y\n1,2,3,4\n\n5,6,7,8.5\n")
    points = read_points(path)
    np.testing.assert_array_equal(points.rgb, [[1, 2], [5, 6]])
    np.testing.assert_array_equal(points.thermal, [[3, 4], [7, 8.5]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a list of points"),
        ("1,2,3,4\n", "not a list of points"),
        ("thermal_x,thermal_y,rgb_x,rgb_y\n1,2,3\n", "line 2 is no point"),
        ("thermal_x,thermal_y,rgb_x,rgb_y\n1,2,3,4\n1,2,nan,4\n", "line 3 is no point"),
        ("thermal_x,thermal_y,rgb_x,rgb_y\n1,2,3,four\n", "line 2 is no point"),
    ],
)
def test_a_file_that_is_no_list(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(SartmError, match=words):
        read_points(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match="cannot be read"):
        read_points(tmp_path / "none.csv")
