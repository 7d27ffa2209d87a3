import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sartm_core.errors import BadImageError, SartmError
from sartm_core.thermal import MEDIAN_LEVEL, ThermalSpec, detect_contract, normalise


def scene(seed: int = 0) -> np.ndarray:
    """A warm blob on a cool gradient, 8 bit."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    image = 60 + 0.4 * x + 90 * np.exp(-((x - 40) ** 2 + (y - 50) ** 2) / 150)
    return (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


@given(gain=st.floats(0.3, 1.0), offset=st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_gain_and_offset_of_the_camera_do_not_matter(gain: float, offset: int) -> None:
    image = scene()
    other = (gain * image + offset).clip(0, 255).astype(np.uint8)
    difference = np.abs(normalise(image).astype(int) - normalise(other).astype(int))
    assert difference.mean() < 6


def test_two_renderings_come_together() -> None:
    """A gamma between the renderings, as contrast enhancement does, is largely undone."""
    image = scene()
    enhanced = (255 * (image / 255.0) ** 2.2).astype(np.uint8)
    before = np.abs(image.astype(int) - enhanced).mean() / image.std()
    after = np.abs(normalise(image).astype(int) - normalise(enhanced)).mean()
    assert after / normalise(image).std() < 0.3 * before


def test_median_level_and_order_of_temperatures() -> None:
    result = normalise(scene())
    assert abs(np.median(result) - 255 * MEDIAN_LEVEL) < 6
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert (np.diff(normalise(ramp)[0].astype(int)) >= 0).all()


def test_all_three_contracts_agree() -> None:
    image = scene()
    raw = image.astype(np.uint16) * 40 + 27000
    kelvin = raw.astype(np.float32) * np.float32(0.01)
    assert np.array_equal(normalise(raw), normalise(image))
    assert np.abs(normalise(kelvin).astype(int) - normalise(image)).max() <= 2


def test_window_is_in_kelvin() -> None:
    raw = np.array([[27315, 29315, 31315]], np.uint16)
    spec = ThermalSpec("raw16", scale=0.01, offset=0.0, window=(273.15, 313.15))
    assert normalise(raw, spec).tolist() == [[0, 128, 255]]
    kelvin = np.array([[273.15, 293.15, 313.15]], np.float32)
    result = normalise(kelvin, ThermalSpec("kelvin", window=(273.15, 313.15)))
    assert np.abs(result.astype(int) - [[0, 128, 255]]).max() <= 1


def test_pixels_that_the_camera_does_not_see_have_no_say() -> None:
    image = scene()
    valid = np.zeros_like(image)
    valid[20:80, 20:100] = 1
    bordered = np.where(valid == 1, image, 0).astype(np.uint8)
    inside = (slice(20, 80), slice(20, 100))
    assert np.array_equal(normalise(bordered, valid=valid)[inside], normalise(image[inside]))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
@settings(max_examples=50, deadline=None)
def test_any_image_gives_uint8_of_its_shape(image: np.ndarray) -> None:
    result = normalise(image)
    assert result.dtype == np.uint8
    assert result.shape == image.shape


@pytest.mark.parametrize(
    ("image", "spec", "reason"),
    [
        (np.full((4, 4), np.nan, np.float32), None, "non_finite"),
        (np.array([[np.inf, 1.0]], np.float32), None, "non_finite"),
        (np.zeros((4, 4, 3), np.uint8), None, "wrong_shape"),
        (np.zeros((0, 4), np.uint8), None, "wrong_shape"),
        (np.zeros((4, 4), np.int32), None, "wrong_dtype"),
        (np.zeros((4, 4), np.uint8), ThermalSpec("raw16"), "wrong_dtype"),
    ],
)
def test_bad_images_are_refused_with_a_reason(
    image: np.ndarray, spec: ThermalSpec | None, reason: str
) -> None:
    with pytest.raises(BadImageError) as caught:
        normalise(image, spec)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_wrong_specs_are_refused() -> None:
    with pytest.raises(SartmError, match="agc8, raw16, kelvin"):
        ThermalSpec("celsius")  # type: ignore[arg-type]
    with pytest.raises(SartmError, match="empty"):
        ThermalSpec("kelvin", window=(300.0, 300.0))
    assert detect_contract(np.uint16) == "raw16"
