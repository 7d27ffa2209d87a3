"""SAM 2's trunk from timm and its neck: same function, checkpoints, LoRA where it widens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sartm_core.errors import SartmError
from sartm_core.models.lora import LoraConfig
from sartm_core.models.pair_encoder import ENCODER_NAMES, create_pair_encoder
from sartm_core.models.sam.streams import Sam2Stream
from tests.core.models.tiny_sam import GREY, images, randomise_lora, tiny_hiera, tiny_pair


def stream(checkpoint: Path | None = None, seed: int = 0) -> Sam2Stream:
    return Sam2Stream(tiny_hiera(seed), rgb_mean=GREY, rgb_std=GREY, checkpoint=checkpoint).eval()


def published(seed: int = 3) -> dict[str, torch.Tensor]:
    """A state dict with SAM 2's names: trunk, neck and some of the rest."""
    names = {".mlp.fc1.": ".mlp.layers.0.", ".mlp.fc2.": ".mlp.layers.1."}
    state = {}
    for name, tensor in tiny_hiera(seed).state_dict().items():
        for timms, metas in names.items():
            name = name.replace(timms, metas)
        if not name.startswith("head."):
            state[f"image_encoder.trunk.{name}"] = tensor
    for index, channels in enumerate((64, 32, 16, 8)):  # coarsest first
        prefix = f"image_encoder.neck.convs.{index}.conv."
        state[prefix + "weight"] = torch.randn(256, channels, 1, 1)
        state[prefix + "bias"] = torch.randn(256)
    state["sam_mask_decoder.conv_s0.weight"] = torch.randn(32, 256, 1, 1)
    state["memory_encoder.out_proj.bias"] = torch.randn(64)
    state["no_mem_embed"] = torch.randn(1, 1, 256)
    return state


@pytest.mark.parametrize("size", [(64, 96), (224, 160)])
@torch.no_grad()
def test_trunk_computes_what_timms_does(size: tuple[int, int]) -> None:
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    expected = tiny_hiera().forward_intermediates(image, intermediates_only=True)
    levels = stream().image_encoder.trunk(image, "rgb")
    for level, reference in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, reference, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_neck_adds_the_coarsest_level_to_the_next_alone() -> None:
    encoder = stream().image_encoder
    trunk = encoder.trunk(images()["rgb"], "rgb")
    fourth, third, second, first = (
        conv(level) for conv, level in zip(encoder.neck.convs, reversed(trunk), strict=True)
    )
    expected = [
        first,
        second,
        third + fourth.repeat_interleave(2, 2).repeat_interleave(2, 3),
        fourth,
    ]
    for level, reference in zip(encoder(images()["rgb"], "rgb"), expected, strict=True):
        torch.testing.assert_close(level, reference)


@torch.no_grad()
def test_full_checkpoint_fills_trunk_and_neck_and_says_what_it_does_not_use(
    tmp_path: Path,
) -> None:
    state = published()
    torch.save({"model": state}, tmp_path / "sam2.pt")
    loaded = stream(tmp_path / "sam2.pt")
    image = images()["rgb"]
    trunk = tiny_hiera(3).forward_intermediates(image, intermediates_only=True)
    prefix = "image_encoder.neck.convs.0.conv."
    coarsest = F.conv2d(trunk[-1], state[prefix + "weight"], state[prefix + "bias"])
    torch.testing.assert_close(loaded(image, "rgb")[-1], coarsest, rtol=1e-4, atol=1e-4)
    assert loaded.neck_loaded
    assert loaded.note.startswith("trunk and neck from")
    assert "memory_encoder (1), no_mem_embed (1), sam_mask_decoder (1)" in loaded.note


def test_trunk_of_timm_is_taken_and_the_missing_neck_said(tmp_path: Path) -> None:
    torch.save(tiny_hiera(3).state_dict(), tmp_path / "timm.pth")
    loaded = stream(tmp_path / "timm.pth")
    assert not loaded.neck_loaded
    assert "the neck is not in the file" in loaded.note
    expected = tiny_hiera(3).blocks[0].attn.qkv.weight[:8]
    assert torch.equal(loaded.image_encoder.trunk.blocks[0].attn.q.weight, expected)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("image_encoder.trunk.pos_embed", "1 missing .first: pos_embed.*SAM 2's trunk"),
        ("image_encoder.neck.convs.2.conv.bias", "1 missing .first: convs.2.bias.*SAM 2's neck"),
    ],
)
def test_trunk_and_neck_are_strict(tmp_path: Path, lost: str, message: str) -> None:
    state = published()
    del state[lost]
    torch.save(state, tmp_path / "sam2.pt")
    with pytest.raises(SartmError, match=message):
        stream(tmp_path / "sam2.pt")


def test_lora_on_a_random_neck_is_refused(tmp_path: Path) -> None:
    import timm

    path = tmp_path / "trunk.pth"
    torch.save(timm.create_model("sam2_hiera_tiny").state_dict(), path)
    with pytest.raises(SartmError, match=r"has no neck.*full checkpoint of SAM 2"):
        create_pair_encoder(
            "sam2_hiera_tiny", sharing="shared", lora=LoraConfig(4), checkpoint=path
        )


@torch.no_grad()
def test_real_tiny_trunk_is_built_by_name() -> None:
    encoder = create_pair_encoder("sam2_hiera_tiny", sharing="shared").eval()
    levels = encoder(images()["thermal"], "thermal")
    assert [tuple(level.shape[1:]) for level in levels] == [
        (256, 16, 24), (256, 8, 12), (256, 4, 6), (256, 2, 3)
    ]  # fmt: skip
    assert encoder.rgb_mean == pytest.approx((123.675, 116.28, 103.53))
    assert {name for name in ENCODER_NAMES if name.startswith("sam2")} == {
        f"sam2_hiera_{size}" for size in ("tiny", "small", "base_plus", "large")
    }


@torch.no_grad()
def test_lora_reaches_all_of_query_and_value_where_a_block_widens() -> None:
    """Defect 8: the released code adds to the first and the last ``dim`` of 3 * dim_out outputs."""
    x = torch.randn(1, 4, 4, 8)
    reached = {}
    for released in (False, True):
        encoder = tiny_pair("sam2", rank=4, released=released)
        randomise_lora(encoder)
        attention = encoder.stream.image_encoder.trunk.blocks[1].attn  # 8 to 16 channels
        for name in ("q", "v"):
            layer = getattr(attention, name)
            update = layer(x, "thermal") - layer.get_base_layer()(x, "thermal")
            reached[released, name] = (update.abs().amax(dim=(0, 1, 2)) > 0).tolist()
            merged = x @ layer.get_delta_weight("thermal").T
            torch.testing.assert_close(update, merged, rtol=1e-4, atol=1e-4)
    assert all(reached[False, "q"])
    assert all(reached[False, "v"])
    assert reached[True, "q"] == [True] * 8 + [False] * 8
    assert reached[True, "v"] == [False] * 8 + [True] * 8


@torch.no_grad()
def test_released_lora_is_the_same_where_no_block_widens() -> None:
    for released in (False, True):
        encoder = tiny_pair("sam2", rank=4, released=released)
        attention = encoder.stream.image_encoder.trunk.blocks[3].attn  # 32 to 32 channels
        reached = attention.q.get_base_layer().reached
        assert reached is None or bool(reached.all())
