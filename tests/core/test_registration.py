"""Thermal onto the RGB plane: against OpenCV's own warps and geometry done by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.errors import BadImageError, SartmError
from sartm_core.registration import (
    CameraModel,
    CameraPairModel,
    Homography,
    Registration,
    load_registration,
    save_registration,
)

RGB, THERMAL = (320, 240), (160, 128)
MATRIX = np.array([[1.6, 0.02, 30.0], [0.01, 1.5, 20.0], [1e-5, 2e-5, 1.0]])


def smooth_picture(size: tuple[int, int] = THERMAL, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 4.0), np.uint8)


def pair_model(depth_m: float = 4.0, baseline_m: float = 0.1) -> CameraPairModel:
    return CameraPairModel(
        rgb=CameraModel(np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])),
        thermal=CameraModel(np.array([[150.0, 0, 80], [0, 150, 64], [0, 0, 1]])),
        rotation=np.eye(3),
        translation=np.array([baseline_m, 0.0, 0.0]),
        depth_m=depth_m,
    )


def test_a_homography_is_what_opencv_warps() -> None:
    registration = Registration(RGB, THERMAL, Homography(MATRIX))
    thermal = smooth_picture()
    moved, valid = registration.apply(thermal, RGB)
    expected = cv2.warpPerspective(thermal, MATRIX, RGB)
    inside = valid.astype(bool)
    assert moved.shape == valid.shape == RGB[::-1]
    assert np.abs(moved.astype(int) - expected)[inside].max() <= 1
    everywhere = cv2.warpPerspective(np.full(THERMAL[::-1], 255, np.uint8), MATRIX, RGB)
    assert (everywhere[inside] == 255).all(), "no border is blended into a valid pixel"
    assert (everywhere[~inside] < 255).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_dtype_stays(dtype: type[np.generic]) -> None:
    thermal = smooth_picture().astype(dtype)
    moved, _ = Registration(RGB, THERMAL, Homography(MATRIX)).apply(thermal, RGB)
    assert moved.dtype == dtype


def test_two_cameras_shift_by_baseline_over_depth() -> None:
    """0.1 m to the right at 4 m: a point moves by 300 * 0.1 / 4 = 7.5 RGB pixels."""
    model = pair_model()
    rgb = np.array([[160.0, 120.0], [60.0, 30.0]])
    expected = (rgb - [160 + 7.5, 120]) / 2 + [80, 64]
    np.testing.assert_allclose(model.to_thermal(rgb), expected, atol=1e-9)


def test_distortion_of_both_cameras_is_taken_out() -> None:
    """A point of the plane, projected by OpenCV into both cameras, is found again."""
    rotation, _ = cv2.Rodrigues(np.array([0.02, -0.05, 0.01]))
    translation, depth = np.array([0.06, -0.02, 0.01]), 3.0
    rgb = CameraModel(
        np.array([[280.0, 0, 150], [0, 290, 118], [0, 0, 1]]),
        np.array([-0.2, 0.05, 0.001, -0.002, 0.0]),
    )
    thermal = CameraModel(
        np.array([[140.0, 0, 82], [0, 139, 60], [0, 0, 1]]), np.array([-0.3, 0.1, 0.0, 0.0])
    )
    model = CameraPairModel(rgb, thermal, np.asarray(rotation), translation, depth)
    points = np.array([[-0.8, -0.5, depth], [0.0, 0.0, depth], [0.9, 0.6, depth]])
    seen = (points - translation) @ rotation

    def pixels(camera: CameraModel, at: np.ndarray) -> np.ndarray:
        zero = np.zeros(3)
        found, _ = cv2.projectPoints(at, zero, zero, camera.matrix, camera.distortion)
        return found.reshape(-1, 2)

    np.testing.assert_allclose(
        model.to_thermal(pixels(rgb, points)), pixels(thermal, seen), atol=1e-3
    )


@given(
    depth=st.floats(1.0, 50.0),
    x=st.floats(20, 300),
    y=st.floats(20, 220),
    baseline=st.floats(-0.2, 0.2),
)
def test_same_centre_or_far_away_is_a_homography(
    depth: float, x: float, y: float, baseline: float
) -> None:
    """On its plane the pair of cameras is exactly the homography K_t (R + t n / d) K_r^-1."""
    model = pair_model(depth, baseline)
    at_plane = np.eye(3) - np.outer(model.translation, [0, 0, 1]) / depth
    to_thermal = model.thermal.matrix @ at_plane @ np.linalg.inv(model.rgb.matrix)
    homography = Homography(np.linalg.inv(to_thermal))
    pixel = np.array([[x, y]])
    np.testing.assert_allclose(model.to_thermal(pixel), homography.to_thermal(pixel), atol=1e-6)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_other_resolutions_see_the_same_scene(factor: float) -> None:
    registration = Registration(RGB, THERMAL, Homography(MATRIX))
    thermal = smooth_picture()
    size = (round(RGB[0] * factor), round(RGB[1] * factor))
    scaled = tuple(round(side * factor) for side in THERMAL)
    resized = np.asarray(cv2.resize(thermal, scaled, interpolation=cv2.INTER_LINEAR), np.uint8)
    moved, valid = registration.apply(resized, size)
    reference, _ = registration.apply(thermal, RGB)
    back = np.asarray(cv2.resize(moved, RGB, interpolation=cv2.INTER_LINEAR), np.int32)
    inside = cv2.erode(np.asarray(cv2.resize(valid, RGB)), np.ones((9, 9))).astype(bool)
    assert np.abs(back - reference)[inside].mean() < 2.0


def test_another_aspect_is_refused() -> None:
    registration = Registration(RGB, THERMAL, Homography(MATRIX))
    with pytest.raises(BadImageError, match=r"got 160x160; expected 160x128"):
        registration.apply(smooth_picture((160, 160)), RGB)


@pytest.mark.parametrize(
    "model",
    [Homography(MATRIX), pair_model()],
    ids=["homography", "two cameras"],
)
def test_a_file_gives_the_same_registration(
    tmp_path: Path, model: Homography | CameraPairModel
) -> None:
    path = tmp_path / "registration.yaml"
    save_registration(Registration(RGB, THERMAL, model, {"median": 0.5}), path)
    loaded = load_registration(path)
    assert (loaded.rgb_size, loaded.thermal_size) == (RGB, THERMAL)
    assert loaded.residual_px == {"median": 0.5}
    thermal = smooth_picture()
    for mine, theirs in zip(
        loaded.apply(thermal, RGB),
        Registration(RGB, THERMAL, model).apply(thermal, RGB),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "newer version; got 2"),
        ({"homography": [[1, 0, 0], [0, 1, 0]]}, "finite numbers"),
        ({"homography": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}, "singular"),
        ({"homography": [[1, 0, 9000], [0, 1, 0], [0, 0, 1]]}, "out of the RGB image"),
        ({"homography": [[1, 0, ".nan"], [0, 1, 0], [0, 0, 1]]}, "not a registration|finite"),
        ({"thermal": {"width": 0, "height": 5}}, "not a registration"),
        ({"rgb": None}, "not a registration"),
        ({"homography": None}, "not a registration|finite"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "registration.yaml"
    save_registration(Registration(RGB, THERMAL, Homography(MATRIX)), path)
    content = yaml.safe_load(path.read_text()) | change
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SartmError, match=said):
        load_registration(path)


def test_no_file_and_a_malicious_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match="cannot be read"):
        load_registration(tmp_path / "none.yaml")
    path = tmp_path / "evil.yaml"
    path.write_text("!!python/object/apply:os.system ['touch pwned']")
    with pytest.raises(SartmError, match="is not a registration"):
        load_registration(path)


def test_maps_are_kept_for_a_few_sizes_only() -> None:
    registration = Registration(RGB, THERMAL, Homography(MATRIX))
    for width in range(160, 640, 32):
        registration.apply(smooth_picture(), (width, width * 3 // 4))
    assert len(registration._maps) <= 4
