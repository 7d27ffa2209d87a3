"""A bundle for one camera: the graph resizes its images as OpenCV does outside."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import sartm_core as sartm
from sartm_core.bundle import MANIFEST, Bundle, load_bundle, shipped_bundles
from sartm_core.cli import main
from sartm_core.data.synthetic import generate_scene
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.export.camera import fit_camera, prepend_resize
from sartm_core.export.precisions import add_precisions
from sartm_core.runtime.verify import mean_iou, verify
from tests.bundles import write_tiny_bundle
from tests.core.export.conftest import Exported
from tests.core.runtime.tensorrt.machine import Machine

FULL_HD = (1080, 1920)


def through(size: tuple[int, int], inside: tuple[int, int]) -> bytes:
    """A graph that gives back ``rgb``, with the resize in front."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["rgb"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["float"], ["out"], to=TensorProto.UINT8),
        ],
        "through",
        [helper.make_tensor_value_info("rgb", TensorProto.UINT8, [1, *inside, 3])],
        [helper.make_tensor_value_info("out", TensorProto.UINT8, [1, *inside, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    prepend_resize(model, size, inside)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("size", [FULL_HD, (720, 1280), (960, 1280), (120, 160), (481, 639)])
def test_levels_are_those_of_opencv(size: tuple[int, int]) -> None:
    """At most one apart: OpenCV weighs in steps of 1/2048."""
    inside = (480, 640)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    (found,) = onnxruntime.InferenceSession(through(size, inside)).run(None, {"rgb": noise[None]})
    expected = cv2.resize(noise, inside[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(found[0].astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def plain() -> Bundle:
    return load_bundle(shipped_bundles()["sartm-s"])


@pytest.fixture(scope="module")
def fitted(plain: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return fit_camera(plain, FULL_HD, tmp_path_factory.mktemp("camera") / "sartm-s")


def test_masks_are_those_of_resizing_outside(plain: Bundle, fitted: Bundle) -> None:
    """Mean IoU at least 0.98 and 999 of 1000 pixels, as levels differ by one."""
    assert (fitted.rgb_size, fitted.input_size) == (FULL_HD, plain.input_size)
    counts, changed = [], []
    with sartm.load(plain.path, threads=1) as outside, sartm.load(fitted.path, threads=1) as inside:
        for seed in range(3):
            scene = generate_scene(seed, width=FULL_HD[1], height=FULL_HD[0])
            images = (scene.rgb, scene.thermal, scene.thermal_valid)
            expected, found = outside(*images), inside(*images)
            assert found.mask.shape == FULL_HD
            counts.append(confusion(expected.mask, found.mask, len(plain.classes)))
            changed.append((expected.mask != found.mask).mean())
        assert verify(fitted, inside.runtime).agreement == 1
        small = cv2.resize(scene.rgb, (640, 360))  # another camera's image still gives a mask
        assert inside(small, None).mask.shape == (360, 640)
        assert inside(None, scene.thermal).modalities == ("thermal",)
    assert mean_iou(np.sum(counts, axis=0)) >= 0.98
    assert max(changed) < 0.001


def test_an_engine_is_for_one_camera(exported: Exported, machine: Machine, tmp_path: Path) -> None:
    """Each size has an engine of its own, and nothing else changes."""
    sizes = [(128, 160), (192, 288)]
    bundles = [fit_camera(exported.bundle, size, tmp_path / f"{size}") for size in sizes]
    for bundle in (exported.bundle, *bundles):
        machine.start(bundle).close()
    keys = [json.loads(path.read_text())["key"] for path in machine.cache.glob("*.json")]
    shapes = [key["shapes"]["rgb"] for key in keys]
    assert sorted(shapes) == [[1, 64, 96, 3], [1, 128, 160, 3], [1, 192, 288, 3]]
    assert len(machine.engines()) == 3


def test_the_command_line(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "camera"
    words = ["export", str(exported.bundle.path), "--out", str(out), "--camera", "160x128"]
    assert main([*words, "--precision", "fp16", "--json"]) == 0
    bundle = load_bundle(out)
    assert (bundle.rgb_size, bundle.precisions) == ((128, 160), ("fp32", "fp16"))
    assert main(["verify", str(out), "--precision", "fp16"]) == 0


@pytest.mark.parametrize("words", [["--camera", "1080p"], ["--camera", "64x64", "--weights"]])
def test_wrong_use(tmp_path: Path, words: list[str]) -> None:
    assert main(["export", "last.ckpt", "--out", str(tmp_path / "out"), *words]) == 2


def test_what_cannot_be_fitted(fitted: Bundle, tmp_path: Path) -> None:
    message = r"is for a camera already; got RGB images of 1920x1080; remedy: start from the bundle"
    with pytest.raises(SartmError, match=message):
        fit_camera(fitted, (720, 1280), tmp_path / "again")
    with pytest.raises(SartmError, match=r"is for a camera; got RGB images of 1920x1080"):
        add_precisions(fitted, ["fp16"], tmp_path / "again", [])
    handmade = load_bundle(write_tiny_bundle(tmp_path / "tiny"))
    with pytest.raises(SartmError, match=r"another size; got Gather on its input 'rgb'"):
        prepend_resize(onnx.load(handmade.model_path()), FULL_HD, handmade.input_size)


def test_a_wrong_size_in_the_manifest_is_refused(fitted: Bundle, tmp_path: Path) -> None:
    manifest = json.loads((fitted.path / MANIFEST).read_text())
    for camera, message in (
        ({"height": 0, "width": 10}, r"wrong camera size; got \(0, 10\)"),
        ({"height": 10}, "not a valid bundle manifest; got KeyError: 'width'"),
    ):
        manifest["input"]["camera"] = camera
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(SartmError, match=message):
            load_bundle(tmp_path)
