"""Tiny model bundles, built by hand: their masks can be computed in one's head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from sartm_core.bundle import write_bundle
from sartm_core.classes import MFNET, class_rows

CAR, PERSON, UNLABELLED = 1, 2, 255
CONFIDENCE = 200


def write_tiny_bundle(
    folder: Path,
    height: int = 96,
    width: int = 128,
    *,
    name: str = "tiny",
    work: int = 0,
    poisoned: bool = False,
) -> Path:
    """Write a bundle whose mask is person where thermal > 128, else car where red > 128, else 0.

    Without any camera the mask is 255 and the confidence 0; else the confidence is 200.

    Args:
        work: convolutions that change nothing but take time, about 5 ms each at 320x240.
        poisoned: the engine fails when the first pixel's red has one of the values in
            ``sartm_ros.faults.poison``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model_path = folder / "model.onnx"
    model = _model(height, width, work)
    if poisoned:
        from sartm_ros.faults.poison import poison

        poison(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, model_path)
    manifest = {
        "name": name,
        "classes": class_rows(MFNET),
        "ignore_id": UNLABELLED,
        "input": {
            "height": height,
            "width": width,
            "resize": "stretch",
            "interpolation": "bilinear",
            "thermal_dtype": "uint8",
        },
        "thermal": {"contract": "agc8", "scale": 1.0, "offset": 0.0, "window": [0, 255]},
        "language": None,
        "calibration": {},
        "risk": {},
        "training": {},
        "license": "Apache-2.0",
    }
    return write_bundle(folder, manifest, {"model.onnx": model_path}).path


def _model(height: int, width: int, work: int) -> onnx.ModelProto:
    plane, u8, f32 = [1, height, width], TensorProto.UINT8, TensorProto.FLOAT
    constants: dict[str, npt.NDArray[np.generic]] = {
        "zero": np.float32(0),
        "half": np.float32(128),
        "first": np.array([0]),
        "second": np.array([1]),
        "third": np.array([3]),
        "car": np.float32(CAR),
        "person": np.float32(PERSON),
        "unlabelled": np.float32(UNLABELLED),
        "sure": np.float32(CONFIDENCE),
    }
    node = helper.make_node
    nodes = [
        node("Gather", ["present", "first"], ["p_rgb"], axis=1),
        node("Gather", ["present", "second"], ["p_thermal"], axis=1),
        node("Gather", ["rgb", "first"], ["red4"], axis=3),
        node("Cast", ["red4"], ["red4f"], to=f32),
        node("Squeeze", ["red4f", "third"], ["red"]),
        node("Mul", ["red", "p_rgb"], ["red_seen"]),
        node("Mul", ["thermal", "thermal_valid"], ["thermal4"]),
        node("Cast", ["thermal4"], ["thermal4f"], to=f32),
        node("Squeeze", ["thermal4f", "third"], ["heat"]),
        node("Mul", ["heat", "p_thermal"], ["heat_seen"]),
        node("Greater", ["red_seen", "half"], ["is_car"]),
        node("Greater", ["heat_seen", "half"], ["is_person"]),
        node("Where", ["is_car", "car", "zero"], ["cars"]),
        node("Where", ["is_person", "person", "cars"], ["classes"]),
        node("Add", ["p_rgb", "p_thermal"], ["cameras"]),
        node("Greater", ["cameras", "zero"], ["any_camera"]),
        node("Where", ["any_camera", "classes", "unlabelled"], ["mask_f"]),
        node("Cast", ["mask_f"], ["mask"], to=u8),
        node("Mul", ["red", "zero"], ["zeros"]),
        node("Where", ["any_camera", "sure", "zero"], ["level"]),
        node("Add", ["zeros", "level"], ["confidence_0"]),
    ]
    last = "confidence_0"
    if work:
        kernel = np.zeros((16, 16, 3, 3), np.float32)
        constants |= {
            "kernel": kernel,
            "widen": np.zeros((16, 1, 1, 1), np.float32),
            "narrow": np.zeros((1, 16, 1, 1), np.float32),
            "channel": np.array([1]),
        }
        nodes += [
            node("Unsqueeze", [last, "channel"], ["work_in"]),
            node("Conv", ["work_in", "widen"], ["work_0"]),
            *(
                node("Conv", [f"work_{i}", "kernel"], [f"work_{i + 1}"], pads=[1, 1, 1, 1])
                for i in range(work)
            ),
            node("Conv", [f"work_{work}", "narrow"], ["work_out"]),
            node("Squeeze", ["work_out", "channel"], ["work_zeros"]),
            node("Add", [last, "work_zeros"], ["confidence_worked"]),
        ]
        last = "confidence_worked"
    nodes.append(node("Cast", [last], ["confidence"], to=u8))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("rgb", u8, [1, height, width, 3]),
            helper.make_tensor_value_info("thermal", u8, [1, height, width, 1]),
            helper.make_tensor_value_info("thermal_valid", u8, [1, height, width, 1]),
            helper.make_tensor_value_info("present", f32, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("mask", u8, plane),
            helper.make_tensor_value_info("confidence", u8, plane),
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
