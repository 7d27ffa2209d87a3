"""Model files of other precisions: what is in them, and that they give the masks of fp32."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sartm_core.bundle import Bundle, load_bundle
from sartm_core.cli import main
from sartm_core.errors import SartmError
from sartm_core.export.precisions import add_precisions, calibration_feeds
from sartm_core.export.quantize import correct_biases, outside_the_network
from sartm_core.runtime import create_runtime
from sartm_core.runtime.onnxruntime import OnnxRuntime
from sartm_core.runtime.verify import verify
from tests.core.export.conftest import Exported

HEIGHT, WIDTH = 64, 96
SIZE = (HEIGHT, WIDTH)
OTHERS = ("fp16", "int8", "int8cpu")


@pytest.fixture(scope="module")
def precise(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The exported bundle with all precisions, calibrated on generated frames."""
    out = tmp_path_factory.mktemp("precise") / "bundle"
    feeds = calibration_feeds([("synthetic", None)], SIZE, count=8)
    return add_precisions(exported.bundle, OTHERS, out, feeds)


def graph_of(bundle: Bundle, precision: str) -> onnx.GraphProto:
    return onnx.load(bundle.model_path(precision)).graph


def initializers(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_bundle_keeps_what_it_had(exported: Exported, precise: Bundle) -> None:
    assert set(precise.precisions) == {"fp32", *OTHERS}
    assert precise.sha256("fp32") == exported.bundle.sha256("fp32")
    assert precise.sample_path.read_bytes() == exported.bundle.sample_path.read_bytes()
    for key in ("name", "classes", "input", "thermal", "training"):
        assert precise.manifest[key] == exported.bundle.manifest[key]


@pytest.mark.parametrize("precision", OTHERS)
def test_file_is_valid_and_has_the_interface_of_fp32(precise: Bundle, precision: str) -> None:
    model = onnx.load(precise.model_path(precision))
    onnx.checker.check_model(model, full_check=True)
    versions = {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
    assert versions <= {18, 19, 20}
    fp32 = graph_of(precise, "fp32")
    assert [*model.graph.input] == [*fp32.input]
    assert [*model.graph.output] == [*fp32.output]


@pytest.mark.parametrize("precision", ["int8", "int8cpu"])
def test_zeros_of_an_absent_camera_are_not_written_out(precise: Bundle, precision: str) -> None:
    graph = graph_of(precise, precision)
    constants = initializers(graph)
    taken = {name for node in graph.node if node.op_type == "Where" for name in node.input}
    assert max(constants[name].size for name in taken & constants.keys()) < HEIGHT * WIDTH


# The network is random: its logits lie closer together than those of a trained one.
@pytest.mark.parametrize(("precision", "least"), [("fp16", 0.95), ("int8", 0.7), ("int8cpu", 0.6)])
def test_masks_are_close_to_those_of_fp32(precise: Bundle, precision: str, least: float) -> None:
    engine = OnnxRuntime(precise, precision=precision, threads=1)
    assert least < verify(precise, engine).agreement < 1.0  # 1 would be the same file


@pytest.mark.parametrize("precision", OTHERS)
@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_bytes_of_an_absent_camera_change_no_bit(
    precise: Bundle, precision: str, camera: str
) -> None:
    engine = OnnxRuntime(precise, precision=precision, threads=1)
    noise = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 4), dtype=np.uint8)
    valid = np.ones(SIZE, np.uint8)
    rgb, thermal = noise[0, ..., :3], noise[0, ..., 3]
    other = noise[1]
    if camera == "rgb":
        present = np.array([0, 1], np.float32)
        pairs = [(rgb, thermal), (other[..., :3], thermal)]
    else:
        present = np.array([1, 0], np.float32)
        pairs = [(rgb, thermal), (rgb, other[..., 3])]
    first, second = (engine.infer(*map(np.ascontiguousarray, p), valid, present) for p in pairs)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_int8_is_what_tensorrt_takes(precise: Bundle) -> None:
    graph = graph_of(precise, "int8")
    known = initializers(graph)
    ends = [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(ends) > 20
    for node in ends:
        zero_point = known[node.input[2]]
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
    quantised = [known[n.input[0]] for n in ends if n.input[0] in known]
    assert {value.dtype for value in quantised} == {np.dtype(np.int8)}  # no int32 bias


def test_int8_for_cpus_has_weights_of_seven_bits(precise: Bundle) -> None:
    graph = graph_of(precise, "int8cpu")
    known = initializers(graph)
    weights = [known[n.input[0]] for n in graph.node if n.input and n.input[0] in known]
    bytes_ = [value for value in weights if value.dtype == np.int8 and value.ndim == 4]
    assert bytes_
    assert max(int(np.abs(value.astype(int)).max()) for value in bytes_) <= 64
    activations = {known[n.input[2]].dtype for n in graph.node if n.op_type == "QuantizeLinear"}
    assert activations == {np.dtype(np.uint8)}


@pytest.mark.parametrize("precision", ["int8", "int8cpu"])
def test_what_lies_behind_the_logits_stays_float(precise: Bundle, precision: str) -> None:
    graph = graph_of(precise, precision)
    reached = {"logits"}
    for node in graph.node:
        if reached & {*node.input}:
            reached |= {*node.output}
            assert node.op_type not in ("QuantizeLinear", "DequantizeLinear")
    assert {"mask", "confidence"} <= reached


def test_fp16_halves_the_weights_and_no_norms(precise: Bundle) -> None:
    graph = graph_of(precise, "fp16")
    convolutions = {name for node in graph.node if node.op_type == "Conv" for name in node.input}
    types = {t.data_type for t in graph.initializer if t.name in convolutions}
    assert types == {TensorProto.FLOAT16}
    size = precise.model_path("fp16").stat().st_size
    assert size < 0.65 * precise.model_path("fp32").stat().st_size


def test_int8_on_a_cpu_is_the_file_for_cpus(precise: Bundle, exported: Exported) -> None:
    assert create_runtime("onnxruntime", precise, precision="int8").precision == "int8cpu"
    assert create_runtime("auto", precise).precision == "fp32"
    with pytest.raises(SartmError, match="has no int8 model"):
        create_runtime("onnxruntime", exported.bundle, precision="int8")


def test_command_gives_a_bundle_further_precisions(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = write_frames(tmp_path / "frames")
    out = tmp_path / "out"
    command = ["export", str(exported.bundle.path), "--out", str(out), "--precision", "int8cpu"]
    assert main([*command, "--calibrate", f"folder:{frames}"]) == 0
    assert set(load_bundle(out).precisions) == {"fp32", "int8cpu"}
    assert "warning: INT8 ranges" not in capsys.readouterr().err

    assert main([*command, "--calibrate", f"folder:{tmp_path / 'nowhere'}"]) == 0
    messages = capsys.readouterr().err
    assert "no frames for INT8 ranges" in messages
    assert "warning: INT8 ranges are measured on synthetic frames" in messages


def write_frames(folder: Path) -> Path:
    """Two frames of noise in folder layout, without labels."""
    rng = np.random.default_rng(0)
    for kind, channels in (("rgb", 3), ("thermal", 1)):
        (folder / kind).mkdir(parents=True)
        for name in ("a", "b"):
            image = rng.integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)
            cv2.imwrite(str(folder / kind / f"{name}.png"), image)
    return folder


def test_frames_show_both_cameras_and_sometimes_one(tmp_path: Path) -> None:
    source = (f"folder:{write_frames(tmp_path / 'frames')}", None)
    present = [tuple(feed["present"][0].tolist()) for feed in calibration_feeds([source], SIZE)]
    assert present == [(1, 1), (1, 0), (0, 1), (1, 1)]


def test_only_the_network_itself_is_quantised() -> None:
    chain = ["rgb", "cast", "conv", "logits", "mask"]
    operators = ["Cast", "Conv", "Relu", "ArgMax"]
    nodes = [
        helper.make_node(operator, [source], [target], name=target)
        for operator, source, target in zip(operators, chain[:-1], chain[1:], strict=True)
    ]
    tensor = helper.make_tensor_value_info("rgb", onnx.TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph(nodes, "g", [tensor], [tensor]))
    assert outside_the_network(model) == ["cast", "logits", "mask"]


def test_rounded_weights_do_not_shift_a_channel() -> None:
    """A depthwise and a full convolution whose weights do not lie on the grid."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "b1": np.zeros(4, np.float32),
        "w2": rng.normal(size=(6, 4, 1, 1)).astype(np.float32),
        "b2": np.ones(6, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["y"], group=4),
        helper.make_node("Conv", ["y", "w2", "b2"], ["z"]),
    ]
    sides = {"x": [1, 4, 12, 12], "z": [1, 6, 10, 10]}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in sides.items()]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    level = np.arange(1, 5, dtype=np.float32).reshape(1, 4, 1, 1)
    feeds = [{"x": np.broadcast_to(level * k, (1, 4, 12, 12)).copy()} for k in (1, 3)]

    def output(weights: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """Mean of each channel of z over the feeds, which are constant planes."""
        means = []
        for feed in feeds:
            y = weights["w1"].sum(axis=(1, 2, 3)) * feed["x"][0, :, 0, 0] + weights["b1"]
            means.append(weights["w2"][..., 0, 0] @ y + weights["b2"])
        return np.mean(means, axis=0, dtype=np.float64)

    def rounded(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        step = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 7
        return np.rint(weight / step) * step

    exact = output(weights)
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    correct_biases(corrected, feeds, levels=7)
    biases = initializers(corrected.graph)
    coarse = {name: rounded(w) if w.ndim == 4 else w for name, w in weights.items()}
    plain = np.abs(output(coarse) - exact).max()
    better = np.abs(output({**coarse, "b1": biases["b1"], "b2": biases["b2"]}) - exact).max()
    assert plain > 0.1
    assert better < 1e-4
