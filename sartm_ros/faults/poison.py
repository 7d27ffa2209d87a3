"""A model that raises, hangs or dawdles when an RGB image of a certain red comes; needs onnx."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sartm_core.bundle import Bundle, write_bundle

RAISES, HANGS, DAWDLES = 1, 2, 3
"""The red of the first pixel at which it does so."""
DAWDLE_S = 1.0
_FOR_EVER = 1 << 62
_OUTPUT = "confidence"
_CLEAN = "confidence_clean"


def write_poisoned(bundle: Bundle, folder: Path) -> Bundle:
    """A bundle like ``bundle``, fp32 only, whose model can be made to fail.

    Raises:
        SartmError: ``bundle`` is incomplete or damaged.
    """
    model = onnx.load(bundle.model_path("fp32"))
    poison(model.graph)
    manifest = {key: value for key, value in bundle.manifest.items() if key != "network"}
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "model.onnx"
        onnx.save(model, path)
        return write_bundle(folder, manifest, {path.name: path})


def poison(graph: onnx.GraphProto) -> None:
    """Add the poison between the network and its output ``confidence``; other images pass it
    unchanged.

    The red is that of the network's input, after any resizing: paint the whole image.
    """
    for node in graph.node:
        node.input[:] = [_CLEAN if name == _OUTPUT else name for name in node.input]
        node.output[:] = [_CLEAN if name == _OUTPUT else name for name in node.output]
    constants: dict[str, Any] = {
        "corner": np.zeros((1, 4), np.int64),
        "raises": np.array([RAISES], np.float32),
        "hangs": np.array([HANGS], np.float32),
        "dawdles": np.array([DAWDLES], np.float32),
        "inside": np.array([0]),
        "outside": np.array([7]),
        "entries": np.zeros(1, np.float32),
        "never": np.array([0]),
        "a_while": np.array([round(DAWDLE_S / _turn_s())]),
        "for_ever": np.array([_FOR_EVER]),
        "one": np.array([], np.int64),
        "still": np.float32(0),
        "going": np.array(True),
    }
    node = helper.make_node
    nodes = [
        node("GatherND", ["rgb", "corner"], ["red"]),
        node("Cast", ["red"], ["red_f"], to=TensorProto.FLOAT),
        # An index out of range raises.
        node("Equal", ["red_f", "raises"], ["is_raising"]),
        node("Where", ["is_raising", "outside", "inside"], ["index"]),
        node("Gather", ["entries", "index"], ["entry"]),
        # A loop without a body takes its time.
        node("Equal", ["red_f", "hangs"], ["is_hanging"]),
        node("Equal", ["red_f", "dawdles"], ["is_dawdling"]),
        node("Where", ["is_dawdling", "a_while", "never"], ["some_turns"]),
        node("Where", ["is_hanging", "for_ever", "some_turns"], ["all_turns"]),
        node("Reshape", ["all_turns", "one"], ["turns"]),
        node("Loop", ["turns", "going", "still"], ["turned"], body=_idle_turn()),
        # Both are 0, and what they are added to depends on them.
        node("Add", ["entry", "turned"], ["nothing"]),
        node("Cast", [_CLEAN], ["confidence_f"], to=TensorProto.FLOAT),
        node("Add", ["confidence_f", "nothing"], ["confidence_sum"]),
        node("Cast", ["confidence_sum"], [_OUTPUT], to=TensorProto.UINT8),
    ]
    prefix = "poison_"
    own = {*constants, *(name for each in nodes for name in each.output)} - {_OUTPUT}
    for each in nodes:
        each.input[:] = [prefix + name if name in own else name for name in each.input]
        each.output[:] = [prefix + name if name in own else name for name in each.output]
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), prefix + name)
        for name, value in constants.items()
    )
    graph.node.extend(nodes)


def _idle_turn() -> onnx.GraphProto:
    """The body of a loop that changes nothing."""
    value, node = helper.make_tensor_value_info, helper.make_node
    return helper.make_graph(
        [node("Identity", ["on"], ["on_out"]), node("Identity", ["same"], ["same_out"])],
        "turn",
        [
            value("turn", TensorProto.INT64, []),
            value("on", TensorProto.BOOL, []),
            value("same", TensorProto.FLOAT, []),
        ],
        [value("on_out", TensorProto.BOOL, []), value("same_out", TensorProto.FLOAT, [])],
    )


def _turn_s(turns: int = 50_000) -> float:
    """CPU seconds of a turn of the loop on this machine."""
    import onnxruntime

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "going", "still"], ["turned"], body=_idle_turn())],
        "loop",
        [
            value("turns", TensorProto.INT64, []),
            value("going", TensorProto.BOOL, []),
            value("still", TensorProto.FLOAT, []),
        ],
        [value("turned", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    begin = time.thread_time()
    session.run(
        None, {"turns": np.array(turns), "going": np.array(True), "still": np.array(0, np.float32)}
    )
    return (time.thread_time() - begin) / turns
