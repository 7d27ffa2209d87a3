"""SAM's image encoder: the published one, at its size and at any other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sartm_core.errors import SartmError
from sartm_core.models.pair_encoder import create_pair_encoder
from sartm_core.models.sam.streams import SamStream
from sartm_core.models.sam.variants import SAM_VARIANTS, SamVariant, build_sam
from tests.core.models.tiny_sam import TINY, images, tiny_pair, write_sam


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A checkpoint of segment-anything's own tiny model, and the model."""
    path = tmp_path_factory.mktemp("sam") / "tiny.pth"
    return path, write_sam(path)


@torch.no_grad()
def test_embedding_equals_segment_anythings_at_1024(saved: tuple[Path, Any]) -> None:
    path, sam = saved
    stream = SamStream(TINY, checkpoint=path).eval()
    image = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    expected = sam.image_encoder(image)
    assert (stream.image_embedding(image, "rgb") - expected).abs().max() < 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_sam_vit_b_of_segment_anything_loads_strictly_and_gives_its_embedding(
    tmp_path: Path,
) -> None:
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    sam = sam_model_registry["vit_b"]()
    for name, parameter in sam.image_encoder.named_parameters():
        if "pos" in name:  # all zero until they are trained
            parameter.normal_(std=0.02)
    path = tmp_path / "sam_vit_b.pth"
    torch.save(sam.state_dict(), path)
    encoder = create_pair_encoder("sam_vit_b", sharing="shared", checkpoint=path).eval()
    path.unlink()
    image = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    expected = sam.image_encoder(image)
    assert (encoder.stream.image_embedding(image, "rgb") - expected).abs().max() < 1e-5
    assert [tuple(level.shape[2:]) for level in encoder(image[..., :480, :640], "rgb")] == [
        (120, 160), (60, 80), (30, 40), (15, 20)
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(SAM_VARIANTS))
def test_variants_are_segment_anythings(name: str) -> None:
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        own = build_sam(SAM_VARIANTS[name])
        theirs = sam_model_registry[name.removeprefix("sam_")]()
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in own.state_dict().items()} == shapes
    windows = [block.window_size for block in theirs.image_encoder.blocks]
    assert [block.window_size for block in own.image_encoder.blocks] == windows


