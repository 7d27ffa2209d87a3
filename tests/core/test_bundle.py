import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sartm_core.bundle import load_bundle, shipped_bundles, write_bundle
from sartm_core.errors import SartmError
from tests.bundles import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny")


def edit(bundle: Path, **changes: Any) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest.update(changes)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def test_what_is_written_is_read(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert (loaded.name, loaded.input_size, loaded.precisions) == ("tiny", (96, 128), ("fp32",))
    assert loaded.classes.by_name("person").words == ("person",)
    assert loaded.model_path("fp32").read_bytes() == (bundle / "model.onnx").read_bytes()
    assert loaded.manifest["files"]["fp32"]["opset"] == 18
    assert loaded.thermal.window == (0, 255)


def test_unknown_keys_are_kept(bundle: Path, tmp_path: Path) -> None:
    edit(bundle, robot={"fleet": 7})
    manifest = dict(load_bundle(bundle).manifest)
    again = write_bundle(tmp_path / "again", manifest, {"model.onnx": bundle / "model.onnx"})
    assert again.manifest["robot"] == {"fleet": 7}


def test_a_flipped_byte_is_found(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)
    with pytest.raises(SartmError, match=r"damaged: model\.onnx has the wrong sha256"):
        load_bundle(bundle).model_path()


def test_a_missing_model_is_named(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    with pytest.raises(SartmError, match=r"incomplete.*model\.onnx"):
        load_bundle(bundle).model_path()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "newer sartm.*schema 2"),
        ({"schema_version": "1"}, "no schema_version"),
        ({"classes": [{"id": 0}]}, "not a valid bundle manifest.*name"),
        ({"classes": None}, "not a valid bundle manifest"),
        ({"ignore_id": 0}, "ignore_id"),
        ({"input": {"height": 100, "width": 128, "resize": "stretch"}}, "128x100.*multiples of 32"),
        ({"input": {"height": 96, "width": 128, "resize": "crop"}}, "crop.*stretch"),
        ({"thermal": {"contract": "fahrenheit"}}, "agc8, raw16, kelvin"),
        ({"files": {"fp32": {"path": "../x.onnx", "sha256": ""}}}, "outside its folder"),
    ],
)
def test_broken_manifests_are_refused(bundle: Path, changes: dict[str, Any], message: str) -> None:
    edit(bundle, **changes)
    with pytest.raises(SartmError, match=message):
        load_bundle(bundle)


def test_not_json(bundle: Path) -> None:
    (bundle / "bundle.json").write_text("{")
    with pytest.raises(SartmError, match="not JSON"):
        load_bundle(bundle)
    (bundle / "bundle.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SartmError, match="not JSON"):
        load_bundle(bundle)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match=r"no such model bundle.*shipped name"):
        load_bundle("no-such-model")
    (tmp_path / "file.onnx").write_text("")
    with pytest.raises(SartmError, match="a file"):
        load_bundle(tmp_path / "file.onnx")
    with pytest.raises(SartmError, match=r"without bundle\.json"):
        load_bundle(tmp_path)


def test_missing_precision_says_how_to_get_it(bundle: Path) -> None:
    with pytest.raises(SartmError, match=r"sartm export .*--precision int8"):
        load_bundle(bundle).model_path("int8")


@pytest.mark.parametrize("where", ["ament", "prefix"])
def test_a_shipped_name_is_found_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    write_tiny_bundle(tmp_path / "share/sartm_ros/models/forest", name="forest")
    if where == "ament":
        monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    else:
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert "forest" in shipped_bundles()
    assert load_bundle("forest").name == "forest"


def test_a_bundle_without_a_model_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match="needs a model"):
        write_bundle(tmp_path / "b", {"name": "x"}, {})
    assert not (tmp_path / "b").exists()
