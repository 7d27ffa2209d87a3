"""The exported bundle keeps its contract: interface, absent cameras, parity, samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from sartm_core.bundle import Bundle, load_bundle, write_bundle
from sartm_core.cli import main
from sartm_core.errors import SartmError
from sartm_core.export.export import export_bundle, size_warning
from sartm_core.export.graph import MaskGraph
from sartm_core.export.measured import read_scores
from sartm_core.export.onnx_file import INPUTS, LOGITS, Feed, check_parity, open_session
from sartm_core.runtime import create_runtime
from sartm_core.runtime.verify import verify
from sartm_core.training.build import load_network
from tests.core.export.conftest import Exported

HEIGHT, WIDTH, CLASSES = 64, 96, 9


@pytest.fixture(scope="module")
def session(exported: Exported) -> onnxruntime.InferenceSession:
    return open_session(exported.bundle.model_path())


@pytest.fixture(scope="module")
def graph(exported: Exported) -> MaskGraph:
    return MaskGraph(load_network(exported.checkpoint)[0]).eval()


def random_feed(seed: int, rgb_present: int = 1, thermal_present: int = 1) -> Feed:
    """Noise with structure; the thermal camera sees the middle only."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 4))
    images = coarse.repeat(8, axis=0).repeat(8, axis=1) + rng.integers(-20, 21, (HEIGHT, WIDTH, 4))
    images = images.clip(0, 255).astype(np.uint8)[None]
    valid = np.zeros((1, HEIGHT, WIDTH, 1), np.uint8)
    valid[:, 8:-8, 8:-8] = 1
    present = np.array([[rgb_present, thermal_present]], np.float32)
    return dict(zip(INPUTS, (images[..., :3], images[..., 3:], valid, present), strict=True))


def run(session: onnxruntime.InferenceSession, feed: Feed) -> tuple[npt.NDArray[np.uint8], ...]:
    return tuple(session.run(["mask", "confidence"], feed))


def test_interface_is_the_contract(exported: Exported) -> None:
    model = onnx.load(exported.bundle.model_path())
    u8, f32, plane = TensorProto.UINT8, TensorProto.FLOAT, [1, HEIGHT, WIDTH]
    assert interface(model.graph.input) == {
        "rgb": (u8, [*plane, 3]),
        "thermal": (u8, [*plane, 1]),
        "thermal_valid": (u8, [*plane, 1]),
        "present": (f32, [1, 2]),
    }
    assert interface(model.graph.output) == {"mask": (u8, plane), "confidence": (u8, plane)}


def interface(values: Any) -> dict[str, tuple[int, list[int]]]:
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dimension.dim_value for dimension in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def test_file_is_valid_self_contained_and_of_a_supported_opset(exported: Exported) -> None:
    path = exported.bundle.model_path()
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    assert 18 <= opset <= 20
    assert exported.bundle.manifest["files"]["fp32"]["opset"] == opset
    assert all(t.data_location != TensorProto.EXTERNAL for t in model.graph.initializer)
    names = {file.name for file in exported.bundle.path.iterdir()}
    assert names == {"bundle.json", "model.onnx", "sample.npz", "MODEL_CARD.md"}
    # No operator that TensorRT's parser refuses.
    used = {node.op_type for node in model.graph.node}
    assert not used & {"Attention", "BatchNormalization", "Col2Im", "DFT"}


@pytest.mark.parametrize("cameras", [(1, 1), (1, 0), (0, 1)])
def test_masks_equal_those_of_torch(
    session: onnxruntime.InferenceSession, graph: MaskGraph, cameras: tuple[int, int]
) -> None:
    for seed in range(3):
        feed = random_feed(seed, *cameras)
        mask, confidence = run(session, feed)
        with torch.no_grad():
            expected = graph(*(torch.from_numpy(feed[name]) for name in INPUTS))
        # How sums are split among threads decides between logits that are equal to 1e-5.
        assert (mask != expected[0].numpy()).sum() <= 1
        assert np.abs(confidence.astype(int) - expected[1].numpy()).max() <= 1
        seen = mask != 255
        assert len(np.unique(mask[seen])) >= 3  # equal, and not because they are empty


