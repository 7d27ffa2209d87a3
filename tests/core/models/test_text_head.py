"""The head in text space against its definition, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sartm_core.errors import SartmError
from sartm_core.models.text_head import TextHead
from tests.core.models.checks import check_onnx_equals_torch

D, E, FEATURES, CLASSES = 6, 10, 14, 5


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _words(classes: int = CLASSES, seed: int = 1) -> torch.Tensor:
    words = F.normalize(_random(classes, E, seed=seed), dim=1)
    words[0] = 0
    return words


def _head(*, grounded: bool, temperature: float = 0.07) -> TextHead:
    torch.manual_seed(0)
    grounding = _random(E, FEATURES, seed=2) if grounded else None
    return TextHead(D, _words(), 0.3 * _random(E, seed=3), temperature, grounding)


def _scores(head: TextHead, feature: torch.Tensor) -> torch.Tensor:
    """cos(W f, e_k - c) / tau, written down as it is defined."""
    seen = head.projection(feature.movedim(1, -1))
    if head.grounding is not None:
        seen = seen @ head.grounding.T
    targets = torch.cat([head.other[None], (head.words - head.centre)[1:]])
    cosine = F.cosine_similarity(seen[..., None, :], targets, dim=-1)
    return cosine.movedim(-1, 1) / head.temperature


@pytest.mark.parametrize("grounded", [False, True])
def test_logits_are_the_cosines_of_the_definition(grounded: bool) -> None:
    head = _head(grounded=grounded)
    feature = 3 * _random(2, D, 4, 5)
    logits = head(feature)
    assert logits.shape == (2, CLASSES, 4, 5)
    torch.testing.assert_close(logits, _scores(head, feature), atol=1e-4, rtol=1e-4)
    assert logits.abs().max() <= 1 / head.temperature + 1e-3


def test_logits_stay_exact_where_features_nearly_cancel() -> None:
    """|W f| comes from a Gram matrix; that must not cost the small vectors their direction."""
    head = _head(grounded=True)
    with torch.no_grad():
        head.projection.bias.copy_(-head.projection(torch.ones(D)) + head.projection.bias)
    feature = 1 + 0.02 * _random(2, D, 4, 5)
    torch.testing.assert_close(head(feature), _scores(head, feature), atol=0.02, rtol=1e-3)


@pytest.mark.parametrize("grounded", [False, True])
def test_embedded_vectors_have_the_scores_of_pixels(grounded: bool) -> None:
    head = _head(grounded=grounded)
    vectors = _random(7, D)
    embedded = head.embed(vectors)
    assert embedded.shape == (7, E)
    cosine = F.cosine_similarity(embedded[:, None], head.words[1:] - head.centre, dim=-1)
    logits = head(vectors.T[None, :, :, None])[0, 1:, :, 0].T
    torch.testing.assert_close(cosine / head.temperature, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grounded", [False, True])
def test_gradients_are_those_of_the_definition(grounded: bool) -> None:
    head = _head(grounded=grounded).double()
    feature = _random(1, D, 3, 3).double().requires_grad_()
    learned = [feature, *head.parameters()]
    target = torch.randint(0, CLASSES, (1, 3, 3), generator=torch.Generator().manual_seed(0))
    ours = torch.autograd.grad(F.cross_entropy(head(feature), target), learned)
    expected = torch.autograd.grad(F.cross_entropy(_scores(head, feature), target), learned)
    for got, want in zip(ours, expected, strict=True):
        assert want.abs().max() > 0
        torch.testing.assert_close(got, want, atol=1e-8, rtol=1e-8)


def test_words_centre_and_grounding_are_stored_but_never_learned() -> None:
    head = _head(grounded=True)
    learned = {name for name, _ in head.named_parameters()}
    assert learned == {"projection.weight", "projection.bias", "other"}
    assert set(head.state_dict()) == learned | {"words", "centre", "grounding"}


@pytest.mark.parametrize("grounded", [False, True])
def test_a_state_dict_is_enough_to_build_the_head(grounded: bool) -> None:
    head = _head(grounded=grounded)
    copy = TextHead.like(head.state_dict(), head.temperature)
    copy.load_state_dict(head.state_dict())
    feature = _random(1, D, 2, 2)
    assert torch.equal(copy(feature), head(feature))


def test_new_words_change_the_classes_and_nothing_else() -> None:
    head = _head(grounded=True)
    feature = _random(1, D, 4, 4)
    before = head(feature)
    parameters = {name: value.clone() for name, value in head.named_parameters()}
    head.set_words(torch.cat([head.words, _words(4, seed=9)[1:]]))
    after = head(feature)
    assert after.shape[1] == CLASSES + 3
    torch.testing.assert_close(after[:, :CLASSES], before)  # an added word moves no score
    for name, value in head.named_parameters():
        assert torch.equal(value, parameters[name])
    head.set_words(torch.cat([torch.zeros(1, E), head.words[[2, 1]]]))
    torch.testing.assert_close(head(feature), before[:, [0, 2, 1]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_reach_the_cosines(dtype: torch.dtype) -> None:
    head = _head(grounded=True)
    feature = _random(2, D, 4, 4).to(dtype)
    target = _random(2, FEATURES, 2, 2)
    with torch.autocast("cpu", dtype=dtype):
        logits, embedded = head(feature), head.embed(feature[:, :, 0, 0])
        loss = head.grounding_loss(feature, target)
    assert (logits.dtype, embedded.dtype, loss.dtype) == (torch.float32,) * 3
    torch.testing.assert_close(logits, head(feature.float()))
    torch.testing.assert_close(loss, head.grounding_loss(feature.float(), target))


@pytest.mark.parametrize("grounded", [False, True])
def test_features_of_zero_and_huge_ones_give_finite_logits_and_gradients(grounded: bool) -> None:
    head = _head(grounded=grounded)
    with torch.no_grad():
        head.projection.bias.zero_()
    for size in (0.0, 1e4):
        feature = (size * _random(1, D, 2, 2)).requires_grad_()
        head(feature).square().sum().backward()
        assert torch.isfinite(head(feature)).all()
        assert feature.grad is not None
        assert torch.isfinite(feature.grad).all()


@pytest.mark.parametrize("grounded", [False, True])
def test_the_head_runs_in_onnx_runtime(grounded: bool, tmp_path: Path) -> None:
    feature = _random(1, D, 4, 4)
    check_onnx_equals_torch(_head(grounded=grounded), (feature,), [feature], tmp_path / "head.onnx")


# Grounding


def test_grounding_loss_is_the_mean_cosine_distance_where_sizes_agree() -> None:
    head = _head(grounded=True)
    feature, target = _random(2, D, 3, 4), _random(2, FEATURES, 3, 4, seed=5)
    centred = target - target.mean(dim=(2, 3), keepdim=True)
    seen = head.projection(feature.movedim(1, -1)).movedim(-1, 1)
    expected = 1 - F.cosine_similarity(seen, centred, dim=1).mean()
    torch.testing.assert_close(head.grounding_loss(feature, target), expected)


def test_grounding_loss_resizes_the_imagenet_features_bilinearly() -> None:
    head = _head(grounded=True)
    feature, target = _random(1, D, 8, 16), _random(1, FEATURES, 2, 4, seed=5)
    cells = F.normalize(target - target.mean(dim=(2, 3), keepdim=True), dim=1)
    fine = F.interpolate(cells, (8, 16), mode="bilinear", align_corners=False)
    seen = F.normalize(head.projection(feature.movedim(1, -1)).movedim(-1, 1), dim=1)
    expected = 1 - (seen * fine).sum(dim=1).mean()
    torch.testing.assert_close(head.grounding_loss(feature, target), expected)


def test_what_all_of_an_image_has_in_common_grounds_nothing() -> None:
    head = _head(grounded=True)
    feature, target = _random(1, D, 4, 4), _random(1, FEATURES, 2, 2, seed=5)
    shifted = target + 100 * _random(1, FEATURES, 1, 1, seed=6)
    got, expected = head.grounding_loss(feature, shifted), head.grounding_loss(feature, target)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_grounding_pulls_the_projection_to_the_features_and_never_the_features() -> None:
    head = _head(grounded=True)
    feature = _random(4, D, 4, 4)
    target = torch.einsum("fd,bdhw->bfhw", _random(FEATURES, D, seed=7), feature)
    target.requires_grad_()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    start = head.grounding_loss(feature, target).item()
    for _ in range(150):
        optimizer.zero_grad()
        head.grounding_loss(feature, target).backward()
        optimizer.step()
    assert head.grounding_loss(feature, target).item() < 0.05 < 0.5 < start
    assert target.grad is None


def test_held_to_the_features_wrong_words_cannot_be_fitted() -> None:
    """The reason for grounding: a free W fits any words, one that is tied to features that have
    a meaning fits the right ones only."""
    generator = np.random.default_rng(0)
    classes, dim, wide = 7, 16, 32
    words = torch.from_numpy(generator.normal(size=(classes, dim)).astype(np.float32))
    words = F.normalize(words, dim=1)
    words[0] = 0
    grounding = torch.from_numpy(generator.normal(size=(dim, wide)).astype(np.float32))
    label = torch.from_numpy(generator.integers(1, classes, (1, 12, 12)))
    target = torch.einsum("bhwe,ef->bfhw", words[label], grounding)  # what each word looks like
    feature = target + 0.1 * torch.from_numpy(
        generator.normal(size=target.shape).astype(np.float32)
    )
    shuffled = words[[0, 2, 3, 4, 5, 6, 1]]

    def error(told: torch.Tensor, weight: float) -> float:
        torch.manual_seed(0)
        head = TextHead(wide, told, torch.zeros(dim), grounding=grounding)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        for _ in range(150):
            fit = F.cross_entropy(head(feature), label)
            optimizer.zero_grad()
            (fit + weight * head.grounding_loss(feature, target)).backward()
            optimizer.step()
        return fit.item()

    assert error(words, 0) < 0.1
    assert error(shuffled, 0) < 0.1  # nothing is learned about the words
    assert error(words, 30) < 0.1
    assert error(shuffled, 30) > 1


# What is refused


def test_words_that_do_not_fit_are_refused() -> None:
    centre = torch.zeros(E)
    named_background, nameless = _words(), _words()
    named_background[0] = 1
    nameless[2] = 0
    for words, reason in (
        (_words()[:, :-1], "shape"),
        (_words()[:1], "words for 0 classes"),
        (named_background, "words for 5 classes"),
        (nameless, "words for 3 classes"),
    ):
        with pytest.raises(SartmError, match=reason):
            TextHead(D, words, centre)
        with pytest.raises(SartmError, match="do not fit"):
            _head(grounded=False).set_words(words)


def test_a_grounding_of_another_text_space_is_refused() -> None:
    with pytest.raises(SartmError, match=r"another text space.*11.*10"):
        TextHead(D, _words(), torch.zeros(E), grounding=_random(E + 1, FEATURES))


def test_a_head_without_grounding_has_nothing_to_be_held_to() -> None:
    with pytest.raises(SartmError, match="no grounding"):
        _head(grounded=False).grounding_loss(_random(1, D, 2, 2), _random(1, FEATURES, 1, 1))
