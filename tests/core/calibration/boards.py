"""A calibration board as known cameras see it."""

from __future__ import annotations

import cv2
import numpy as np

from sartm_core.calibration.board_views import Board, BoardViews
from sartm_core.registration import CameraModel, CameraPairModel

RGB_SIZE, THERMAL_SIZE = (640, 480), (320, 256)
BASELINE_M = 0.1


def known_rig() -> CameraPairModel:
    """Cameras with lenses, 0.1 m apart, slightly turned against each other."""
    rotation, _ = cv2.Rodrigues(np.array([0.01, -0.03, 0.015]))
    direction = np.array([1.0, 0.15, -0.1])
    return CameraPairModel(
        rgb=CameraModel(
            np.array([[600.0, 0, 318], [0, 602, 243], [0, 0, 1]]),
            np.array([-0.12, 0.05, 0.0, 0.0, 0.0]),
        ),
        thermal=CameraModel(
            np.array([[330.0, 0, 157], [0, 331, 126], [0, 0, 1]]),
            np.array([-0.2, 0.05, 0.0, 0.0, 0.0]),
        ),
        rotation=np.asarray(rotation, np.float64),
        translation=direction * BASELINE_M / np.linalg.norm(direction),
        depth_m=1.0,
    )


def poses(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotation [3,3] and the place [3] of a board's middle in the RGB camera's frame."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        turn, _ = cv2.Rodrigues(np.append(rng.uniform(-0.55, 0.55, 2), rng.uniform(-0.2, 0.2)))
        z = rng.uniform(0.75, 1.1)
        found.append((turn, np.array([*(rng.uniform(-0.12, 0.12, 2) * z), z])))
    return found


def views(board: Board, count: int, seed: int = 0) -> tuple[BoardViews, BoardViews]:
    """Where RGB and thermal see the points, with noise of a tenth of a pixel; not drawn."""
    rig, rng = known_rig(), np.random.default_rng(seed)
    both: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
    for number, pose in enumerate(poses(count, seed)):
        for camera, points, (turn, place) in zip(
            (rig.rgb, rig.thermal), both, (pose, in_thermal(pose)), strict=True
        ):
            rotation, _ = cv2.Rodrigues(turn)
            corners = board.points() - board.points().mean(axis=0)
            seen, _ = cv2.projectPoints(corners, rotation, place, camera.matrix, camera.distortion)
            points[f"{number:02}"] = seen.reshape(-1, 2) + rng.normal(0, 0.1, (len(seen), 2))
    return BoardViews(RGB_SIZE, count, both[0]), BoardViews(THERMAL_SIZE, count, both[1])


def in_thermal(pose: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A pose in the RGB camera's frame, in the thermal camera's."""
    rig = known_rig()
    return rig.rotation.T @ pose[0], rig.rotation.T @ (pose[1] - rig.translation)


def render(
    board: Board,
    camera: CameraModel,
    size: tuple[int, int],
    pose: tuple[np.ndarray, np.ndarray],
    levels: tuple[float, float],
    seed: int,
) -> np.ndarray:
    """HxW float32 of a board, anti-aliased, slightly blurred, with noise.

    Args:
        levels: of the dark and the bright parts; swap them for the other polarity.
    """
    times = 2
    x, y = np.meshgrid(*((np.arange(side * times) + 0.5) / times - 0.5 for side in size))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    rays = cv2.undistortPoints(pixels.reshape(-1, 1, 2), camera.matrix, camera.distortion)
    rays = np.column_stack([rays.reshape(-1, 2), np.ones(len(pixels))])
    turn, place = pose
    scale = (turn[:, 2] @ place) / (rays @ turn[:, 2])
    middle = board.points().mean(axis=0)
    plane = ((rays * scale[:, None] - place) @ turn + middle)[:, :2] / board.spacing_m
    dark = _dark(board, plane)
    picture = np.where(dark, levels[0], levels[1]).reshape(y.shape).astype(np.float32)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.6)
    noise = np.random.default_rng(seed).normal(0, 0.02 * abs(levels[1] - levels[0]), picture.shape)
    return np.asarray(picture + noise, np.float32)


def _dark(board: Board, plane: np.ndarray) -> np.ndarray:
    """[N] bool on the board plane, in spacings from its first point; the margin is bright."""
    if board.kind == "chessboard":
        square = np.floor(plane).astype(int)
        inside = ((square >= -1) & (square < [board.columns, board.rows])).all(axis=1)
        return inside & (square.sum(axis=1) % 2 == 0)
    row = np.clip(np.rint(plane[:, 1]), 0, board.rows - 1)
    if board.kind == "asymmetric":
        column = np.clip(np.rint((plane[:, 0] - row % 2) / 2), 0, board.columns - 1)
        centre = np.column_stack([2 * column + row % 2, row])
    else:
        centre = np.column_stack([np.clip(np.rint(plane[:, 0]), 0, board.columns - 1), row])
    return np.asarray(((plane - centre) ** 2).sum(axis=1) < 0.35**2)
