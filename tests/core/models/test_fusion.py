"""Every fusion: absent cameras, gradients, batches, half precision, export; then each one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sartm_core.models.fusion import (
    FUSIONS,
    CmxFusion,
    FeatureRectification,
    GatedFusion,
    linear_attention,
)
from tests.core.models.checks import check_every_parameter_learns, check_onnx_equals_torch

CHANNELS, HEIGHT, WIDTH = 12, 6, 10
BOTH, ONLY_RGB, ONLY_THERMAL, NEITHER = (True, True), (True, False), (False, True), (False, False)

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def inputs(*present: tuple[bool, bool], seed: int = 0, channels: int = CHANNELS) -> Inputs:
    """One image per pair of flags; equal seeds give the first image the same features."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(2, channels, HEIGHT, WIDTH, generator=generator) for _ in present]
    rgb, thermal = torch.stack(rows, dim=1)
    flags = torch.tensor(present).view(-1, 2, 1, 1, 1)
    return rgb, thermal, flags[:, 0], flags[:, 1]


@pytest.fixture(params=sorted(FUSIONS))
def fusion(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    module = FUSIONS[request.param](CHANNELS)
    with torch.no_grad():
        module.missing.normal_()  # so that a leak cannot hide behind zeros
    return module


@pytest.mark.parametrize("channels", [7, 64])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 16)])
def test_any_level(fusion: torch.nn.Module, channels: int, height: int, width: int) -> None:
    rgb, thermal = torch.randn(2, 2, channels, height, width)
    there = torch.ones(2, 1, height, width, dtype=torch.bool)
    fused = type(fusion)(channels)(rgb, thermal, there, there)
    assert fused.shape == (2, channels, height, width)
    assert fused.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("present", [ONLY_RGB, ONLY_THERMAL, NEITHER])
def test_absent_features_change_no_bit(
    fusion: torch.nn.Module, present: tuple[bool, bool], value: float
) -> None:
    rgb, thermal, *there = inputs(present, BOTH)
    reference = fusion(rgb, thermal, *there)
    assert reference.isfinite().all()
    for feature, present_here in zip((rgb, thermal), present, strict=True):
        if not present_here:
            feature[0] = value
    assert torch.equal(fusion(rgb, thermal, *there), reference)


def test_thermal_outside_its_field_of_view_changes_no_bit(fusion: torch.nn.Module) -> None:
    rgb, thermal, rgb_there, _ = inputs(BOTH)
    covered = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    covered[..., 2:7] = True
    reference = fusion(rgb, thermal, rgb_there, covered)
    outside = torch.where(covered, thermal, float("nan"))
    assert torch.equal(fusion(rgb, outside, rgb_there, covered), reference)
    assert not torch.equal(fusion(rgb, -thermal, rgb_there, covered), reference)


@pytest.mark.parametrize("camera", [0, 1])
def test_a_present_camera_matters_with_and_without_the_other(
    fusion: torch.nn.Module, camera: int
) -> None:
    for present in (BOTH, ONLY_THERMAL if camera else ONLY_RGB):
        features = inputs(present)
        other = list(features)
        other[camera] = -other[camera]
        assert not torch.allclose(fusion(*features), fusion(*other), atol=1e-3)


def test_gradients_reach_present_features_and_tokens_of_absent_ones(
    fusion: torch.nn.Module,
) -> None:
    rgb, thermal, *there = inputs(ONLY_RGB, ONLY_THERMAL)
    with torch.no_grad():
        thermal[0], rgb[1] = float("nan"), float("inf")
    rgb.requires_grad_()
    thermal.requires_grad_()
    fusion(rgb, thermal, *there).square().sum().backward()
    assert rgb.grad[0].abs().sum() > 0
    assert thermal.grad[1].abs().sum() > 0
    assert not rgb.grad[1].any()
    assert not thermal.grad[0].any()
    for parameter in fusion.parameters():
        assert parameter.grad.isfinite().all()
    assert (fusion.missing.grad.abs().flatten(1).sum(dim=1) > 0).all()


def test_every_parameter_learns(fusion: torch.nn.Module) -> None:
    features = inputs(BOTH, ONLY_RGB, ONLY_THERMAL)
    check_every_parameter_learns(fusion, lambda: fusion(*features))