@pytest.mark.parametrize("size", [(480, 640), (64, 96), (48, 80)])
@torch.no_grad()
def test_other_sizes_interpolate_the_position_embedding_alone(
    saved: tuple[Path, Any], size: tuple[int, int]
) -> None:
    path, sam = saved
    vit = sam.image_encoder
    stream = SamStream(TINY, checkpoint=path).eval()
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    grid = (size[0] // 16, size[1] // 16)
    published = vit.pos_embed
    fitted = F.interpolate(published.permute(0, 3, 1, 2), grid, mode="bicubic")
    vit.pos_embed = torch.nn.Parameter(fitted.permute(0, 2, 3, 1))
    try:
        expected = vit(image)
    finally:
        vit.pos_embed = published
    assert (stream.image_embedding(image, "thermal") - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((96, 128), [(24, 32), (12, 16), (6, 8), (3, 4)]),
        # No multiple of 32: the coarsest level is rounded up.
        ((48, 80), [(12, 20), (6, 10), (3, 5), (2, 3)]),
    ],
)
@torch.no_grad()
def test_four_levels_for_both_modalities(
    size: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    encoder = tiny_pair("sam").eval()
    for modality, image in images(0, *size).items():
        levels = encoder(image, modality)
        assert [tuple(level.shape[2:]) for level in levels] == sizes
        assert tuple(level.shape[1] for level in levels) == encoder.channels


def test_size_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(SartmError, match=r"got 60x96; expected .* divisible by 16; .*use 64x96"):
        tiny_pair("sam")(torch.zeros(1, 3, 60, 96), "rgb")


def test_levels_see_the_readouts_at_quarter_depths() -> None:
    assert SAM_VARIANTS["sam_vit_b"].readouts == (2, 5, 8, 11)
    assert SAM_VARIANTS["sam_vit_l"].readouts == (5, 11, 17, 23)
    assert SAM_VARIANTS["sam_vit_h"].readouts == (7, 15, 23, 31)
    encoder = tiny_pair("sam")
    levels = encoder(images()["rgb"], "rgb")
    # Every level sees its own read-out and the embedding behind the neck.
    for index, level in enumerate(levels):
        norms = encoder.stream.pyramid.norms
        gradients = torch.autograd.grad(
            level.sum(),
            [norm.weight for norm in norms] + [encoder.stream.image_encoder.neck[0].weight],
            retain_graph=True,
            allow_unused=True,
        )
        used = [gradient is not None for gradient in gradients]
        assert used == [readout == index for readout in range(4)] + [True]


def test_checkpointing_computes_every_block_twice_and_the_same() -> None:
    encoders = [tiny_pair("sam", gradient_checkpointing=flag) for flag in (False, True)]
    calls = [0, 0]
    results = []
    for index, encoder in enumerate(encoders):

        def count(*_: object, index: int = index) -> None:
            calls[index] += 1

        for block in encoder.stream.image_encoder.blocks:
            block.register_forward_pre_hook(count)
        sum(level.square().mean() for level in encoder(images()["rgb"], "rgb")).backward()
        results.append(encoder.stream.image_encoder.patch_embed.proj.weight.grad)
    assert calls == [TINY.depth, 2 * TINY.depth]
    torch.testing.assert_close(*results)


def test_safetensors_are_read_too(saved: tuple[Path, Any], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path, sam = saved
    save_file(sam.state_dict(), tmp_path / "tiny.safetensors")
    one = SamStream(TINY, checkpoint=path)
    other = SamStream(TINY, checkpoint=tmp_path / "tiny.safetensors")
    for name, value in one.image_encoder.state_dict().items():
        assert torch.equal(value, other.image_encoder.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("image_encoder.pos_embed"), r"1 missing \(first: image_encoder.pos_embed"),
        (lambda s: s.pop("mask_decoder.iou_token.weight"), "1 missing"),
        (lambda s: s.update(head=torch.zeros(1)), r"1 unexpected \(first: head\)"),
        (
            lambda s: s.update({"image_encoder.pos_embed": torch.zeros(1, 32, 32, 16)}),
            r"1 of another shape \(first: image_encoder.pos_embed \[1, 32, 32, 16\] instead",
        ),
    ],
)
def test_checkpoint_that_does_not_fit_says_how_much_and_what(
    saved: tuple[Path, Any], tmp_path: Path, change: Any, message: str
) -> None:
    state = dict(saved[1].state_dict())
    change(state)
    path = tmp_path / "wrong.pth"
    torch.save(state, path)
    with pytest.raises(SartmError, match=f"{message}.*expected the .* tensors of SAM with 4 block"):
        SamStream(TINY, checkpoint=path)


def test_checkpoint_of_another_size_is_refused(saved: tuple[Path, Any]) -> None:
    with pytest.raises(SartmError, match=r"missing.*of another shape.*8 blocks of 32 channels"):
        SamStream(SamVariant(32, 8, 2, (7,)), checkpoint=saved[0])


class Code:
    """What a pickle could run."""


@pytest.mark.parametrize("content", [Code(), {"model": Code()}, {}, [1], {"a": 1}])
def test_files_without_a_state_dict_are_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(SartmError, match=r"odd.pth.*expected a state dict"):
        SamStream(TINY, checkpoint=path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match="no such checkpoint"):
        SamStream(TINY, checkpoint=tmp_path / "none.pth")
    for name in ("page.pth", "page.safetensors"):
        (tmp_path / name).write_bytes(b"<!DOCTYPE html><html>404</html>")
        with pytest.raises(SartmError, match=f"{name} cannot be read as weights"):
            SamStream(TINY, checkpoint=tmp_path / name)
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    (tmp_path / "half.pth").write_bytes(buffer.getvalue()[:2000])
    with pytest.raises(SartmError, match=r"half.pth cannot be read as weights"):
        SamStream(TINY, checkpoint=tmp_path / "half.pth")
