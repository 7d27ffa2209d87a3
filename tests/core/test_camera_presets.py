"""The parameter files of config/cameras: what can be checked without ROS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from sartm_core.thermal import ThermalSpec, normalise

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "config" / "cameras").glob("*.yaml"))


def thermal_of(preset: Path) -> dict[str, object]:
    document = yaml.safe_load(preset.read_text(encoding="utf-8"))
    assert list(document) == ["/**"]
    thermal = document["/**"]["ros__parameters"]["thermal"]
    assert isinstance(thermal, dict)
    return thermal


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_names_its_source_and_is_in_the_docs(preset: Path) -> None:
    text = preset.read_text(encoding="utf-8")
    assert "# Source" in text
    assert "https://" in text.split("# Source", 1)[1]
    assert f"`{preset.stem}`" in (ROOT / "docs" / "thermal.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_a_contract_that_shows_a_picture(preset: Path) -> None:
    spec = ThermalSpec(**thermal_of(preset))  # type: ignore[arg-type]
    ramp = np.linspace(20, 200, 64 * 48).reshape(48, 64)
    image = ramp.astype({"agc8": np.uint8, "raw16": np.uint16, "kelvin": np.float32}[spec.contract])
    assert normalise(image, spec).std() > 50


@pytest.mark.parametrize(
    ("name", "count", "celsius"),
    [
        # Lepton datasheet: TLinear 0.01 K. FLIR: Mono14 x 0.04, 10 mK x 0.01.
        ("lepton", 29815, 25.0),
        ("flir_ax5", 7500, 26.85),
        ("flir_a_series", 50000, 226.85),
        # irDirectSDK: t = (data - 1000) / 10.
        ("optris", 1250, 25.0),
        # Gazebo: 0.01 K per count.
        ("gazebo", 30000, 26.85),
    ],
)
def test_counts_become_the_temperature_that_the_vendor_says(
    name: str, count: int, celsius: float
) -> None:
    thermal = thermal_of(ROOT / "config" / "cameras" / f"{name}.yaml")
    assert count * thermal["scale"] + thermal["offset"] - 273.15 == pytest.approx(celsius)