@given(
    seed=st.integers(0, 2**32 - 1),
    absent=st.sampled_from([("rgb",), ("thermal", "thermal_valid")]),
    fill=st.one_of(st.integers(0, 255), st.none()),
)
@settings(max_examples=20, deadline=None)
def test_bytes_of_an_absent_camera_change_no_bit(
    exported: Exported, seed: int, absent: tuple[str, ...], fill: int | None
) -> None:
    session = _session(exported.bundle.model_path())
    feed = random_feed(seed % 5, absent != ("rgb",), absent == ("rgb",))
    rng = np.random.default_rng(seed)
    other = dict(feed)
    for name in absent:
        shape = feed[name].shape
        noise = rng.integers(0, 256, shape, dtype=np.uint8)
        other[name] = noise if fill is None else np.full(shape, fill, np.uint8)
    for value, reference in zip(run(session, other), run(session, feed), strict=True):
        assert np.array_equal(value, reference)


_sessions: dict[Path, onnxruntime.InferenceSession] = {}


def _session(path: Path) -> onnxruntime.InferenceSession:
    return _sessions.setdefault(path, open_session(path))


def test_cameras_that_are_present_matter(session: onnxruntime.InferenceSession) -> None:
    for name in ("rgb", "thermal"):
        feed = random_feed(0)
        assert not np.array_equal(
            run(session, feed)[1], run(session, {**feed, name: 255 - feed[name]})[1]
        )


def test_without_any_camera_nothing_is_decided(session: onnxruntime.InferenceSession) -> None:
    mask, confidence = run(session, random_feed(0, 0, 0))
    assert (mask == 255).all()
    assert (confidence == 0).all()


def test_thermal_alone_decides_only_where_it_looks(session: onnxruntime.InferenceSession) -> None:
    feed = random_feed(0, 0, 1)
    mask, confidence = run(session, feed)
    looks = feed["thermal_valid"][..., 0] == 1
    assert (mask[~looks] == 255).all()
    assert (confidence[~looks] == 0).all()
    assert (mask[looks] < CLASSES).all()


def test_confidence_is_the_largest_probability(
    session: onnxruntime.InferenceSession, graph: MaskGraph
) -> None:
    feed = random_feed(1)
    with torch.no_grad():
        _, _, logits = graph(*(torch.from_numpy(feed[name]) for name in INPUTS))
    largest = 255 * logits.softmax(dim=1).amax(dim=1, keepdim=True)
    resized = torch.nn.functional.interpolate(largest, size=(HEIGHT, WIDTH), mode="bilinear")
    confidence = run(session, feed)[1].astype(float)
    assert np.abs(confidence - resized[:, 0].numpy()).max() <= 0.51


def test_samples_are_what_the_model_gives(
    exported: Exported, session: onnxruntime.InferenceSession
) -> None:
    with np.load(exported.bundle.sample_path) as file:
        sample = dict(file)
    frames = len(sample["mask"])
    assert frames >= 8
    assert {name: (value.dtype, value.shape) for name, value in sample.items()} == {
        "rgb": (np.uint8, (frames, HEIGHT, WIDTH, 3)),
        "thermal": (np.uint8, (frames, HEIGHT, WIDTH)),
        "thermal_valid": (np.uint8, (frames, HEIGHT, WIDTH)),
        "mask": (np.uint8, (frames, HEIGHT, WIDTH)),
    }
    foreground = ((sample["mask"] > 0) & (sample["mask"] < CLASSES)).mean(axis=(1, 2))
    assert foreground.min() >= 0.03
    assert "foreground" not in exported.messages


def test_verify_agrees_with_the_bundles_own_masks(exported: Exported) -> None:
    runtime = create_runtime("onnxruntime", exported.bundle, threads=1)
    result = verify(exported.bundle, runtime)
    assert (result.agreement, result.worst, result.ok) == (1.0, 1.0, True)