def test_images_of_a_batch_do_not_meet_also_in_training(fusion: torch.nn.Module) -> None:
    together = inputs(BOTH, ONLY_RGB, ONLY_THERMAL)
    rows = [fusion(*(tensor[row : row + 1] for tensor in together)) for row in range(3)]
    torch.testing.assert_close(fusion.train()(*together), torch.cat(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("present", [BOTH, ONLY_RGB, ONLY_THERMAL])
def test_half_precision_is_close_to_float32(
    fusion: torch.nn.Module, dtype: torch.dtype, present: tuple[bool, bool]
) -> None:
    rgb, thermal, *there = inputs(present)
    reference = fusion(rgb, thermal, *there)
    with torch.autocast("cpu", dtype=dtype):
        mixed = fusion(rgb, thermal, *there)
    half = fusion.to(dtype)(rgb.to(dtype), thermal.to(dtype), *there)
    assert half.dtype == dtype
    for fused in (mixed, half):
        assert (fused.float() - reference).abs().max() < 0.05 * reference.abs().max()


def test_onnx_equals_torch(fusion: torch.nn.Module, tmp_path: Path) -> None:
    arguments = inputs(BOTH)
    there = torch.rand(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) > 0.3
    arguments = (*arguments[:3], there)
    check_onnx_equals_torch(fusion, arguments, list(arguments), tmp_path / "fusion.onnx")


def test_gated_keeps_the_names_of_trained_weights() -> None:
    shapes = {name: tuple(value.shape) for name, value in GatedFusion(24).state_dict().items()}
    assert shapes == {
        "missing": (2, 24, 1, 1),
        "gate.weight": (48, 48, 1, 1),
        "gate.bias": (48,),
    }


def test_cmx_is_light_at_the_teachers_four_levels() -> None:
    levels = [CmxFusion(channels) for channels in (64, 128, 160, 256)]
    assert sum(value.numel() for level in levels for value in level.parameters()) == 1_408_888


def test_rectification_gives_each_modality_half_of_the_other_when_undecided() -> None:
    rectify = FeatureRectification(4)
    for weights in (rectify.channel_weights, rectify.spatial_weights):
        last = weights[-2]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)  # sigmoid(0) = 0.5, per channel and per pixel
    rgb, thermal = torch.randn(2, 1, 4, 3, 3)
    rgb_rectified, thermal_rectified = rectify(rgb, thermal)
    torch.testing.assert_close(rgb_rectified, rgb + 0.5 * thermal)
    torch.testing.assert_close(thermal_rectified, thermal + 0.5 * rgb)


def test_cmx_sees_the_whole_other_image() -> None:
    torch.manual_seed(0)
    cmx = CmxFusion(CHANNELS)
    for weights in (cmx.rectify.channel_weights, cmx.rectify.spatial_weights):
        torch.nn.init.constant_(weights[-2].bias, -100)  # what is left is the attention
        torch.nn.init.zeros_(weights[-2].weight)
    rgb, thermal, *there = inputs(BOTH)
    reference = cmx(rgb, thermal, *there)
    for feature in (rgb, thermal):
        changed = feature.clone()
        changed[..., 0, 0] += 5
        fused = cmx(*(changed if x is feature else x for x in (rgb, thermal)), *there)
        far = (fused - reference)[..., 3:, 3:]  # beyond the 3x3 convolution
        assert (far.abs().amax(dim=1) > 0).all()


def test_linear_attention_equals_its_definition() -> None:
    query, key, value = torch.randn(3, 2, 7, 8, generator=torch.Generator().manual_seed(0))
    answer = linear_attention(query, key, value)
    for image in range(2):
        for head in range(4):
            part = slice(2 * head, 2 * head + 2)
            q, k, v = (x[image, :, part] for x in (query, key, value))
            weights = q.softmax(dim=1) @ k.softmax(dim=0).T  # 7 x 7: pixel to pixel
            torch.testing.assert_close(answer[image, :, part], weights @ v)
            torch.testing.assert_close(weights.sum(dim=1), torch.full((7,), 1.0))


def test_linear_attention_stays_a_mean_in_half_precision_over_a_large_image() -> None:
    tokens = 120 * 160  # 1/4 of 480x640
    query, key = 10 * torch.randn(2, 1, tokens, 8, generator=torch.Generator().manual_seed(0))
    value = torch.full((1, tokens, 8), 6e4)  # twice that is infinite
    with torch.autocast("cpu", dtype=torch.float16):
        answer = linear_attention(query.half(), 0.01 * key.half(), value.half())
    torch.testing.assert_close(answer.float(), value, rtol=1e-3, atol=0)
