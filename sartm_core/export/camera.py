"""A bundle for one RGB camera: its images go in as they come, and the graph resizes them.

On a GPU that is quicker than on the CPU. The thermal camera's images are as small as the network's
input, so they are still resized outside.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sartm_core.bundle import MODEL_CARD, MODEL_FILES, SAMPLE, Bundle, write_bundle
from sartm_core.errors import SartmError
from sartm_core.export.onnx_file import open_session
from sartm_core.runtime.interface import batch_of_one

_FRAME = ("rgb", "thermal", "thermal_valid")
_INPUT, _FITTED = "rgb", "rgb_fitted"


def fit_camera(bundle: Bundle, size: tuple[int, int], out: Path) -> Bundle:
    """Write a copy of a bundle whose input ``rgb`` has a camera's size.

    The masks of sample.npz are made anew, of the same scenes at that size. Weights for PyTorch are
    left out: its network has no such resize.

    Args:
        bundle: any, for no camera yet.
        size: (height, width) of the camera's images.
        out: folder of the bundle that is written; may be the bundle's own.

    Raises:
        SartmError: it is for a camera already, or its graph is not one that `sartm export` writes.
    """
    if bundle.rgb_size != bundle.input_size:
        raise SartmError(
            f"bundle '{bundle.name}' is for a camera already",
            got="RGB images of {1}x{0}".format(*bundle.rgb_size),
            remedy="start from the bundle that it was made from",
        )
    with tempfile.TemporaryDirectory() as folder:
        card = bundle.path / MODEL_CARD
        files = {MODEL_CARD: card} if card.is_file() else {}
        files[SAMPLE] = Path(folder, SAMPLE)
        for precision in bundle.precisions:
            name = MODEL_FILES[precision]
            files[name] = Path(folder, name)
            model = onnx.load(bundle.model_path(precision))
            prepend_resize(model, size, bundle.input_size)
            onnx.save(model, files[name])
        _write_sample(bundle.sample_path, files[MODEL_FILES["fp32"]], size, files[SAMPLE])
        left_out = ("schema_version", "files", "network")
        manifest = {key: value for key, value in bundle.manifest.items() if key not in left_out}
        camera = {"height": size[0], "width": size[1]}
        manifest["input"] = {**manifest["input"], "camera": camera}
        return write_bundle(out, manifest, files)


def prepend_resize(model: onnx.ModelProto, size: tuple[int, int], inside: tuple[int, int]) -> None:
    """Give the input ``rgb`` another size, from which the graph resizes it.

    Bilinear between the centres of pixels, rounded: what OpenCV does outside.

    Args:
        model: is changed.
        size: (height, width) of the new input.
        inside: (height, width) that the network had, and has behind the resize.

    Raises:
        SartmError: something other than a Cast reads ``rgb``.
    """
    graph = model.graph
    readers = [node for node in graph.node if _INPUT in node.input]
    if any(node.op_type != "Cast" for node in readers):
        raise SartmError(
            "the graph cannot take images of another size",
            got=f"{', '.join(node.op_type for node in readers)} on its input '{_INPUT}'",
            expected="Cast alone",
            remedy="export the checkpoint again",
        )
    for node in readers:
        node.input[0] = _FITTED
    prefix, node = f"{_INPUT}_camera", helper.make_node
    steps = [
        node("Cast", [_INPUT], [f"{prefix}_float"], to=TensorProto.FLOAT),
        node("Transpose", [f"{prefix}_float"], [f"{prefix}_planes"], perm=[0, 3, 1, 2]),
        node(
            "Resize",
            [f"{prefix}_planes", "", "", f"{prefix}_sizes"],
            [f"{prefix}_small"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        ),
        node("Round", [f"{prefix}_small"], [f"{prefix}_levels"]),
        node("Transpose", [f"{prefix}_levels"], [_FITTED], perm=[0, 2, 3, 1]),
    ]
    for step in reversed(steps):
        graph.node.insert(0, step)
    sizes = np.array([1, 3, *inside], np.int64)
    graph.initializer.append(numpy_helper.from_array(sizes, f"{prefix}_sizes"))
    (rgb,) = (each for each in graph.input if each.name == _INPUT)
    shape = [1, *size, 3]
    rgb.CopyFrom(helper.make_tensor_value_info(_INPUT, TensorProto.UINT8, shape))
    onnx.checker.check_model(model, full_check=True)


def _write_sample(source: Path, model: Path, size: tuple[int, int], target: Path) -> None:
    """The scenes of ``source`` at the camera's size, and the masks that ``model`` gives of them."""
    with np.load(source, allow_pickle=False) as sample:
        arrays = {name: sample[name] for name in _FRAME}
    # Repeated, not interpolated: it compresses.
    large = [cv2.resize(i, size[::-1], interpolation=cv2.INTER_NEAREST) for i in arrays["rgb"]]
    arrays["rgb"] = np.stack(large)
    session, both = open_session(model), np.ones(2, np.float32)
    masks = [
        session.run(["mask"], batch_of_one(rgb, thermal, valid, both))[0][0]
        for rgb, thermal, valid in zip(*(arrays[name] for name in _FRAME), strict=True)
    ]
    np.savez_compressed(target, **arrays, mask=np.stack(masks))
