"""SAM's mask decoder as a semantic head: one token per class instead of prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.models.layers import LayerNorm2d
from sartm_core.models.torchvision_ops import ensure_torchvision_ops

HEADS = 8  # of every attention, as in SAM

# Own name -> name in a SAM checkpoint. SAM has one hyper-network per mask token, which are not
# interchangeable; the first belongs to the token that outlines a whole object on its own.
_FROM_SAM = {
    "transformer.": "mask_decoder.transformer.",
    "output_upscaling.": "mask_decoder.output_upscaling.",
    "output_hypernetwork_mlp.": "mask_decoder.output_hypernetworks_mlps.0.",
    "no_mask_embed.": "prompt_encoder.no_mask_embed.",
    "pe_layer.": "prompt_encoder.pe_layer.",
}
# What a checkpoint has for prompts and mask quality, and SAM 2 for object scores and for skip
# connections from its own neck: no part of a semantic head.
_NOT_USED = (
    "mask_decoder.iou_token.",
    "mask_decoder.iou_prediction_head.",
    "mask_decoder.mask_tokens.",
    "mask_decoder.output_hypernetworks_mlps.",
    "mask_decoder.obj_score_token.",
    "mask_decoder.pred_obj_score_head.",
    "mask_decoder.conv_s0.",
    "mask_decoder.conv_s1.",
    "prompt_encoder.point_embeddings.",
    "prompt_encoder.not_a_point_embed.",
    "prompt_encoder.mask_downscaling.",
)


class MaskDecoder(nn.Module):
    """Class logits by SAM's two-way transformer (Kirillov et al., "Segment Anything", ICCV 2023).

    One token per class attends to the other classes and, both ways, to the 1/16 embedding of the
    image. The embedding is then upsampled to 1/4, with skip connections from the finer levels as in
    SAM 2, and the logit of a class at a pixel is the dot product of the upsampled embedding with
    what one perceptron, shared by all classes, makes of the class's token. Masks are the logits:
    nothing scores or gates them.

    Args:
        classes: number of classes, background included.
        channels: of the fused levels 1/4, 1/8, 1/16, 1/32.
        dim: channels of tokens and embedding; weights of SAM need 256.

    Raises:
        SartmError: ``dim`` does not divide into the attention's heads.
    """

    def __init__(self, classes: int, channels: Sequence[int], dim: int = 256) -> None:
        super().__init__()
        ensure_torchvision_ops()
        from segment_anything.modeling import TwoWayTransformer
        from segment_anything.modeling.mask_decoder import MLP

        if dim % (2 * HEADS):
            raise SartmError(
                "dim does not fit the mask decoder",
                got=dim,
                expected=f"a multiple of {2 * HEADS}",
                remedy="use 256, SAM's own",
            )
        quarter, eighth, sixteenth, coarsest = channels
        self.embed = nn.Conv2d(sixteenth, dim, 1)
        self.embed_coarsest = nn.Conv2d(coarsest, dim, 1)
        self.skip_eighth = nn.Conv2d(eighth, dim // 4, 1)
        self.skip_quarter = nn.Conv2d(quarter, dim // 8, 1)

        # Standard normal, as SAM's mask tokens: the first layer has no residual connection, so what
        # tells classes apart is weak, and with tokens of std 0.02 the loss stays at log(classes)
        # for the first 60 steps or more.
        self.class_tokens = nn.Embedding(classes, dim)
        self.no_mask_embed = nn.Embedding(1, dim)
        nn.init.normal_(self.no_mask_embed.weight, std=0.02)
        self.pe_layer = GaussianPosition(dim // 2)
        self.transformer = TwoWayTransformer(
            depth=2, embedding_dim=dim, num_heads=HEADS, mlp_dim=8 * dim
        )
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetwork_mlp = MLP(dim, dim, dim // 8, 3)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits [B,classes,H/4,W/4] from the four levels, finest first; H, W multiples of 16."""
        quarter, eighth, sixteenth, coarsest = levels
        batch, size = sixteenth.shape[0], sixteenth.shape[-2:]
        image = self.embed(sixteenth) + F.interpolate(
            self.embed_coarsest(coarsest), size=size, mode="bilinear", align_corners=False
        )
        image = image + self.no_mask_embed.weight.view(1, -1, 1, 1)
        # Tokens are repeated per image. SAM's own predict_masks repeats the images per token
        # instead, so that a batch is squared.
        tokens = self.class_tokens.weight.expand(batch, -1, -1)
        tokens, image = self.transformer(image, self.pe_layer(*size).to(image.dtype), tokens)

        up_to_eighth, norm, act, up_to_quarter, last_act = self.output_upscaling
        image = image.transpose(1, 2).reshape(batch, -1, *size)
        image = act(norm(up_to_eighth(image) + self.skip_eighth(eighth)))
        image = last_act(up_to_quarter(image) + self.skip_quarter(quarter))
        logits = self.output_hypernetwork_mlp(tokens) @ image.flatten(2)
        return logits.reshape(batch, -1, *quarter.shape[-2:])  # type: ignore[no-any-return]

    def load_sam(self, state_dict: Mapping[str, torch.Tensor]) -> list[str]:
        """Take over the mask decoder of a SAM or SAM 2 checkpoint.

        Args:
            state_dict: of the whole model, with its published names. What belongs to the image
                encoder is not looked at.

        Returns:
            Names of the parameters that the checkpoint does not have, in order: they keep their
            initialisation.

        Raises:
            SartmError: a tensor is missing, has another shape, or is none that a mask decoder or
                prompt encoder of SAM has. Nothing is loaded then.
        """
        sam = {_sam_name(name): tensor for name, tensor in state_dict.items()}
        own = self.state_dict()
        sources = {
            name: theirs + name.removeprefix(ours)
            for name in own
            for ours, theirs in _FROM_SAM.items()
            if name.startswith(ours)
        }
        _check(sam, {source: own[name].shape for name, source in sources.items()})
        self.load_state_dict({**own, **{name: sam[source] for name, source in sources.items()}})
        return [name for name in own if name not in sources]


