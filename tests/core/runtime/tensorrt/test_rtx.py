"""NVIDIA's own parser and compiler take what sartm exports. Without them this fails, not skips."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sartm_core.bundle import Bundle, load_bundle, shipped_bundles
from sartm_core.errors import SartmError

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = sorted(shipped_bundles())

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def compiled(bundle: Path) -> dict[str, dict[str, Any]]:
    """What ``compile_rtx`` says of each precision, after it has been printed."""
    command = [sys.executable, "-m", "tests.core.runtime.tensorrt.compile_rtx", str(bundle)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-3000:]}"
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    for precision, facts in found.items():
        print(f"{bundle.name} {precision}: {facts}")
        assert facts["bytes"] > 100_000
        assert facts["progress"] > 10
        quantized = precision == "int8"
        assert (facts["quantize"] > 0, facts["dequantize"] > 0) == (quantized, quantized)
        assert (facts["half"] > 0) == (precision == "fp16")
    return found


@pytest.fixture(scope="module")
def student(whole_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny one in fp32, fp16 and int8."""
    from sartm_core.export.precisions import add_precisions, calibration_feeds

    feeds = calibration_feeds([("synthetic", None)], whole_bundle.input_size, count=4)
    out = tmp_path_factory.mktemp("rtx") / "student"
    return add_precisions(whole_bundle, ["int8"], out, feeds).path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM: four blocks, as the pyramid reads four, two of them global; with LoRA."""
    from sartm_core.export.export import export_bundle
    from sartm_core.models.sam.variants import SAM_VARIANTS
    from tests.core.models.tiny_sam import TINY
    from tests.training_runs import write_teacher

    folder = tmp_path_factory.mktemp("rtx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SAM_VARIANTS, "sam_vit_b", TINY)
        checkpoint = write_teacher(folder, "model.encoder=sam_vit_b", "model.lora_rank=2")
        return export_bundle(checkpoint, folder / "teacher", pool=16).path


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_compiles(name: str) -> None:
    compiled(shipped_bundles()[name])


def test_a_student_compiles_in_every_precision(student: Path) -> None:
    assert set(compiled(student)) == {"fp32", "fp16", "int8"}


def test_a_student_for_a_camera_compiles(student: Path, tmp_path: Path) -> None:
    from sartm_core.export.camera import fit_camera

    fitted = fit_camera(load_bundle(student), (1080, 1920), tmp_path / "camera")
    assert set(compiled(fitted.path)) == {"fp32", "fp16", "int8"}


def test_a_teacher_compiles(teacher: Path) -> None:
    assert set(compiled(teacher)) == {"fp32"}


def test_another_interface_is_found_in_the_parsed_network(student: Path, tmp_path: Path) -> None:
    """The comparison with bundle.json is made on TensorRT's own network."""
    manifest = json.loads((student / "bundle.json").read_text())
    manifest["input"]["height"] += 32
    manifest["files"] = {"fp32": manifest["files"]["fp32"]}
    (tmp_path / "bundle.json").write_text(json.dumps(manifest))
    (tmp_path / "model.onnx").symlink_to(student / "model.onnx")
    assert isinstance(load_bundle(tmp_path), Bundle)
    with pytest.raises(AssertionError, match=r"wrong interface at 'rgb'.*expected uint8"):
        compiled(tmp_path)


def test_what_the_parser_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    """The hand-made bundle of other tests gathers from uint8, which ONNX Runtime allows."""
    from tests.bundles import write_tiny_bundle

    write_tiny_bundle(tmp_path / "tiny")
    message = (
        rf"{SartmError.__name__}: tensorrt_rtx .*refuses .*model\.onnx; got In node \d+ .*UINT8"
    )
    with pytest.raises(AssertionError, match=message):
        compiled(tmp_path / "tiny")
