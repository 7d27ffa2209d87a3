"""`sartm bench`: what is measured and how it is told."""

import json
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sartm_core.cli import main
from sartm_core.timing import describe_ratio


def bench(capsys, *words):
    code = main(["bench", *map(str, words), "--frames", "10"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def foreign(path, dtype, shape, node=None, constants=()):
    """An ONNX file of another project: one input ``x``, by default returned as it is."""
    node = node or helper.make_node("Identity", ["x"], ["y"])
    value = helper.make_tensor_value_info("x", dtype, shape)
    out = helper.make_tensor_value_info("y", dtype, None)
    graph = helper.make_graph([node], "g", [value], [out], list(constants))
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def test_json_has_the_model_the_whole_line_and_the_machine(tiny_bundle, capsys):
    code, out, _ = bench(capsys, tiny_bundle, "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["model"], result["runtime"], result["precision"]) == (
        "tiny",
        "onnxruntime",
        "fp32",
    )
    for name in ("model_ms", "end_to_end_ms"):
        assert 0 < result[name]["p50"] <= result[name]["p95"] <= result[name]["p99"]
    assert set(result["stages_ms"]) == {"pre", "infer", "post"}
    assert result["stages_ms"]["infer"]["p50"] < result["end_to_end_ms"]["p50"]
    assert result["frames_per_s"] > 0
    assert result["peak_memory_mib"] > 10
    assert result["device"] == "cpu"
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["versions"]["onnxruntime"]


def test_two_models_are_compared_by_their_medians(tiny_bundle, capsys):
    other = tiny_bundle / "model.onnx"
    code, out, _ = bench(capsys, tiny_bundle, "--compare", other, "--threads", 1, "--json")
    pair = json.loads(out)["compare"]
    assert code == 0
    assert pair["threads"] == 1
    for each in (pair, pair["fastest"]):
        assert each["ratio"] == pytest.approx(each["bundle_ms"] / each["other_ms"], rel=0.05)
    assert pair["fastest"]["bundle_ms"] <= pair["bundle_ms"]
    assert pair["interval"] is None  # ten frames are too few rounds


def test_the_ratio_comes_with_its_interval(tiny_bundle, capsys):
    words = ["bench", tiny_bundle, "--compare", tiny_bundle / "model.onnx", "--frames", 30]
    assert main([*map(str, words), "--json"]) == 0
    pair = json.loads(capsys.readouterr().out)["compare"]
    interval = pair["interval"]
    assert (interval["level"], interval["rounds"]) == (0.95, 10)
    assert 0 < interval["low"] <= interval["high"]
    assert main([*map(str, words)]) == 0
    line = capsys.readouterr().out.splitlines()[-2]
    assert re.search(r"; 95% interval [\d.]+ to [\d.]+$", line)


def test_the_other_file_is_told_with_its_inputs(tiny_bundle, tmp_path, capsys):
    other = foreign(tmp_path / "other.onnx", TensorProto.FLOAT, [1, 3, 4, 6])
    _, out, _ = bench(capsys, tiny_bundle, "--compare", other)
    inputs, *times = out.splitlines()[-3:]
    assert inputs == f"compare      {other} with x 1x3x4x6; in turns, 1 threads"
    for name, line in zip(("medians", "fastest"), times, strict=True):
        assert re.fullmatch(rf" +{name} +[\d.]+ ms against [\d.]+ ms: ratio .+", line)


@pytest.mark.parametrize(
    ("ours", "theirs", "told"), [(30, 200, "0.150, or 1/6.67"), (200, 100, "2"), (50, 50, "1")]
)
def test_the_ratio_is_a_part_of_the_other_time(ours, theirs, told):
    assert describe_ratio(ours, theirs) == told


@pytest.mark.parametrize(
    ("dtype", "shape", "made_up"),
    [
        # one file per type that an exporter may write
        (TensorProto.FLOAT16, [1, 3, 4, 6], [1, 3, 4, 6]),
        (TensorProto.DOUBLE, [2], [2]),
        (TensorProto.INT64, [], []),
        (TensorProto.BOOL, [1, 5], [1, 5]),
        (TensorProto.UINT8, [1, 4, 6, 3], [1, 4, 6, 3]),
        # open sizes: batch, then the bundle's height and width, channels first or last
        (TensorProto.FLOAT, ["n", 3, "h", "w"], [1, 3, 96, 128]),
        (TensorProto.FLOAT, ["n", "h", "w", 3], [1, 96, 128, 3]),
        (TensorProto.UINT8, ["n", "h", "w"], [1, 96, 128]),
        (TensorProto.FLOAT, [None, 1, 32, "w"], [1, 1, 32, 128]),
        (TensorProto.FLOAT, ["n", 7], [1, 7]),
    ],
)
def test_any_inputs_can_be_compared(tiny_bundle, tmp_path, capsys, dtype, shape, made_up):
    other = foreign(tmp_path / "other.onnx", dtype, shape)
    code, out, err = bench(capsys, tiny_bundle, "--compare", other, "--json")
    assert code == 0, err
    assert json.loads(out)["compare"]["other_inputs"] == {"x": made_up}


def test_people_get_lines(tiny_bundle, capsys):
    code, out, _ = bench(capsys, tiny_bundle)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "tiny",
        "model",
        "end to end",
        "stages",
        "throughput",
        "peak memory",
        "machine",
    ]


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"text",
        (TensorProto.STRING, [1]),  # no random text
        (TensorProto.FLOAT, [1, "tokens"]),  # how many?
        (TensorProto.FLOAT, ["n", "c", 40, 60]),  # channels are no pixels
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(tiny_bundle, tmp_path, capsys, content):
    other = tmp_path / "other.onnx"
    if isinstance(content, tuple):
        foreign(other, *content)
    elif content is not None:
        other.write_bytes(content)
    code, _, err = bench(capsys, tiny_bundle, "--compare", other)
    assert code == 1
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_a_file_that_fails_when_it_runs_is_refused_in_one_line(tiny_bundle, tmp_path, capsys):
    other = tmp_path / "other.onnx"
    shape = numpy_helper.from_array(np.array([7], np.int64), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    foreign(other, TensorProto.FLOAT, ["n", 3], node=node, constants=[shape])
    code, _, err = bench(capsys, tiny_bundle, "--compare", other)
    assert code == 1
    assert err.startswith("error: ONNX Runtime cannot run")
    assert len(err.splitlines()) == 1
