"""Two camera models and the pose between them from views of a calibration board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.calibration.board_views import Board, BoardViews
from sartm_core.calibration.fit import Fit, residual_summary
from sartm_core.errors import SartmError
from sartm_core.registration import CameraModel, CameraPairModel, Points, Registration, Size

MIN_VIEWS = 5
"""Of each camera, and of both at once."""

_MAX_FOCAL_DEVIATION = 0.05  # standard deviation of the focal length as a part of it
_MIN_TILT = 15.0  # degrees between the two views that differ most
_MAX_FOCAL = 10.0  # times the longer side of the image, a field of view of 6 degrees
_OUTLIER = 3.0  # times the median error of a view
_OUTLIER_PX = 1.0  # a view is no outlier below it


@dataclass(frozen=True)
class _Camera:
    model: CameraModel
    focal_deviation: float
    errors: dict[str, float]
    """View -> root mean square of its reprojection error, pixels."""
    poses: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
    """View -> rotation vector and translation of the board in the camera's frame."""


def calibrate_board(
    board: Board, rgb: BoardViews, thermal: BoardViews, depth_m: float | None = None
) -> Fit:
    """Intrinsics of both cameras and the pose between them.

    Zhang's method as OpenCV has it, with k1, k2, p1, p2. Views of one camera alone serve its
    intrinsics. Views that fit three times worse than the median (and by more than a pixel) are
    left out.

    Args:
        board: the board.
        rgb, thermal: where it was seen; views of the same name were taken at the same time.
        depth_m: distance of the plane that is registered; None = the board's median distance.

    Raises:
        SartmError: fewer than five pairs, or boards held so alike that the focal length is open.
    """
    shared = sorted(rgb.points.keys() & thermal.points.keys())
    if len(shared) < MIN_VIEWS:
        raise SartmError(
            "too few image pairs that show the board in both cameras",
            got=f"{len(shared)} (RGB {len(rgb.points)} of {rgb.images}, "
            f"thermal {len(thermal.points)} of {thermal.images})",
            expected=f"at least {MIN_VIEWS}, better 20",
            remedy="pair the files by name, hold the board still, whole and warm in both images",
        )
    ordered = {
        name: board.same_order(points, rgb.points[name]) if name in rgb.points else points
        for name, points in thermal.points.items()
    }
    cameras = {
        "RGB": _calibrate(board, "RGB", rgb.points, rgb.size),
        "thermal": _calibrate(board, "thermal", ordered, thermal.size),
    }
    first, second = cameras["thermal"], cameras["RGB"]
    used = [name for name in shared if name in first.errors and name in second.errors]
    if len(used) < MIN_VIEWS:
        raise SartmError(
            "too few image pairs in which the board fits both cameras",
            got=len(used),
            expected=f"at least {MIN_VIEWS}",
            remedy="hold the board still and take more pairs",
        )
    _, _, _, _, _, rotation, translation, *_ = cv2.stereoCalibrate(
        [board.points()] * len(used),
        [ordered[name].astype(np.float32) for name in used],
        [rgb.points[name].astype(np.float32) for name in used],
        first.model.matrix,
        first.model.distortion,
        second.model.matrix,
        second.model.distortion,
        rgb.size,
        flags=cv2.CALIB_FIX_INTRINSIC,
    )
    distances = {name: _distance(board, *second.poses[name]) for name in used}
    model = CameraPairModel(
        rgb=second.model,
        thermal=first.model,
        rotation=np.asarray(rotation, np.float64),
        translation=np.asarray(translation, np.float64).ravel(),
        depth_m=depth_m or float(np.median(list(distances.values()))),
    )
    transfers = {
        name: _transfer_errors(board, model, second.poses[name], ordered[name]) for name in used
    }
    residual = residual_summary(np.concatenate(list(transfers.values())))
    registration = Registration(rgb.size, thermal.size, model, residual)
    return Fit(
        registration,
        _facts(model, cameras, {"RGB": rgb, "thermal": thermal}, transfers, distances),
        _lines(model, cameras, {"RGB": rgb, "thermal": thermal}, used, distances, residual),
    )


