"""Every runtime that is installed gives the masks of every other."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sartm_core.bundle import Bundle
from sartm_core.errors import SartmError
from sartm_core.evaluation.metrics import confusion
from sartm_core.frames import Segmentation
from sartm_core.runtime import RUNTIMES, Runtime, create_runtime
from sartm_core.runtime.verify import mean_iou, verify
from sartm_core.segmenter import Segmenter

ALL = ("onnxruntime", "openvino", "torch")
CAMERAS = {"rgb+thermal": (1.0, 1.0), "rgb": (1.0, 0.0), "thermal": (0.0, 1.0), "none": (0.0, 0.0)}


def runtime_of(name: str, bundle: Bundle, precision: str = "fp32") -> Runtime:
    pytest.importorskip(name.partition(":")[0])
    return create_runtime(name, bundle, precision=precision, threads=1)


def frame(bundle: Bundle, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coarse noise; the thermal camera sees the middle only."""
    rng = np.random.default_rng(seed)
    height, width = bundle.input_size
    coarse = rng.integers(0, 256, (height // 8, width // 8, 4), np.uint8)
    image = np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1))
    valid = np.zeros((height, width), np.uint8)
    valid[8:-8, 8:-8] = 1
    return image[..., :3], image[..., 3], valid


@pytest.mark.parametrize("name", ALL)
def test_fp32_masks_are_those_of_onnxruntime(whole_bundle: Bundle, name: str) -> None:
    reference = runtime_of("onnxruntime", whole_bundle)
    runtime = runtime_of(name, whole_bundle)
    assert (runtime.name, runtime.device, runtime.precision) == (name, "cpu", "fp32")
    classes = len(whole_bundle.classes)
    for cameras in CAMERAS.values():
        present = np.array(cameras, np.float32)
        counts = np.zeros((classes, classes + 1), np.int64)
        for seed in range(4):
            inputs = (*frame(whole_bundle, seed), present)
            expected, sure = reference.infer(*inputs)
            mask, confidence = runtime.infer(*inputs)
            assert (mask.dtype, mask.shape) == (np.uint8, whole_bundle.input_size)
            assert (confidence.dtype, confidence.shape) == (np.uint8, whole_bundle.input_size)
            assert np.abs(confidence.astype(int) - sure).max() <= 1
            assert ((mask == 255) == (expected == 255)).all()
            counts += confusion(expected, mask, classes)
        assert mean_iou(counts) >= 0.999
    runtime.close()


@pytest.mark.parametrize("name", ALL)
def test_verify_agrees(whole_bundle: Bundle, name: str) -> None:
    assert verify(whole_bundle, runtime_of(name, whole_bundle)).agreement >= 0.999


# The network is random: its logits lie closer together than those of a trained one.
@pytest.mark.parametrize(
    ("name", "asked", "given"),
    [
        ("onnxruntime", "int8", "int8cpu"),
        ("openvino", "int8", "int8cpu"),
        ("openvino", "fp16", "fp16"),
    ],
)
def test_other_precisions_run(whole_bundle: Bundle, name: str, asked: str, given: str) -> None:
    runtime = runtime_of(name, whole_bundle, asked)
    assert runtime.precision == given
    assert verify(whole_bundle, runtime).agreement > 0.5


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_bytes_of_an_absent_camera_change_no_bit(
    whole_bundle: Bundle, name: str, camera: str
) -> None:
    runtime = runtime_of(name, whole_bundle)
    rgb, thermal, valid = frame(whole_bundle, 0)
    other_rgb, other_thermal, _ = frame(whole_bundle, 1)
    if camera == "rgb":
        first, second = (rgb, thermal, valid), (other_rgb, thermal, valid)
    else:
        first, second = (rgb, thermal, valid), (rgb, other_thermal, 1 - valid)
    present = np.array([camera != "rgb", camera != "thermal"], np.float32)
    for value, reference in zip(
        runtime.infer(*first, present), runtime.infer(*second, present), strict=True
    ):
        assert np.array_equal(value, reference)