def altered(bundle: Bundle, out: Path, change: Callable[[str, Any], Any]) -> Bundle:
    """A copy of the bundle with other weights and the old samples; its checksums are right."""
    model = onnx.load(bundle.model_path())
    for tensor in model.graph.initializer:
        value = change(tensor.name, numpy_helper.to_array(tensor).copy())
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    out.mkdir()
    onnx.save(model, out / "model.onnx")
    files = {"model.onnx": out / "model.onnx", "sample.npz": bundle.sample_path}
    return write_bundle(out, bundle.manifest, files)


def test_verify_fails_where_one_class_is_gone(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(exported.bundle.sample_path) as sample:
        ids, counts = np.unique(sample["mask"], return_counts=True)
    lost = ids[counts.argmin()]  # even the rarest one

    def never(name: str, value: Any) -> Any:
        if name.endswith("classifier.bias"):
            value[lost] = -1e4
        return value

    bundle = altered(exported.bundle, tmp_path / "bundle", never)
    result = verify(bundle, create_runtime("onnxruntime", bundle, threads=1))
    assert not result.ok
    assert main(["verify", str(bundle.path)]) == 1
    message = capsys.readouterr().err
    assert "agreement" in message
    assert message.count("\n") == 1


def test_parity_check_notices_other_weights(
    exported: Exported, graph: MaskGraph, tmp_path: Path
) -> None:
    model = onnx.load(exported.bundle.model_path())
    shape = [1, CLASSES, HEIGHT // 4, WIDTH // 4]
    model.graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, shape))
    onnx.save(model, tmp_path / "same.onnx")
    assert check_parity(graph, tmp_path / "same.onnx", [random_feed(0)]) < 1e-4

    (bias,) = (t for t in model.graph.initializer if t.name.endswith("classifier.bias"))
    bias.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-3), bias.name)
    )
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(SartmError, match="does not compute what PyTorch computes"):
        check_parity(graph, tmp_path / "other.onnx", [random_feed(0)])


def test_manifest_and_card_tell_what_it_is(exported: Exported) -> None:
    manifest = load_bundle(exported.bundle.path).manifest
    assert manifest["name"] == "tiny"
    assert [entry["id"] for entry in manifest["classes"]] == list(range(CLASSES))
    assert manifest["input"] == {
        "height": HEIGHT,
        "width": WIDTH,
        "resize": "stretch",
        "interpolation": "bilinear",
        "pad_value": 0,
        "thermal_dtype": "uint8",
    }
    assert manifest["thermal"]["contract"] == "agc8"
    assert manifest["training"]["steps"] == 0
    card = (exported.bundle.path / "MODEL_CARD.md").read_text()
    assert "$" not in card
    for fact in ("car", "96 x 64", "mobilenetv4_conv_small", "`synthetic`: 4 frames, 100%"):
        assert fact in card
    assert "Trained on synthetic scenes alone" in card
    assert "Nothing was measured" in card


def test_command_prints_one_object_and_warns_about_the_size(exported: Exported) -> None:
    printed = json.loads(exported.output)
    assert printed["precisions"] == ["fp32"]
    assert printed["sha256"] == exported.bundle.sha256()
    (warning,) = exported.messages.splitlines()
    assert warning.startswith("warning: ")
    assert "limit 1 MB" in warning


def test_size_limit_of_bundles_that_ship(tmp_path: Path) -> None:
    with open(tmp_path / "model.onnx", "wb") as file:
        file.truncate(20_000_000)
    assert size_warning(tmp_path) == ""
    (tmp_path / "bundle.json").write_text("{")
    assert "cannot ship with sartm (limit 20 MB)" in size_warning(tmp_path)


def test_unsupported_precision_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match=r"cannot write that precision; got fp8, int4; .*fp32"):
        export_bundle(tmp_path / "none.ckpt", tmp_path / "out", precisions=["fp32", "fp8", "int4"])
    assert not (tmp_path / "out").exists()


def test_missing_checkpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "none.ckpt"), "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "no such checkpoint" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"protocols": {}}', '{"protocols": 3}'])
def test_file_that_is_no_metrics_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(SartmError, match=r"metrics\.json is no metrics\.json"):
        read_scores(tmp_path / "metrics.json")
