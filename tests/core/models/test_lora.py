"""LoRA: where it is, what it starts as, which gradients it gets, and what merging leaves."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.lora import LoraConfig, add_lora, load_lora, save_lora
from sartm_core.models.pair_encoder import PairEncoder, create_pair_encoder
from sartm_core.models.registry import MODALITIES
from tests.core.models.tiny_sam import images, randomise_lora, tiny_pair

KINDS = ("sam", "sam2")
SHARINGS = ("shared", "per_modality")
CNN = "mobilenetv4_conv_small"


def levels_of(encoder: PairEncoder) -> list[torch.Tensor]:
    return [level for each, image in images().items() for level in encoder(image, each)]


def make(kind: str, sharing: str, rank: int = 4, alpha: float = 0.0) -> PairEncoder:
    if kind == "cnn":
        torch.manual_seed(0)
        lora = LoraConfig(rank, alpha)
        return create_pair_encoder(CNN, sharing=sharing, lora=lora, pretrained=False)
    return tiny_pair(kind, sharing=sharing, rank=rank, alpha=alpha)


def settle(encoder: PairEncoder) -> PairEncoder:
    """In evaluation mode, with BatchNorm statistics under which a random CNN does not fade out."""
    encoder.train()
    with torch.no_grad():
        for _ in range(20):
            levels_of(encoder)
    return encoder.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sharing", SHARINGS)
@torch.no_grad()
def test_untrained_lora_changes_nothing(kind: str, sharing: str) -> None:
    plain, adapted = tiny_pair(kind, sharing="shared"), make(kind, sharing)
    for one, other in zip(levels_of(plain), levels_of(adapted), strict=True):
        assert torch.equal(one, other)
    randomise_lora(adapted)
    changed = zip(levels_of(plain), levels_of(adapted), strict=True)
    assert all(not torch.allclose(one, other) for one, other in changed)


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_get_it_on_query_and_value_alone_and_the_rest_is_frozen(kind: str) -> None:
    encoder = make(kind, "per_modality")
    stream = encoder.stream
    blocks = (stream.image_encoder if kind == "sam" else stream.image_encoder.trunk).blocks
    adapted = {name.split(".lora_")[0] for name, _ in stream.named_parameters() if ".lora_" in name}
    prefix = "image_encoder." if kind == "sam" else "image_encoder.trunk."
    expected = {f"{prefix}blocks.{i}.attn.{each}" for i in range(len(blocks)) for each in "qv"}
    assert adapted == expected
    for name, parameter in stream.image_encoder.named_parameters():
        assert parameter.requires_grad == (".lora_" in name), name
    if kind == "sam":  # levels are no part of a checkpoint of SAM: they learn, for each modality
        assert all(parameter.requires_grad for parameter in stream.pyramid.parameters())
        assert set(stream.pyramid) == set(MODALITIES)


def test_cnns_get_it_on_pointwise_convolutions_alone() -> None:
    from peft.tuners.lora import LoraLayer

    for sharing in SHARINGS:
        encoder = make("cnn", sharing)
        layers = [layer for layer in encoder.modules() if isinstance(layer, LoraLayer)]
        assert layers
        for layer in layers:
            conv = layer.get_base_layer()
            assert (conv.kernel_size, conv.groups) == ((1, 1), 1)
        plain = [
            layer
            for layer in make("cnn", sharing, rank=0).modules()
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1
        ]
        assert len(layers) == len(plain)
        for name, parameter in encoder.named_parameters():
            assert parameter.requires_grad == (".lora_" in name), name


def reference(kind: str, paired: PairEncoder, modality: str) -> PairEncoder:
    """An encoder for this modality alone, with the weights and the pair that ``paired`` has."""
    alone = tiny_pair(kind, sharing="shared", rank=4).double().train()
    state = {}
    for name, tensor in paired.state_dict().items():
        if f".pyramid.{modality}." in name:
            state[name.replace(f".pyramid.{modality}.", ".pyramid.")] = tensor
        elif f".{modality}.weight" in name:
            state[name.replace(f".{modality}.weight", ".shared.weight")] = tensor
        elif ".lora_" not in name and ".pyramid." not in name:
            state[name] = tensor
    alone.load_state_dict(state)
    return alone


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_of_both_modalities_equal_those_of_two_separate_encoders(
    kind: str, checkpointing: bool
) -> None:
    paired = tiny_pair(kind, rank=4, gradient_checkpointing=checkpointing).double().train()
    randomise_lora(paired)
    alone = {each: reference(kind, paired, each) for each in MODALITIES}
    # Both modalities are computed, RGB twice, before anything is propagated back.
    inputs = [("rgb", 0), ("thermal", 0), ("rgb", 1)]
    for encoders in ([paired] * 3, [alone[modality] for modality, _ in inputs]):
        loss = torch.zeros((), dtype=torch.float64)
        for encoder, (modality, seed) in zip(encoders, inputs, strict=True):
            for level in encoder(images(seed)[modality].double(), modality):
                loss = loss + level.square().mean() + level.mean()
        loss.backward()
    seen = 0
    for modality, encoder in alone.items():
        gradients = {name: value.grad for name, value in encoder.named_parameters()}
        for name, value in paired.named_parameters():
            if f".{modality}.weight" not in name or ".lora_" not in name:
                continue
            expected = gradients[name.replace(f".{modality}.weight", ".shared.weight")]
            assert value.grad is not None
            assert expected.abs().sum() > 0
            torch.testing.assert_close(value.grad, expected, rtol=1e-9, atol=1e-12)
            seen += 1
    assert seen == len([name for name, _ in paired.named_parameters() if ".lora_" in name])


@pytest.mark.parametrize("kind", [*KINDS, "cnn"])
@pytest.mark.parametrize("sharing", SHARINGS)
@torch.no_grad()
def test_merged_equals_unmerged_and_loads_into_a_plain_encoder(kind: str, sharing: str) -> None:
    encoder = make(kind, sharing)
    randomise_lora(encoder)
    settle(encoder)
    before = copy.deepcopy(encoder.state_dict())
    expected = levels_of(encoder)
    merged = encoder.merged().eval()
    assert not [name for name in merged.state_dict() if "lora" in name or "base_layer" in name]
    plain = make(kind, sharing, rank=0).eval()
    plain.load_state_dict(merged.state_dict())
    for result in (levels_of(merged), levels_of(plain)):
        for one, other in zip(result, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_pairs_of_two_modalities_do_not_merge_in_place() -> None:
    layer = make("sam", "per_modality").stream.image_encoder.blocks[0].attn.q
    with pytest.raises(SartmError, match=r"got rgb, thermal; expected one"):
        layer.merge()
    layer.merge(adapter_names=["rgb"])


@torch.no_grad()
def test_modalities_use_their_own_pair() -> None:
    for kind in KINDS:
        encoder = make(kind, "per_modality")
        randomise_lora(encoder)
        before = {each: encoder(image, each) for each, image in images().items()}
        for name, parameter in encoder.named_parameters():
            if ".lora_B.rgb." in name:
                parameter.zero_()
        after = {each: encoder(image, each) for each, image in images().items()}
        assert not torch.equal(before["rgb"][0], after["rgb"][0])
        assert all(map(torch.equal, before["thermal"], after["thermal"]))


@torch.no_grad()
def test_scale_is_alpha_over_rank_and_one_by_default() -> None:
    updates = []
    for alpha in (0.0, 4.0, 12.0):
        encoder = make("sam", "shared", alpha=alpha)
        randomise_lora(encoder)
        layer = encoder.stream.image_encoder.blocks[0].attn.q
        updates.append(layer.get_delta_weight("shared"))
        expected = layer.lora_B["shared"].weight @ layer.lora_A["shared"].weight
        torch.testing.assert_close(updates[-1], expected * (alpha or 4.0) / 4)
    torch.testing.assert_close(updates[0], updates[1])
    with pytest.raises(SartmError, match="LoRA cannot have this size"):
        LoraConfig(rank=-1)


@pytest.mark.parametrize("kind", [*KINDS, "cnn"])
@pytest.mark.parametrize("sharing", SHARINGS)
@torch.no_grad()
def test_adapters_alone_are_saved_and_loaded(kind: str, sharing: str, tmp_path: Path) -> None:
    trained, fresh = make(kind, sharing), make(kind, sharing)
    randomise_lora(trained)
    save_lora(trained, tmp_path / "lora.safetensors")
    load_lora(fresh, tmp_path / "lora.safetensors")
    state = fresh.state_dict()
    for name, value in trained.state_dict().items():
        if ".lora_" in name:
            assert torch.equal(state[name], value), name
    adapters = sum(value.numel() for name, value in state.items() if ".lora_" in name)
    size = (tmp_path / "lora.safetensors").stat().st_size
    assert 4 * adapters < size < 4 * adapters + 200 * len(state)


def test_adapters_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_lora(make("sam", "shared"), path)
    for other in (
        make("sam2", "shared"),
        make("sam", "per_modality"),
        make("sam", "shared", rank=2),
        make("sam", "shared", alpha=8.0),
    ):
        with pytest.raises(SartmError, match=r"another LoRA; got \{'encoder': 'tiny_sam'"):
            load_lora(other, path)
    with pytest.raises(SartmError, match=r"no LoRA.*rank above 0"):
        save_lora(make("sam", "shared", rank=0), path)
    path.write_bytes(b"nothing")
    with pytest.raises(SartmError, match="cannot be read as a LoRA"):
        load_lora(make("sam", "shared"), path)


def test_only_the_module_itself_is_frozen() -> None:
    """The rest of a network goes on learning: get_peft_model is given the encoder alone."""
    network = nn.ModuleDict({"encoder": nn.Sequential(nn.Conv2d(3, 4, 1)), "head": nn.Linear(4, 2)})
    add_lora(network["encoder"], LoraConfig(2), ("shared",), ["0"])
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"encoder", "head"}
    assert all("lora" in name for name in trained if name.startswith("encoder"))


def test_mixed_precision_gives_finite_gradients() -> None:
    encoder = make("sam", "per_modality")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = sum(level.float().square().mean() for level in levels_of(encoder))
    loss.backward()
    gradients = [value.grad for name, value in encoder.named_parameters() if ".lora_B." in name]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
