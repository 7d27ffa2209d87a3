"""What is said of a camera's numbers, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from sartm_core.data.images import read_thermal
from sartm_core.errors import BadImageError
from sartm_core.thermal import ThermalSpec
from sartm_core.thermal_contract import inspect_contract


def scene(low: float, high: float, dtype: type) -> np.ndarray:
    """A smooth scene with a little noise between two values."""
    y, x = np.mgrid[:96, :128]
    level = 0.6 * x / 128 + 0.4 * np.exp(-((x - 40) ** 2 + (y - 50) ** 2) / 200)
    noise = np.random.default_rng(0).normal(0, 0.01, level.shape)
    return (low + (high - low) * (level + noise).clip(0, 1)).astype(dtype)


CENTIKELVIN = scene(27900, 31000, np.uint16)
KELVIN = scene(279, 310, np.float32)


@pytest.mark.parametrize(
    ("image", "encoding", "spec", "reason", "hint"),
    [
        # Ordinary images: nothing to complain about.
        (scene(10, 240, np.uint8), "mono8", None, "8 bit grey levels (mono8, ", ""),
        (scene(20000, 23000, np.uint16), "mono16", None, "16 bit counts (mono16, ", ""),
        (KELVIN, "32FC1", None, "32 bit float (32FC1, ", ""),
        # Units that are known.
        (CENTIKELVIN, "mono16", None, "percentiles of each image", "thermal.scale: 0.01,"),
        (scene(7000, 7600, np.uint16), "16UC1", None, "(16UC1, ", "thermal.scale: 0.04,"),
        (scene(1150, 1400, np.uint16), "mono16", None, "", "thermal.offset: 173.15,"),
        # Already set.
        (CENTIKELVIN, "mono16", ThermalSpec("raw16", 0.01), "percentiles", ""),
        (
            CENTIKELVIN,
            "mono16",
            ThermalSpec("raw16", 0.01, window=(263.15, 313.15)),
            "thermal.window, 263.15 to 313.15 K",
            "",
        ),
        # A window in kelvin on bare counts, and one that lies elsewhere.
        (CENTIKELVIN, "mono16", ThermalSpec("raw16", window=(263.0, 313.0)), "", "100% of the"),
        (KELVIN, "32FC1", ThermalSpec("kelvin", window=(400.0, 500.0)), "", "black"),
        # Celsius, and no temperature at all.
        (KELVIN - np.float32(273.15), "32FC1", None, "", "look like degrees Celsius"),
        (KELVIN / np.float32(400), "32FC1", None, "", "no kelvin of any scene"),
        # 16 bit squeezed into 8, and bytes in the wrong order.
        ((CENTIKELVIN >> 8).astype(np.uint8), "mono8", None, "", "grey levels: 16 bit"),
        (CENTIKELVIN.byteswap(), "mono16", None, "", "is_bigendian"),
    ],
)
def test_what_is_said(
    image: np.ndarray, encoding: str, spec: ThermalSpec | None, reason: str, hint: str
) -> None:
    report = inspect_contract(image, encoding, spec)
    assert reason in report.reason
    assert "\n" not in report.reason + "".join(report.hints)
    if hint:
        assert any(hint in text for text in report.hints)
    else:
        assert report.hints == ()


def test_the_facts() -> None:
    report = inspect_contract(CENTIKELVIN, "mono16")
    assert report.contract == "raw16"
    assert report.low == pytest.approx(np.percentile(CENTIKELVIN, 1), abs=60)
    assert report.high == pytest.approx(np.percentile(CENTIKELVIN, 99), abs=60)


def test_dead_pixels_do_not_decide() -> None:
    image = KELVIN.copy()
    image[5, 5] = np.nan
    image[6, 6] = 0
    assert inspect_contract(image, "32FC1").hints == ()


def test_what_is_no_thermal_image_is_refused() -> None:
    with pytest.raises(BadImageError):
        inspect_contract(np.full((4, 4), np.nan, np.float32), "32FC1")
    with pytest.raises(BadImageError):
        inspect_contract(np.zeros((4, 4), np.int32), "32SC1")  # type: ignore[arg-type]


def test_a_uniform_image_is_no_mistake_of_byte_order() -> None:
    assert inspect_contract(np.full((40, 50), 9000, np.uint16), "mono16").hints == ()


@pytest.mark.data
def test_real_cameras_are_not_suspected() -> None:
    from sartm_core.data.datasets import sample_data_root

    root = sample_data_root()
    assert root is not None
    files = sorted((root / "mfnet_subset" / "thermal").iterdir())[::5]
    for file in files:
        grey = read_thermal(file)
        assert inspect_contract(grey, "mono8").hints == ()
        counts = grey.astype(np.uint16) * 4 + 20000
        assert inspect_contract(counts, "mono16").hints == ()
