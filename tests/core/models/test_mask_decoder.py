"""The mask decoder: any classes and sizes, batches, SAM's own decoder as reference, export."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.mask_decoder import GaussianPosition, MaskDecoder
from sartm_core.models.torchvision_ops import ensure_torchvision_ops
from tests.core.models.checks import CHANNELS, check_onnx_equals_torch, random_levels

ensure_torchvision_ops()
from segment_anything import modeling as sam_modeling  # noqa: E402

DIM, CLASSES = 32, 5
StateDict = dict[str, torch.Tensor]


@pytest.fixture
def decoder() -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder(CLASSES, CHANNELS, DIM).eval().requires_grad_(False)


class SamHalf(nn.Module):
    """What SAM has behind its image encoder, for an embedding of 4 x 6."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt_encoder = sam_modeling.PromptEncoder(256, (4, 6), (64, 96), 16)
        transformer = sam_modeling.TwoWayTransformer(2, 256, 8, 2048)
        self.mask_decoder = sam_modeling.MaskDecoder(transformer_dim=256, transformer=transformer)

    def masks(self, embedding: torch.Tensor) -> torch.Tensor:
        """All four masks [1,4,16,24] of one image without a prompt."""
        sparse, dense = self.prompt_encoder(points=None, boxes=None, masks=None)
        position = self.prompt_encoder.get_dense_pe()
        return self.mask_decoder.predict_masks(embedding, position, sparse, dense)[0]


@pytest.fixture(scope="module")
def sam() -> SamHalf:
    torch.manual_seed(1)
    half = SamHalf().eval().requires_grad_(False)
    for value in half.parameters():  # so that no norm is what a new one is
        value.add_(0.02 * torch.randn_like(value))
    return half


@pytest.fixture
def checkpoint(sam: SamHalf, tmp_path: Path) -> StateDict:
    """The state dict as it is read back from a file, with a part of the image encoder."""
    state = {**sam.state_dict(), "image_encoder.pos_embed": torch.zeros(1, 4, 6, 8)}
    torch.save(state, tmp_path / "sam.pth")
    return torch.load(tmp_path / "sam.pth", weights_only=True)


def sam2_names(state: StateDict) -> StateDict:
    """The same weights as a SAM 2 checkpoint names them, with what only SAM 2 has."""
    renamed = {
        f"sam_{name}".replace("mlp.lin1", "mlp.layers.0").replace("mlp.lin2", "mlp.layers.1"): value
        for name, value in state.items()
    }
    return renamed | {
        "sam_mask_decoder.obj_score_token.weight": torch.zeros(1, 256),
        "sam_mask_decoder.pred_obj_score_head.layers.0.weight": torch.zeros(256, 256),
        "sam_mask_decoder.conv_s0.weight": torch.zeros(32, 256, 1, 1),
        "memory_attention.norm.weight": torch.zeros(256),
    }


@pytest.mark.parametrize(
    ("classes", "batch", "height", "width"),
    [
        (2, 1, 32, 32),  # the least
        (9, 3, 64, 96),  # MFNet, neither square nor as many images as classes
        (15, 2, 96, 64),  # FMB
        (3, 3, 64, 64),  # as many images as classes
    ],
)
def test_logits_of_any_classes_and_size(classes: int, batch: int, height: int, width: int) -> None:
    decoder = MaskDecoder(classes, CHANNELS, DIM)
    logits = decoder(random_levels(0, batch, height, width))
    assert logits.shape == (batch, classes, height // 4, width // 4)
    assert logits.isfinite().all()


def test_a_side_of_48_pixels_has_one_and_a_half_coarsest_cells(decoder: MaskDecoder) -> None:
    assert decoder(random_levels(0, 1, 48, 80)).shape == (1, CLASSES, 12, 20)


def test_a_batch_of_two_equals_two_batches_of_one(decoder: MaskDecoder) -> None:
    levels = random_levels(1, 2, 64, 96)
    single = [decoder([level[row : row + 1] for level in levels]) for row in range(2)]
    assert not torch.allclose(*single, rtol=0, atol=1e-2)
    torch.testing.assert_close(decoder(levels), torch.cat(single), rtol=0, atol=1e-5)


@pytest.mark.parametrize("index", range(4))
def test_every_level_matters(decoder: MaskDecoder, index: int) -> None:
    levels = random_levels(2, 1, 64, 64)
    reference = decoder(levels)
    levels[index] = levels[index] + 1.0
    assert not torch.allclose(decoder(levels), reference, rtol=0, atol=1e-4)


def test_a_new_decoder_learns_to_tell_classes_apart() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(CLASSES, CHANNELS, DIM)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3)
    codes = [torch.randn(CLASSES, channels) for channels in CHANNELS]
    for _ in range(60):
        cells = torch.randint(CLASSES, (4, 1, 2, 3)).float()  # at 1/32
        label = F.interpolate(cells, scale_factor=8).long()
        levels = [
            code[F.interpolate(cells, scale_factor=8 >> level).long()[:, 0]].permute(0, 3, 1, 2)
            for level, code in enumerate(codes)
        ]
        loss = F.cross_entropy(decoder(levels), label[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(value.grad is not None for value in decoder.parameters())
    assert loss < 0.5 * math.log(CLASSES)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_float32(decoder: MaskDecoder, dtype: torch.dtype) -> None:
    levels = random_levels(3, 1, 64, 96)
    reference = decoder(levels)
    with torch.autocast("cpu", dtype=dtype):
        mixed = decoder(levels)
    half = decoder.to(dtype)([level.to(dtype) for level in levels])
    assert half.dtype == dtype
    for logits in (mixed, half):
        assert (logits.float() - reference).abs().max() < 0.05 * reference.abs().max()


def test_dim_that_does_not_fit_is_refused() -> None:
    with pytest.raises(SartmError, match=r"dim does not fit.*got 40.*multiple of 16"):
        MaskDecoder(CLASSES, CHANNELS, 40)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (7, 3)])
