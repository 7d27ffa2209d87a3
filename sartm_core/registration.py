"""Thermal onto the RGB image plane: where in the thermal image each pixel of the RGB image lies.

Two forms, in one file format (docs/calibration.md):

- a homography, right at one depth only (and where the cameras share their centre);
- two camera models with the pose between them, right on the plane at ``depth_m`` before the RGB
  camera.

Pixel centres have whole coordinates, as in OpenCV.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from sartm_core.errors import BadImageError, SartmError
from sartm_core.files import write_bytes_atomic
from sartm_core.frames import Image, ThermalImage

SCHEMA_VERSION = 1
ASPECT_TOLERANCE = 0.02
"""Images at another resolution than the registration's are taken if their aspect differs less."""

_KEPT_MAPS = 4
_MAX_BYTES = 1 << 20
_MIN_SHARED = 0.02  # of the RGB image
Size = tuple[int, int]
Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Homography:
    """Thermal pixels to RGB pixels by one projective map.

    Attributes:
        matrix: 3x3, float64; (x, y, 1) of the thermal image to that of the RGB image.
    """

    matrix: Matrix

    def __post_init__(self) -> None:
        _check_matrix("homography", self.matrix, (3, 3))
        if abs(np.linalg.det(self.matrix / np.abs(self.matrix).max())) < 1e-12:
            raise SartmError("homography is singular", got=self.matrix.tolist())

    def to_thermal(self, rgb: Points) -> Points:
        """RGB pixels [N,2] to thermal pixels [N,2]; NaN behind the camera."""
        homogeneous = np.column_stack([rgb, np.ones(len(rgb))]) @ np.linalg.inv(self.matrix).T
        with np.errstate(divide="ignore", invalid="ignore"):
            points = homogeneous[:, :2] / homogeneous[:, 2:]
        # The sign of the scale at the middle of the picture tells which side is in front.
        points[homogeneous[:, 2] * homogeneous[len(homogeneous) // 2, 2] <= 0] = np.nan
        return cast(Points, points)


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A pinhole camera with the distortion of OpenCV (plumb_bob, rational_polynomial).

    Attributes:
        matrix: 3x3, focal lengths and principal point in pixels.
        distortion: [4], [5] or [8]: k1, k2, p1, p2[, k3[, k4, k5, k6]].
    """

    matrix: Matrix
    distortion: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))

    def __post_init__(self) -> None:
        _check_matrix("camera matrix", self.matrix, (3, 3))
        if self.matrix[0, 0] <= 0 or self.matrix[1, 1] <= 0:
            raise SartmError(
                "camera matrix without focal lengths",
                got=self.matrix.tolist(),
                expected="[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels",
            )
        if (
            self.distortion.shape not in ((4,), (5,), (8,))
            or not np.isfinite(self.distortion).all()
        ):
            raise SartmError(
                "distortion is not that of a camera model",
                got=self.distortion.tolist(),
                expected="4, 5 or 8 coefficients (plumb_bob, rational_polynomial)",
            )


@dataclass(frozen=True, eq=False)
class CameraPairModel:
    """Two cameras that look at a plane before the RGB camera.

    Attributes:
        rgb, thermal: the cameras.
        rotation, translation: [3,3] and [3] in metres; a point of the thermal camera's frame in the
            RGB camera's frame (x right, y down, z forward).
        depth_m: distance of the plane z = depth in the RGB camera's frame, metres.
    """

    rgb: CameraModel
    thermal: CameraModel
    rotation: Matrix
    translation: npt.NDArray[np.float64]
    depth_m: float

    def __post_init__(self) -> None:
        _check_matrix("rotation", self.rotation, (3, 3))
        _check_matrix("translation", self.translation, (3,))
        if not np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-3):
            raise SartmError("rotation is not a rotation matrix", got=self.rotation.tolist())
        if not 0 < self.depth_m < 1e6:
            raise SartmError("depth_m is no distance", got=self.depth_m, expected="metres, above 0")

    def to_thermal(self, rgb: Points) -> Points:
        """RGB pixels [N,2] to thermal pixels [N,2]; NaN behind the thermal camera."""
        rays = cv2.undistortPoints(
            rgb.reshape(-1, 1, 2), self.rgb.matrix, self.rgb.distortion
        ).reshape(-1, 2)
        plane = self.depth_m * np.column_stack([rays, np.ones(len(rays))])
        seen = (plane - self.translation) @ self.rotation
        points, _ = cv2.projectPoints(
            seen, np.zeros(3), np.zeros(3), self.thermal.matrix, self.thermal.distortion
        )
        points = np.asarray(points, np.float64).reshape(-1, 2)
        points[seen[:, 2] <= 0] = np.nan
        return points


@dataclass(frozen=True, eq=False)
class Registration:
    """Moves thermal images onto the RGB image plane; safe to share between threads.

    Attributes:
        rgb_size, thermal_size: (width, height) of the images it was made for; others of the same
            aspect are taken, and the pixels scaled.
        model: the geometry.
        residual_px: how well it fits what it was made from, in RGB pixels, e.g. {"median": 0.8}.
    """

    rgb_size: Size
    thermal_size: Size
    model: Homography | CameraPairModel
    residual_px: Mapping[str, float] = field(default_factory=dict)
    _maps: OrderedDict[tuple[Size, Size], _Maps] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self) -> None:
        valid = self._maps_for(self.thermal_size, self.rgb_size).valid
        if valid.mean() < _MIN_SHARED:
            raise SartmError(
                "the registration moves the thermal image out of the RGB image",
                got=f"{valid.mean():.1%} of the RGB image seen by the thermal camera",
                expected=f"at least {_MIN_SHARED:.0%}",
                remedy="make it again with `sartm calibrate`; the direction is thermal to RGB",
            )

    def apply(self, thermal: ThermalImage, size: Size) -> tuple[ThermalImage, Image]:
        """``thermal`` as the RGB camera would see it.

        Args:
            thermal: hxw of any dtype.
            size: (width, height) of the result: the RGB image's, or any of its aspect.

        Returns:
            The image at ``size``, linearly interpolated, dtype kept; and HxW uint8, 1 where all
            four neighbours of a pixel lie in the thermal image, else 0. Where it is 0 the nearest
            border is repeated.

        Raises:
            BadImageError: another aspect than the registration's images.
        """
        height, width = thermal.shape[:2]
        check_aspect("thermal", (width, height), self.thermal_size)
        maps = self._maps_for((width, height), size)
        moved = cv2.remap(
            thermal, maps.where, maps.between, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return cast(ThermalImage, moved), maps.valid

    def _maps_for(self, thermal: Size, size: Size) -> _Maps:
        key = (thermal, size)
        maps = self._maps.get(key)
        if maps is None:
            maps = self._maps[key] = self._make_maps(thermal, size)
            while len(self._maps) > _KEPT_MAPS:
                self._maps.popitem(last=False)
        return maps

    def _make_maps(self, thermal: Size, size: Size) -> _Maps:
        width, height = size
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        pixels = np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64)
        points = self.model.to_thermal(_rescaled(pixels, size, self.rgb_size))
        points = _rescaled(points, self.thermal_size, thermal)
        with np.errstate(invalid="ignore"):
            inside = ((points >= 0) & (points <= np.array(thermal) - 1)).all(axis=1)
        # What lies far outside must still fit the fixed-point map.
        bounded = np.clip(np.nan_to_num(points, nan=-1.0), -1.0, np.array(thermal))
        maps = bounded.astype(np.float32).reshape(height, width, 2)
        where, between = cv2.convertMaps(maps[..., 0], maps[..., 1], cv2.CV_16SC2)
        valid = inside.reshape(height, width).astype(np.uint8)
        valid.setflags(write=False)
        return _Maps(np.asarray(where, np.int16), np.asarray(between, np.uint16), valid)


@dataclass(frozen=True, eq=False)
class _Maps:
    where: npt.NDArray[np.int16]
    between: npt.NDArray[np.uint16]
    valid: Image


def load_registration(path: Path | str) -> Registration:
    """Read a registration file.

    Raises:
        SartmError: there is none, it is damaged, of a newer version, or makes no sense.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SartmError(f"{path} is too large for a registration", got=path.stat().st_size)
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        version = int(raw["schema_version"])
        if version > SCHEMA_VERSION:
            raise SartmError(
                f"{path} is of a newer version",
                got=version,
                expected=f"at most {SCHEMA_VERSION}",
                remedy="update sartm, or make it again with `sartm calibrate`",
            )
        return Registration(
            rgb_size=_size(raw["rgb"]),
            thermal_size=_size(raw["thermal"]),
            model=_model(raw),
            residual_px={k: float(v) for k, v in (raw.get("residual_px") or {}).items()},
        )
    except OSError as error:
        raise SartmError(
            f"{path} cannot be read", got=error.strerror, remedy="check registration.file"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SartmError(
            f"{path} is not a registration",
            got=f"{type(error).__name__}: {error}",
            expected="what `sartm calibrate` writes",
            remedy="make it with `sartm calibrate`",
        ) from error


def save_registration(registration: Registration, path: Path | str) -> None:
    """Write a registration file, which :func:`load_registration` reads."""
    model = registration.model
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "rgb": dict(zip(("width", "height"), registration.rgb_size, strict=True)),
        "thermal": dict(zip(("width", "height"), registration.thermal_size, strict=True)),
    }
    if isinstance(model, Homography):
        content["homography"] = model.matrix.tolist()
    else:
        for name, camera in (("rgb_camera", model.rgb), ("thermal_camera", model.thermal)):
            content[name] = {
                "matrix": camera.matrix.tolist(),
                "distortion": camera.distortion.tolist(),
            }
        content["rotation"] = model.rotation.tolist()
        content["translation"] = model.translation.tolist()
        content["depth_m"] = model.depth_m
    if registration.residual_px:
        content["residual_px"] = {k: round(v, 4) for k, v in registration.residual_px.items()}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    write_bytes_atomic(path, text.encode())


def check_aspect(camera: str, size: Size, expected: Size) -> None:
    """Refuse an image that cannot be one of the registration's at another resolution.

    Raises:
        BadImageError: the aspects differ by more than 2 %.
    """
    ratio = size[0] * expected[1] / (size[1] * expected[0])
    if abs(ratio - 1) > ASPECT_TOLERANCE:
        raise BadImageError(
            "wrong_aspect",
            f"the {camera} image has another aspect than the registration's",
            got="{}x{}".format(*size),
            expected="{}x{}, or the same aspect within 2 %".format(*expected),
            remedy="calibrate with images of this camera and mode",
        )


def _rescaled(points: Points, size: Size, other: Size) -> Points:
    """Pixels of an image of one size as those of the same image at another one."""
    factor = np.array(other, np.float64) / np.array(size, np.float64)
    return (points + 0.5) * factor - 0.5


def _model(raw: Mapping[str, Any]) -> Homography | CameraPairModel:
    if "homography" in raw:
        return Homography(_array(raw["homography"]))
    return CameraPairModel(
        rgb=_camera(raw["rgb_camera"]),
        thermal=_camera(raw["thermal_camera"]),
        rotation=_array(raw["rotation"]),
        translation=_array(raw["translation"]),
        depth_m=float(raw["depth_m"]),
    )


def _camera(raw: Mapping[str, Any]) -> CameraModel:
    return CameraModel(_array(raw["matrix"]), _array(raw["distortion"]))


def _size(raw: Mapping[str, Any]) -> Size:
    width, height = int(raw["width"]), int(raw["height"])
    if not (1 < width <= 32767 and 1 < height <= 32767):
        raise ValueError(f"size {width}x{height}")
    return width, height


def _array(raw: Any) -> npt.NDArray[np.float64]:
    return np.array(raw, np.float64)


def _check_matrix(name: str, matrix: npt.NDArray[np.float64], shape: tuple[int, ...]) -> None:
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise SartmError(
            f"{name} is not a matrix of finite numbers",
            got=matrix.tolist(),
            expected="x".join(map(str, shape)),
        )