class GaussianPosition(nn.Module):
    """Random Fourier features of a pixel's place in the image, as SAM's prompt encoder makes them
    (Tancik et al., NeurIPS 2020), for any grid.

    Args:
        frequencies: half of the channels of the encoding.
    """

    positional_encoding_gaussian_matrix: torch.Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, frequencies))

    def forward(self, height: int, width: int) -> torch.Tensor:
        """float32 [1,2*frequencies,height,width]: sines, then cosines."""
        # Written without a matrix product, which autocast would round.
        by_x, by_y = self.positional_encoding_gaussian_matrix.float().unsqueeze(-1).unsqueeze(-1)
        x, y = (
            (2 * torch.arange(size, device=by_x.device, dtype=torch.float32) + 1) / size - 1
            for size in (width, height)
        )
        angles = 2 * math.pi * (by_x * x + by_y * y.unsqueeze(-1))
        return torch.cat([angles.sin(), angles.cos()]).unsqueeze(0)


def _sam_name(name: str) -> str:
    """SAM's name of a SAM 2 tensor; SAM's own names stay."""
    return (
        name.removeprefix("sam_")
        .replace(".mlp.layers.0.", ".mlp.lin1.")
        .replace(".mlp.layers.1.", ".mlp.lin2.")
    )


def _check(sam: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Size]) -> None:
    """Refuse a checkpoint whose mask decoder and prompt encoder are not the expected ones."""
    missing = [name for name in wanted if name not in sam]
    reshaped = [
        f"{name} {list(sam[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in sam and sam[name].shape != shape
    ]
    unknown = [
        name
        for name in sam
        if name.startswith(("mask_decoder.", "prompt_encoder."))
        and name not in wanted
        and not name.startswith(_NOT_USED)
    ]
    for fault, names in (("missing", missing), ("shape", reshaped), ("unknown", unknown)):
        if names:
            raise SartmError(
                "the checkpoint does not fit SAM's mask decoder",
                got=f"{fault}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}",
                expected="the state dict of a whole SAM or SAM 2 model, and dim 256",
                remedy="use a published checkpoint such as sam_vit_b_01ec64.pth",
            )
