"""Published sizes of SAM and SAM 2, and SAM itself as segment-anything builds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from sartm_core.models.weights import load_strictly, read_weights

IMAGE_SIZE = 1024  # that SAM was trained at; its position embeddings have this size in a checkpoint
PATCH = 16
EMBEDDING = 256  # channels of the image embedding
WINDOW = 14
RGB_MEAN = (123.675, 116.28, 103.53)
RGB_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SamVariant:
    """Size of SAM's image encoder.

    Attributes:
        width: channels of the transformer.
        depth: number of blocks; a multiple of 4.
        heads: of every attention.
        global_blocks: indexes of the blocks that attend to the whole image.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]

    @property
    def readouts(self) -> tuple[int, ...]:
        """Indexes of the blocks at the ends of the four quarters of the depth."""
        quarter = self.depth // 4
        return tuple(quarter * part - 1 for part in (1, 2, 3, 4))


SAM_VARIANTS = {
    "sam_vit_b": SamVariant(768, 12, 12, (2, 5, 8, 11)),
    "sam_vit_l": SamVariant(1024, 24, 16, (5, 11, 17, 23)),
    "sam_vit_h": SamVariant(1280, 32, 16, (7, 15, 23, 31)),
}
SAM2_NAMES = ("sam2_hiera_tiny", "sam2_hiera_small", "sam2_hiera_base_plus", "sam2_hiera_large")


def build_sam(variant: SamVariant, checkpoint: Path | None = None) -> Any:
    """segment-anything's ``Sam`` at 1024x1024, the size at which a published checkpoint fits.

    Args:
        variant: of the image encoder; the rest is the same in all of SAM.
        checkpoint: whose tensors must be exactly those of the model; None = random initialisation.

    Raises:
        SartmError: the checkpoint cannot be read or does not fit.
    """
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=IMAGE_SIZE,
            patch_size=PATCH,
            embed_dim=variant.width,
            depth=variant.depth,
            num_heads=variant.heads,
            out_chans=EMBEDDING,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=WINDOW,
            global_attn_indexes=variant.global_blocks,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBEDDING,
            image_embedding_size=(IMAGE_SIZE // PATCH, IMAGE_SIZE // PATCH),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=EMBEDDING,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBEDDING, num_heads=8, mlp_dim=2048
            ),
        ),
        pixel_mean=list(RGB_MEAN),
        pixel_std=list(RGB_STD),
    )
    if checkpoint is not None:
        expected = (
            f"SAM with {variant.depth} blocks of {variant.width} channels "
            "(image_encoder.*, prompt_encoder.*, mask_decoder.*)"
        )
        load_strictly(sam, read_weights(checkpoint), source=checkpoint, expected=expected)
    return sam