@pytest.mark.parametrize("name", ALL)
def test_a_later_frame_does_not_change_an_earlier_mask(whole_bundle: Bundle, name: str) -> None:
    runtime = runtime_of(name, whole_bundle)
    both = np.ones(2, np.float32)
    mask, confidence = runtime.infer(*frame(whole_bundle, 0), both)
    kept = mask.copy(), confidence.copy()
    assert not np.array_equal(runtime.infer(*frame(whole_bundle, 1), both)[0], mask)
    assert np.array_equal(mask, kept[0])
    assert np.array_equal(confidence, kept[1])


def in_threads(work: list[Callable[[], None]]) -> None:
    """Run at once; what fails in a thread fails here."""
    failures: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shared", [True, False], ids=["one segmenter", "a segmenter each"])
def test_two_threads_get_the_masks_that_one_gets(
    whole_bundle: Bundle, name: str, shared: bool
) -> None:
    first = Segmenter(whole_bundle, runtime_of(name, whole_bundle))
    second = first if shared else Segmenter(whole_bundle, runtime_of(name, whole_bundle))
    frames = [frame(whole_bundle, seed) for seed in range(4)]
    expected = [first(*inputs) for inputs in frames]

    def repeat(segmenter: Segmenter, order: list[int]) -> None:
        for index in 4 * order:
            result: Segmentation = segmenter(*frames[index])
            assert np.array_equal(result.mask, expected[index].mask)
            assert np.array_equal(result.confidence, expected[index].confidence)

    in_threads([lambda: repeat(first, [0, 1, 2, 3]), lambda: repeat(second, [3, 1, 0, 2])])


def test_openvino_computes_the_fp32_file_in_float32(whole_bundle: Bundle) -> None:
    """Left to itself it takes bfloat16 where the CPU has it."""
    openvino = pytest.importorskip("openvino")
    from sartm_core.runtime.openvino import OpenvinoRuntime

    runtime = OpenvinoRuntime(whole_bundle, precision="fp32", threads=1)
    model = runtime._model
    assert model.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    assert model.get_property("INFERENCE_NUM_THREADS") == 1


def test_openvino_reports_to_nobody(tiny_bundle: Path) -> None:
    """Its import would send an event to Google Analytics and write to the home folder."""
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    script = (
        "import sys; from sartm_core.segmenter import load; load(sys.argv[1], 'openvino'); "
        "print(sys.modules['openvino'].__name__, sys.modules.get('openvino_telemetry'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["openvino", "None"]


def test_torch_in_half_precision_gives_nearly_the_same_masks(whole_bundle: Bundle) -> None:
    """On a CPU, which computes the same, only slowly; the runtime itself asks for a GPU."""
    torch = pytest.importorskip("torch")
    from sartm_core.runtime.torch import TorchRuntime, to_half

    runtime = TorchRuntime(whole_bundle, precision="fp32", threads=1)
    single = runtime.infer(*frame(whole_bundle, 0), np.ones(2, np.float32))[1]
    to_half(runtime._graph)
    half = runtime.infer(*frame(whole_bundle, 0), np.ones(2, np.float32))[1]
    assert {p.dtype for p in runtime._graph.parameters()} == {torch.float16, torch.float32}
    runtime.precision = "fp16"
    assert verify(whole_bundle, runtime).ok
    assert not np.array_equal(single, half)  # it is another arithmetic, and not fp32 twice


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_torch_on_a_gpu(whole_bundle: Bundle, precision: str) -> None:
    runtime = create_runtime("torch:cuda", whole_bundle, precision=precision)
    assert runtime.device == "cuda"
    assert verify(whole_bundle, runtime).ok


@pytest.mark.gpu
def test_onnxruntime_on_a_gpu(whole_bundle: Bundle) -> None:
    try:
        runtime = create_runtime("onnxruntime:cuda", whole_bundle)
    except SartmError as error:
        pytest.skip(str(error))
    assert runtime.device == "cuda"
    assert verify(whole_bundle, runtime).ok


def test_names_say_engine_and_device() -> None:
    assert len(set(RUNTIMES)) == len(RUNTIMES)
    assert {name.partition(":")[0] for name in RUNTIMES} == {*ALL, "tensorrt", "tensorrt_rtx"}