def test_position_encoding_equals_sams(height: int, width: int) -> None:
    own, sams = GaussianPosition(8), sam_modeling.prompt_encoder.PositionEmbeddingRandom(8)
    own.load_state_dict(sams.state_dict())
    expected = sams((height, width)).unsqueeze(0)
    torch.testing.assert_close(own(height, width), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("names", [dict, sam2_names], ids=["sam", "sam2"])
def test_sams_weights_arrive(
    checkpoint: StateDict, names: Callable[[StateDict], StateDict]
) -> None:
    decoder = MaskDecoder(9, (64, 128, 160, 256))
    own = decoder.state_dict()
    before = {name: value.clone() for name, value in own.items()}
    fresh = decoder.load_sam(names(checkpoint))
    assert fresh == [
        f"{part}.{kind}"
        for part in ("embed", "embed_coarsest", "skip_eighth", "skip_quarter")
        for kind in ("weight", "bias")
    ] + ["class_tokens.weight"]
    for name, value in own.items():
        assert torch.equal(value, before[name]) == (name in fresh), name
    for name, theirs in {
        "transformer.layers.1.mlp.lin2.weight": "mask_decoder.transformer.layers.1.mlp.lin2.weight",
        "output_upscaling.3.bias": "mask_decoder.output_upscaling.3.bias",
        "output_hypernetwork_mlp.layers.2.weight": (
            "mask_decoder.output_hypernetworks_mlps.0.layers.2.weight"
        ),
        "no_mask_embed.weight": "prompt_encoder.no_mask_embed.weight",
    }.items():
        assert torch.equal(own[name], checkpoint[theirs])


def test_with_sams_tokens_it_computes_sams_mask(sam: SamHalf, checkpoint: StateDict) -> None:
    decoder = MaskDecoder(5, (8, 16, 256, 32)).eval().requires_grad_(False)
    for name in decoder.load_sam(checkpoint):  # only the 1/16 level gets in, and as it is
        decoder.get_parameter(name).zero_()
    decoder.embed.weight[:, :, 0, 0] = torch.eye(256)
    tokens = [sam.mask_decoder.iou_token.weight, sam.mask_decoder.mask_tokens.weight]
    decoder.class_tokens.weight.copy_(torch.cat(tokens))

    levels = random_levels(4, 2, 64, 96, (8, 16, 256, 32))
    expected = torch.cat([sam.masks(image)[:, 0] for image in levels[2].split(1)])
    torch.testing.assert_close(decoder(levels)[:, 1], expected, rtol=0, atol=1e-5)


def test_a_checkpoint_that_does_not_fit_is_refused_and_changes_nothing(
    checkpoint: StateDict,
) -> None:
    missing = dict(checkpoint)
    del missing["mask_decoder.transformer.layers.1.norm3.weight"]
    deeper = checkpoint | {"mask_decoder.transformer.layers.2.norm3.weight": torch.zeros(256)}
    other = checkpoint | {"prompt_encoder.no_mask_embed.weight": torch.zeros(1, 128)}

    decoder = MaskDecoder(9, CHANNELS)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    for state, message in (
        (missing, r"missing: mask_decoder\.transformer\.layers\.1\.norm3\.weight"),
        (deeper, r"unknown: mask_decoder\.transformer\.layers\.2\.norm3\.weight"),
        (other, r"shape: prompt_encoder\.no_mask_embed\.weight \[1, 128\] instead of \[1, 256\]"),
    ):
        with pytest.raises(SartmError, match=message):
            decoder.load_sam(state)
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())


def test_onnx_equals_torch(decoder: MaskDecoder, tmp_path: Path) -> None:
    levels = random_levels(5, 1, 64, 96)
    check_onnx_equals_torch(decoder, (levels,), levels, tmp_path / "decoder.onnx")
