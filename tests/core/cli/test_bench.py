"""`sartm bench`: what is measured and how it is told."""

import json

import onnx
import pytest

from sartm_core.cli import main


def bench(capsys, *words):
    code = main(["bench", *map(str, words), "--frames", "10"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


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
    assert result["peak_memory_mib"] > 10
    assert result["machine"]["cores"] >= 1


def test_two_models_are_compared_by_their_medians(tiny_bundle, capsys):
    other = tiny_bundle / "model.onnx"
    code, out, _ = bench(capsys, tiny_bundle, "--compare", other, "--json")
    pair = json.loads(out)["compare"]
    assert code == 0
    assert pair["ratio"] == pytest.approx(pair["bundle_ms"] / pair["other_ms"], rel=0.05)


def test_people_get_lines(tiny_bundle, capsys):
    code, out, _ = bench(capsys, tiny_bundle)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "tiny",
        "model",
        "end to end",
        "peak memory",
    ]


@pytest.mark.parametrize("content", [None, b"text", "float16"])
def test_what_cannot_be_compared_is_refused_in_one_line(tiny_bundle, tmp_path, capsys, content):
    other = tmp_path / "other.onnx"
    if content == "float16":  # an input that sartm models do not have
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT16, [1])
        out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT16, [1])
        node = onnx.helper.make_node("Identity", ["x"], ["y"])
        graph = onnx.helper.make_graph([node], "g", [value], [out])
        opset = onnx.helper.make_opsetid("", 18)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9), other)
    elif content is not None:
        other.write_bytes(content)
    code, _, err = bench(capsys, tiny_bundle, "--compare", other)
    assert code == 1
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
