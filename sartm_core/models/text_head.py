"""The head in text space: a pixel has the class whose word is nearest to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from sartm_core.errors import SartmError


class TextHead(nn.Module):
    """Per-pixel cosine between projected features and centred words.

    The score of class k at a pixel with feature f is cos(W f, e_k - c) / tau; e_k is the word's
    vector, c the centre of the text space, tau the temperature and W an affine map. Class 0 has
    no word: a learned vector takes the place of e_0 - c. Words and centre are no parameters, so
    they can be replaced later.

    Without grounding W is learned as it is. With the grounding G it is W = G P: P, which is
    learned, goes from f to the features of an ImageNet classifier, and G, which is fixed, from
    there to text space. So a word reaches a pixel only by way of features that have a meaning of
    their own, and :meth:`grounding_loss` holds P f to them.

    Neither W f nor P f is made at every pixel: with targets t_k both <W f, t_k> = <f, W' t_k> and
    |W f|^2 = f' (W' W) f need no more channels than f has.

    Args:
        channels: D, of the feature.
        words: float [C,E], unit rows, zeros for class 0.
        centre: float [E].
        temperature: tau, above 0.
        grounding: float [E,F], G; None = none.

    Raises:
        SartmError: sizes do not fit, a class other than 0 has no word, or class 0 has one.
    """

    words: torch.Tensor
    centre: torch.Tensor
    grounding: torch.Tensor | None

    def __init__(
        self,
        channels: int,
        words: torch.Tensor,
        centre: torch.Tensor,
        temperature: float = 0.07,
        grounding: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        dim = len(centre)
        if grounding is not None and len(grounding) != dim:
            raise SartmError(
                "the grounding is of another text space than the words",
                got=f"{len(grounding)} dimensions",
                expected=dim,
            )
        self.temperature = temperature
        self.register_buffer("centre", centre.float())
        self.register_buffer("words", _checked(words, dim))
        self.register_buffer("grounding", None if grounding is None else grounding.float())
        self.projection = nn.Linear(channels, dim if grounding is None else grounding.shape[1])
        self.other = nn.Parameter(torch.randn(dim) / dim**0.5)

    @classmethod
    def like(cls, state: Mapping[str, torch.Tensor], temperature: float = 0.07) -> TextHead:
        """A head that takes this state dict, already with its words."""
        return cls(
            state["projection.weight"].shape[1],
            state["words"],
            state["centre"],
            temperature,
            state.get("grounding"),
        )

    def set_words(self, words: torch.Tensor) -> None:
        """Other classes from now on; no parameter changes its shape.

        Args:
            words: float [K,E], unit rows in the same text space, zeros for class 0; any K from 2.

        Raises:
            SartmError: as for the constructor.
        """
        self.words = _checked(words, len(self.centre)).to(self.words)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Logits [B,C,h,w], at least float32, from a feature [B,D,h,w]."""
        with _full_precision(feature) as (feature,):
            weight = self._weight()
            targets = torch.cat([self.other[None], self.words[1:] - self.centre])
            scores = _per_pixel(feature, F.normalize(targets, dim=1) @ weight)
            return scores / (_length(feature, weight) * self.temperature)

    def embed(self, vectors: torch.Tensor) -> torch.Tensor:
        """W v in text space, not normalised.

        Args:
            vectors: [N,D], in the space of the feature, for example class prototypes.

        Returns:
            [N,E], at least float32; cos(embed(f), e_k - c) / tau is the score of class k.
        """
        with _full_precision(vectors) as (vectors,):
            weight = self._weight()
            return F.linear(vectors, weight[:, :-1], weight[:, -1])

    def grounding_loss(self, feature: torch.Tensor, imagenet_feature: torch.Tensor) -> torch.Tensor:
        """One minus the cosine of P f and the ImageNet feature, mean over the pixels.

        What is common to all of an image is taken from its ImageNet features first, or everything
        looks alike. They are normalised in their own cells and then resized bilinearly: between
        cells that differ their length is below one and a pixel weighs less.

        Args:
            feature: [B,D,h,w].
            imagenet_feature: [B,F,h',w'], of the same images; gets no gradient.

        Returns:
            Scalar, 0 to 2.

        Raises:
            SartmError: the head has no grounding.
        """
        if self.grounding is None:
            raise SartmError("the text head has no grounding to be held to")
        with _full_precision(feature, imagenet_feature.detach()) as (feature, target):
            target = F.normalize(target - target.mean(dim=(2, 3), keepdim=True), dim=1)
            weight = self._visual()
            # <P f, t> = <f, P' t>, and P' commutes with the resizing: again F channels stay small
            seen = torch.einsum("bfhw,fd->bdhw", target, weight)
            seen = F.interpolate(seen, feature.shape[2:], mode="bilinear", align_corners=False)
            cosine = (_with_one(feature) * seen).sum(dim=1, keepdim=True)
            return 1 - (cosine / _length(feature, weight)).mean()

    def _weight(self) -> torch.Tensor:
        """W [E,D+1], the constant part in the last column."""
        weight = self._visual()
        return weight if self.grounding is None else self.grounding @ weight

    def _visual(self) -> torch.Tensor:
        """The learned part of W, [E or F,D+1]."""
        return torch.cat([self.projection.weight, self.projection.bias[:, None]], dim=1)


@contextmanager
def _full_precision(*tensors: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """The tensors in at least float32, with autocast off."""
    device = tensors[0].device.type
    widened = [t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    if torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            yield widened
    else:
        yield widened


def _with_one(feature: torch.Tensor) -> torch.Tensor:
    """[B,D+1,h,w]: a channel of ones for the constant part of an affine map."""
    return torch.cat([feature, torch.ones_like(feature[:, :1])], dim=1)


def _per_pixel(feature: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """The affine map [N,D+1] at every pixel."""
    return F.conv2d(feature, matrix[:, :-1, None, None], matrix[:, -1])


def _length(feature: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """|W f| [B,1,h,w], from the Gram matrix of W."""
    gram = weight.T @ weight
    squared = (_with_one(feature) * _per_pixel(feature, gram)).sum(dim=1, keepdim=True)
    return squared.clamp_min(1e-12).sqrt()


def _checked(words: torch.Tensor, dim: int) -> torch.Tensor:
    """float [C,E], if class 0 and only class 0 has no word."""
    named = words.any(dim=1).tolist() if words.ndim == 2 and words.shape[1] == dim else None
    if named is None or len(named) < 2 or named != [False] + [True] * (len(named) - 1):
        raise SartmError(
            "these words do not fit a head in text space",
            got=f"shape {list(words.shape)}"
            + ("" if named is None else f", words for {sum(named)} classes"),
            expected=f"[classes, {dim}] with a word for every class but class 0",
        )
    return words.float()
