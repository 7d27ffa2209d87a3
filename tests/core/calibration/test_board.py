"""A board rendered through known cameras gives these cameras back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sartm_core.calibration.board import calibrate_board
from sartm_core.calibration.board_views import Board, BoardViews, find_board
from sartm_core.calibration.fit import Fit
from sartm_core.errors import SartmError
from sartm_core.thermal import normalise
from tests.core.calibration.boards import (
    BASELINE_M,
    RGB_SIZE,
    THERMAL_SIZE,
    in_thermal,
    known_rig,
    poses,
    render,
    views,
)

BOARD = Board.parse("chessboard:9x6:0.05")


def drawn(board: Board, count: int) -> tuple[BoardViews, BoardViews]:
    """Found in pictures: RGB by daylight, thermal as raw counts with the other polarity."""
    rig = known_rig()
    rgb, thermal = {}, {}
    for number, pose in enumerate(poses(count)):
        name = f"{number:02}"
        picture = render(board, rig.rgb, RGB_SIZE, pose, (30, 220), number)
        rgb[name] = np.clip(picture, 0, 255).astype(np.uint8)
        counts = render(board, rig.thermal, THERMAL_SIZE, in_thermal(pose), (30400, 29500), number)
        thermal[name] = normalise(counts.astype(np.uint16))
    files = {name: Path(f"{name}.png") for name in rgb}
    return (
        find_board(board, "RGB", files, iter(rgb.values())),
        find_board(board, "thermal", files, iter(thermal.values())),
    )


@pytest.fixture(scope="module")
def fit() -> Fit:
    return calibrate_board(BOARD, *drawn(BOARD, 12))


@pytest.mark.parametrize("text", ["circles:7x5:0.06", "asymmetric:4x11:0.03"])
def test_circles_are_found_where_they_are(text: str) -> None:
    board = Board.parse(text)
    for found, true in zip(drawn(board, 2), views(board, 2), strict=True):
        assert found.points.keys() == true.points.keys()
        for name, points in found.points.items():
            same = board.same_order(points, true.points[name])
            assert np.linalg.norm(same - true.points[name], axis=1).mean() < 0.5


@pytest.mark.parametrize("text", ["circles:7x5:0.06", "asymmetric:4x11:0.03"])
def test_circles_give_the_cameras(text: str) -> None:
    board = Board.parse(text)
    found = calibrate_board(board, *views(board, 15)).registration.model
    assert abs(found.rgb.matrix[0, 0] - 600) < 6
    np.testing.assert_allclose(found.translation, known_rig().translation, atol=0.05 * BASELINE_M)


def test_the_cameras_come_back(fit: Fit) -> None:
    """The issue's limits: focal lengths within 1 %, baseline within 5 %."""
    rig, found = known_rig(), fit.registration.model
    for own, true in ((found.rgb, rig.rgb), (found.thermal, rig.thermal)):
        np.testing.assert_allclose(
            own.matrix[[0, 1], [0, 1]], true.matrix[[0, 1], [0, 1]], rtol=0.01
        )
    np.testing.assert_allclose(found.translation, rig.translation, atol=0.05 * BASELINE_M)
    np.testing.assert_allclose(found.rotation, rig.rotation, atol=0.01)


def test_the_registration_is_that_of_the_rig(fit: Fit) -> None:
    """At the depth that was chosen, in thermal pixels."""
    rig = known_rig()
    x, y = np.meshgrid(np.linspace(60, 580, 9), np.linspace(60, 420, 7))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    true = type(rig)(
        rig.rgb, rig.thermal, rig.rotation, rig.translation, fit.registration.model.depth_m
    )
    off = fit.registration.model.to_thermal(pixels) - true.to_thermal(pixels)
    assert np.median(np.linalg.norm(off, axis=1)) < 0.3
    assert 0.75 < fit.registration.model.depth_m < 1.1
    assert fit.registration.residual_px["median"] < 0.5


def test_depth_is_the_users_if_given() -> None:
    fit = calibrate_board(BOARD, *views(BOARD, 10), depth_m=6.5)
    assert fit.registration.model.depth_m == 6.5


def test_a_moved_board_is_left_out() -> None:
    rgb, thermal = views(BOARD, 12)
    bent = rgb.points["03"].copy()
    bent[:20] += 6
    rgb.points["03"] = bent
    fit = calibrate_board(BOARD, rgb, thermal)
    assert fit.facts["cameras"]["RGB"]["left_out"] == ["03"]
    assert abs(fit.registration.model.rgb.matrix[0, 0] - 600) < 6


def test_either_end_of_the_board_may_come_first() -> None:
    rgb, thermal = views(BOARD, 8)
    turned = {n: p[::-1] if int(n) % 2 else p for n, p in thermal.points.items()}
    fit = calibrate_board(BOARD, rgb, BoardViews(thermal.size, thermal.images, turned))
    assert abs(np.linalg.norm(fit.registration.model.translation) - BASELINE_M) < 0.005


def test_too_few_pairs_say_how_many() -> None:
    rgb, thermal = views(BOARD, 8)
    few = BoardViews(thermal.size, 8, {n: thermal.points[n] for n in ("00", "01", "02")})
    with pytest.raises(SartmError, match=r"got 3 \(RGB 8 of 8, thermal 3 of 8\)"):
        calibrate_board(BOARD, rgb, few)


def test_a_board_that_is_never_tilted_is_refused() -> None:
    points = {}
    rng = np.random.default_rng(0)
    for number in range(8):
        grid = BOARD.points()[:, :2] * 600 / 0.9 + rng.uniform(50, 200, 2)
        points[str(number)] = grid + rng.normal(0, 0.2, grid.shape)
    flat = BoardViews(RGB_SIZE, 8, points)
    with pytest.raises(SartmError, match="leave the RGB camera's focal length open"):
        calibrate_board(BOARD, flat, flat)


def test_no_board_anywhere() -> None:
    grey = np.full((240, 320), 128, np.uint8)
    files = {name: Path(name) for name in "ab"}
    with pytest.raises(SartmError, match="in none of 2 thermal images"):
        find_board(BOARD, "thermal", files, iter([grey, grey]))


def test_sizes_that_differ_name_the_file() -> None:
    pictures = [np.full((240, 320), 128, np.uint8), np.full((120, 160), 128, np.uint8)]
    files = {name: Path(f"{name}.png") for name in "ab"}
    with pytest.raises(SartmError, match=r"160x120 in b\.png"):
        find_board(BOARD, "RGB", files, iter(pictures))


@pytest.mark.parametrize(
    "text",
    ["", "chessboard", "chessboard:9x6", "stars:9x6:0.04", "chessboard:9:0.04",
     "chessboard:1x6:0.04", "chessboard:9x6:0", "chessboard:9x6:nan", "circles:5x5:0.1"],
)  # fmt: skip
def test_no_board(text: str) -> None:
    with pytest.raises(SartmError):
        Board.parse(text)
