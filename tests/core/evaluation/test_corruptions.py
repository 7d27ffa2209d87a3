"""The corruption suite: deterministic, of growing strength, and only where it belongs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sartm_core.data.sample import Sample
from sartm_core.data.synthetic import generate_scene
from sartm_core.errors import SartmError
from sartm_core.evaluation.corruptions import CORRUPTIONS, FREEZE, STRENGTHS, corrupt, select

NAMES = [name for name in CORRUPTIONS if name != FREEZE]


def scene(seed: int = 4, stem: str = "00007D") -> Sample:
    made = generate_scene(seed, width=320, height=240)
    return Sample(
        stem=stem,
        rgb=made.rgb,
        thermal=made.thermal,
        label=made.label,
        night=False,
        thermal_valid=made.thermal_valid,
    )


@pytest.fixture(scope="module")
def frame() -> Sample:
    return scene()


def change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.abs(after.astype(float) - before).mean())


@pytest.mark.parametrize("name", NAMES)
def test_harder_at_each_strength_in_its_cameras_alone(frame: Sample, name: str) -> None:
    copies = [np.array(frame.rgb), np.array(frame.thermal)]
    harder = [corrupt(frame, name, strength) for strength in STRENGTHS]
    for camera in ("rgb", "thermal"):
        before = getattr(frame, camera)
        changes = [change(before, getattr(hard, camera)) for hard in harder]
        if camera in CORRUPTIONS[name].cameras:
            assert 0.05 < changes[0] < changes[1] < changes[2]
        else:
            assert changes == [0, 0, 0]
    for hard in harder:
        assert (hard.rgb.dtype, hard.rgb.shape) == (np.uint8, frame.rgb.shape)
        assert (hard.thermal.dtype, hard.thermal.shape) == (np.uint8, frame.thermal.shape)
        assert hard.label is frame.label
    np.testing.assert_array_equal(frame.rgb, copies[0])  # the frame itself stays as it was
    np.testing.assert_array_equal(frame.thermal, copies[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_frame_name_and_strength(frame: Sample, name: str) -> None:
    once, again = corrupt(frame, name, 2), corrupt(scene(), name, 2)
    np.testing.assert_array_equal(once.rgb, again.rgb)
    np.testing.assert_array_equal(once.thermal, again.thermal)
    other = corrupt(replace(frame, stem="00008D"), name, 2)
    if name != "over_exposure":  # nothing is drawn there
        assert change(once.rgb, other.rgb) + change(once.thermal, other.thermal) > 0


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("name", NAMES)
def test_any_thermal_contract(frame: Sample, name: str, dtype: type) -> None:
    raw = 20_000 + 10 * frame.thermal.astype(np.uint16) if dtype is np.uint16 else None
    kelvin = (290 + 0.1 * frame.thermal).astype(np.float32)
    heat = kelvin if raw is None else raw
    hard = corrupt(replace(frame, thermal=heat, thermal_valid=None), name, 3)
    assert (hard.thermal.dtype, hard.thermal.shape) == (dtype, heat.shape)
    assert np.isfinite(hard.thermal).all()
    spread = float(np.ptp(heat))
    assert float(hard.thermal.min()) > float(heat.min()) - spread
    assert float(hard.thermal.max()) < float(heat.max()) + spread


def test_the_freeze_shows_the_earlier_thermal_image(frame: Sample) -> None:
    earlier = scene(seed=5, stem="00004D")
    frozen = corrupt(frame, FREEZE, 1, earlier)
    np.testing.assert_array_equal(frozen.thermal, earlier.thermal)
    np.testing.assert_array_equal(frozen.rgb, frame.rgb)
    with pytest.raises(ValueError, match="needs an earlier frame"):
        corrupt(frame, FREEZE, 1)


@pytest.mark.parametrize(("strength", "pixels"), [(1, 4), (2, 8), (3, 16)])
def test_the_shift_has_its_length(strength: int, pixels: int) -> None:
    dot = np.zeros((480, 640), np.uint8)
    dot[236:245, 316:325] = 255
    frame = Sample(
        stem="9N",
        rgb=np.zeros((480, 640, 3), np.uint8),
        thermal=dot,
        label=None,
        night=True,
        thermal_valid=(dot > 0).astype(np.uint8),
    )
    moved = corrupt(frame, "thermal_shift", strength)
    y, x = (float(np.average(axis, weights=moved.thermal)) for axis in np.indices(dot.shape))
    assert np.hypot(y - 240, x - 320) == pytest.approx(pixels, abs=0.1)
    assert moved.thermal_valid is not None
    vy, vx = (values.mean() for values in np.nonzero(moved.thermal_valid))
    assert np.hypot(vy - y, vx - x) < 1  # the field of view moves along


def test_low_light_and_over_exposure_go_their_ways(frame: Sample) -> None:
    assert corrupt(frame, "low_light", 1).rgb.mean() < 0.7 * frame.rgb.mean()
    assert corrupt(frame, "over_exposure", 1).rgb.mean() > 1.2 * frame.rgb.mean()


def test_fog_hides_what_is_far_and_thermal_sees_farther() -> None:
    board = np.indices((240, 320)).sum(axis=0) // 8 % 2 * 120 + 60
    frame = Sample(
        stem="1D",
        rgb=np.repeat(board[..., None], 3, axis=2).astype(np.uint8),
        thermal=board.astype(np.uint8),
        label=None,
        night=False,
    )
    foggy = corrupt(frame, "fog", 3)
    far, near = foggy.rgb[60:100].std(), foggy.rgb[-20:].std()
    assert far < 0.4 * near < 0.4 * frame.rgb.std()
    assert foggy.thermal[60:100].std() > 2 * far


def test_gain_drift_survives_the_normalisation(frame: Sample) -> None:
    from sartm_core.thermal import normalise

    drifted = corrupt(frame, "thermal_gain_drift", 3)
    assert change(normalise(frame.thermal), normalise(drifted.thermal)) > 10


def test_unknown_names_are_refused() -> None:
    assert select(["all"]) == tuple(CORRUPTIONS)
    assert select(["fog", "rain", "fog"]) == ("fog", "rain")
    for names in (["snow"], [], ["all", "snow"]):
        with pytest.raises(SartmError, match=r"unknown corruption.*all or some of low_light"):
            select(names)
    with pytest.raises(ValueError, match="strength 4"):
        corrupt(scene(), "fog", 4)
