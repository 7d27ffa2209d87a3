import json
import threading
from pathlib import Path

import numpy as np
import pytest

import sartm_core as sartm
from sartm_core.errors import BadImageError, SartmError
from sartm_core.registration import Homography, Registration, save_registration
from sartm_core.segmenter import Segmenter
from tests.bundles import CAR, CONFIDENCE, PERSON


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Segmenter:
    return sartm.load(tiny_bundle, threads=1)


def half_red(height: int, width: int) -> np.ndarray:
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 2, 0] = 255
    return rgb


def top_warm(height: int, width: int) -> np.ndarray:
    thermal = np.zeros((height, width), np.uint8)
    thermal[: height // 2] = 255
    return thermal


@pytest.mark.parametrize("size", [(96, 128), (192, 256), (480, 640)])
def test_both_cameras_at_any_size(segmenter: Segmenter, size: tuple[int, int]) -> None:
    height, width = size
    result = segmenter(half_red(*size), top_warm(*size))
    assert result.mask.shape == result.confidence.shape == size
    assert result.mask.dtype == result.confidence.dtype == np.uint8
    assert (result.mask[: height // 2] == PERSON).all()
    assert (result.mask[height // 2 :, : width // 2] == CAR).all()
    assert (result.mask[height // 2 :, width // 2 :] == 0).all()
    assert (result.confidence == CONFIDENCE).all()
    assert result.modalities == ("rgb", "thermal")
    assert set(result.timings) == {"pre", "infer", "post"}


def test_one_camera(segmenter: Segmenter) -> None:
    rgb_only = segmenter(half_red(96, 128), None)
    assert set(np.unique(rgb_only.mask)) == {0, CAR}
    assert rgb_only.modalities == ("rgb",)
    thermal_only = segmenter(None, top_warm(48, 64))
    assert thermal_only.mask.shape == (48, 64)
    assert (thermal_only.mask[:24] == PERSON).all()
    assert thermal_only.modalities == ("thermal",)
    with pytest.raises(SartmError, match="no image"):
        segmenter(None, None)


def test_thermal_of_the_same_aspect_is_resized_with_one_warning(
    segmenter: Segmenter, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        result = segmenter(half_red(96, 128), top_warm(60, 80))
    assert (result.mask[:46] == PERSON).all()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_another_aspect_is_refused_naming_calibrate(segmenter: Segmenter) -> None:
    with pytest.raises(BadImageError, match="sartm calibrate") as caught:
        segmenter(half_red(96, 128), top_warm(96, 96))
    assert caught.value.reason == "wrong_aspect"


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_wrong_rgb_is_refused(segmenter: Segmenter, rgb: np.ndarray) -> None:
    with pytest.raises(BadImageError, match="HxWx3 uint8"):
        segmenter(rgb, None)


def test_where_thermal_does_not_look_it_has_no_say(segmenter: Segmenter) -> None:
    valid = np.ones((96, 128), np.uint8)
    valid[:, :64] = 0
    mask = segmenter(None, np.full((96, 128), 255, np.uint8), valid).mask
    assert (mask[:, :64] == 0).all()
    assert (mask[:, 64:] == PERSON).all()


def test_low_confidence_becomes_unlabelled(tiny_bundle: Path) -> None:
    with sartm.load(tiny_bundle, threads=1, min_confidence=0.9) as segmenter:
        assert (segmenter(half_red(96, 128), None).mask == 255).all()
        segmenter.min_confidence = 0.7
        assert (segmenter(half_red(96, 128), None).mask != 255).all()


def test_views_that_are_not_contiguous(segmenter: Segmenter) -> None:
    rgb = half_red(96, 128)
    bgr_view = np.ascontiguousarray(rgb[..., ::-1])[..., ::-1]
    assert np.array_equal(segmenter(bgr_view, None).mask, segmenter(rgb, None).mask)


def test_two_threads_share_one_segmenter(segmenter: Segmenter) -> None:
    wrong = []

    def run(rgb: np.ndarray, expected: int) -> None:
        for _ in range(30):
            if not (segmenter(rgb, None).mask == expected).all():
                wrong.append(expected)

    red = np.full((96, 128, 3), 255, np.uint8)
    threads = [
        threading.Thread(target=run, args=args) for args in ((red, CAR), (np.zeros_like(red), 0))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unknown_runtime_lists_the_choices(tiny_bundle: Path) -> None:
    with pytest.raises(SartmError, match=r"'tflite'.*auto, onnxruntime"):
        sartm.load(tiny_bundle, "tflite")


def test_a_model_of_another_interface_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    import shutil

    other = shutil.copytree(tiny_bundle, tmp_path / "other")
    manifest = json.loads((other / "bundle.json").read_text())
    manifest["input"]["height"] = 64
    (other / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(SartmError, match=r"wrong interface at 'rgb'.*\[1, 64, 128, 3\]"):
        sartm.load(other)


@pytest.fixture
def registration(tmp_path: Path) -> Path:
    """Thermal 64x48 sees the right half of RGB 128x96, doubled in height."""
    path = tmp_path / "registration.yaml"
    matrix = np.array([[1.0, 0, 64], [0, 2, 0.5], [0, 0, 1]])
    save_registration(Registration((128, 96), (64, 48), Homography(matrix)), path)
    return path


def test_a_registration_moves_thermal_and_marks_where_it_does_not_look(
    tiny_bundle: Path, registration: Path
) -> None:
    hot = np.full((48, 64), 255, np.uint8)
    hot[24:] = 0
    with sartm.load(tiny_bundle, threads=1, registration=registration) as segmenter:
        assert segmenter(None, hot).mask.shape == (96, 128), "the registration's, before any RGB"
        mask = segmenter(np.zeros((192, 256, 3), np.uint8), hot).mask
        assert (mask[3:92, 130:] == PERSON).all()
        assert (mask[100:, 130:] == 0).all()
        assert (mask[:, :126] == 0).all()
        assert segmenter(None, hot).mask.shape == (192, 256), "the last RGB image's"
        part = np.ones((48, 64), np.uint8)
        part[:, 32:] = 0
        mask = segmenter(np.zeros((96, 128, 3), np.uint8), hot, part).mask
        assert (mask[2:46, 66:94] == PERSON).all()
        assert (mask[:, 97:] == 0).all(), "what the caller calls invalid stays so"
        with pytest.raises(BadImageError, match="RGB image has another aspect"):
            segmenter(np.zeros((96, 96, 3), np.uint8), hot)