def _calibrate(board: Board, camera: str, views: dict[str, Points], size: Size) -> _Camera:
    """Twice: the second time without the views that fit far worse than the others."""
    names = sorted(views)
    for last in (False, True):
        if len(names) < MIN_VIEWS:
            raise SartmError(
                f"too few {camera} images show the board",
                got=len(names),
                expected=f"at least {MIN_VIEWS}, better 20",
            )
        _, matrix, distortion, turns, places, deviations, _, errors = cv2.calibrateCameraExtended(
            [board.points()] * len(names),
            [views[name].astype(np.float32) for name in names],
            size,
            np.eye(3),
            np.zeros(5),
            flags=cv2.CALIB_FIX_K3,
        )
        errors = np.asarray(errors).ravel()
        bad = errors > max(_OUTLIER * float(np.median(errors)), _OUTLIER_PX)
        if last or not bad.any():
            break
        names = [name for name, left_out in zip(names, bad, strict=True) if not left_out]
    deviation = float(np.asarray(deviations).ravel()[0] / matrix[0, 0])
    tilt = _largest_tilt(turns)
    if (
        not deviation <= _MAX_FOCAL_DEVIATION
        or tilt < _MIN_TILT
        or matrix[0, 0] > _MAX_FOCAL * max(size)
    ):
        raise SartmError(
            f"the views of the board leave the {camera} camera's focal length open",
            got=f"{matrix[0, 0]:.0f} px with a standard deviation of {deviation:.1%}, from boards "
            f"tilted by up to {tilt:.0f} degrees against each other",
            expected=f"at most {_MAX_FOCAL_DEVIATION:.0%}, at least {_MIN_TILT:.0f} degrees",
            remedy="tilt the board by 20 to 40 degrees in different directions, and bring it into "
            "the corners of the image",
        )
    return _Camera(
        CameraModel(np.asarray(matrix, np.float64), np.asarray(distortion, np.float64).ravel()[:5]),
        deviation,
        {name: float(error) for name, error in zip(names, errors, strict=True)},
        {
            name: (np.asarray(turn, np.float64).ravel(), np.asarray(place, np.float64).ravel())
            for name, turn, place in zip(names, turns, places, strict=True)
        },
    )


def _largest_tilt(turns: Sequence[Any]) -> float:
    """Degrees between the normals of the two boards that differ most."""
    normals = np.array([cv2.Rodrigues(np.asarray(turn, np.float64))[0][:, 2] for turn in turns])
    return float(np.degrees(np.arccos(np.clip((normals @ normals.T).min(), -1, 1))))


def _distance(board: Board, turn: npt.NDArray[np.float64], place: npt.NDArray[np.float64]) -> float:
    """z of the middle of the board in the camera's frame, metres."""
    rotation, _ = cv2.Rodrigues(turn)
    return float((board.points().mean(axis=0) @ rotation.T + place)[2])


def _transfer_errors(
    board: Board,
    model: CameraPairModel,
    pose: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    seen: Points,
) -> npt.NDArray[np.float64]:
    """[N] how far board points at the pose seen by RGB fall from where thermal sees them.

    In thermal pixels, told in RGB pixels by the ratio of the focal lengths.
    """
    rotation, _ = cv2.Rodrigues(pose[0])
    at_rgb = board.points() @ rotation.T + pose[1]
    at_thermal = (at_rgb - model.translation) @ model.rotation
    points, _ = cv2.projectPoints(
        at_thermal, np.zeros(3), np.zeros(3), model.thermal.matrix, model.thermal.distortion
    )
    lengths = np.linalg.norm(np.asarray(points).reshape(-1, 2) - seen, axis=1)
    return np.asarray(lengths * model.rgb.matrix[0, 0] / model.thermal.matrix[0, 0], np.float64)


def _facts(
    model: CameraPairModel,
    cameras: dict[str, _Camera],
    views: dict[str, BoardViews],
    transfers: dict[str, npt.NDArray[np.float64]],
    distances: dict[str, float],
) -> dict[str, Any]:
    return {
        "cameras": {
            name: {
                "images": views[name].images,
                "with_board": len(views[name].points),
                "left_out": sorted(views[name].points.keys() - camera.errors.keys()),
                "focal_px": [float(camera.model.matrix[i, i]) for i in (0, 1)],
                "focal_deviation": camera.focal_deviation,
                "reprojection_px": camera.errors,
            }
            for name, camera in cameras.items()
        },
        "pairs": {
            name: {"residual_px": float(np.median(lengths)), "distance_m": distances[name]}
            for name, lengths in transfers.items()
        },
        "baseline_m": float(np.linalg.norm(model.translation)),
        "depth_m": model.depth_m,
    }


def _lines(
    model: CameraPairModel,
    cameras: dict[str, _Camera],
    views: dict[str, BoardViews],
    used: list[str],
    distances: dict[str, float],
    residual: dict[str, float],
) -> list[str]:
    lines = []
    for name, camera in cameras.items():
        matrix, seen = camera.model.matrix, views[name]
        left_out = len(seen.points) - len(camera.errors)
        lines.append(
            f"{name}: board in {len(seen.points)} of {seen.images} images"
            + (f", {left_out} left out" if left_out else "")
            + f"; focal length {matrix[0, 0]:.1f} x {matrix[1, 1]:.1f} px "
            f"(+- {camera.focal_deviation:.2%}), reprojection error "
            f"{np.median(list(camera.errors.values())):.2f} px"
        )
    rotation, _ = cv2.Rodrigues(model.rotation)
    x, y, z = model.translation * 1000
    near, far = min(distances.values()), max(distances.values())
    return [
        *lines,
        f"{len(used)} pairs, board at {near:.2f} to {far:.2f} m: thermal camera at "
        f"({x:.0f}, {y:.0f}, {z:.0f}) mm, turned by {np.degrees(np.linalg.norm(rotation)):.1f} "
        "degrees",
        f"board points: median {residual['median']:.2f}, p95 {residual['p95']:.2f} RGB pixels",
        f"registered at {model.depth_m:.2f} m; at twice the distance thermal is off by "
        f"{model.rgb.matrix[0, 0] * np.linalg.norm(model.translation) / (2 * model.depth_m):.1f} "
        "RGB pixels",
    ]
