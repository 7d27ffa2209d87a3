"""All terms together: what is computed, what stays finite, what is kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sartm_core.errors import SartmError
from sartm_core.losses import CmkdConfig, CrossModalDistillation, LossConfig, segmentation_loss
from tests.core.losses.views import View, cells

CLASSES, CHANNELS, WORDS = 6, 8, 5
ALL = CmkdConfig(gap=0.5, gap_prototype=0.1, relation=0.2, alignment_prototype=0.3, min_pixels=1)


def module(config: CmkdConfig = ALL, *, released: bool = False) -> CrossModalDistillation:
    torch.manual_seed(0)
    words = nn.functional.normalize(torch.randn(CLASSES, WORDS), dim=1)
    words[0] = 0.0
    return CrossModalDistillation(
        config,
        classes=CLASSES,
        channels=CHANNELS,
        words=words,
        centre=words[1:].mean(dim=0),
        released=released,
    )


def decoded(label: torch.Tensor, dtype: torch.dtype = torch.float32) -> dict[str, View]:
    """Random views of labels of 4x4 pixels a cell; leaves."""
    batch, height, width = label.shape
    return {
        name: View(
            torch.randn(batch, CLASSES, height // 4, width // 4).to(dtype).requires_grad_(),
            torch.randn(batch, CHANNELS, height // 4, width // 4).to(dtype).requires_grad_(),
        )
        for name in ("fused", "rgb", "thermal")
    }


LABELS = {
    "all classes": cells(0, 1, 2, 3, 4, 5),
    "absent classes": cells(0, 1, 2, 4, 4, 4),
    "one class": cells(3, 3, 3),
    "background": cells(0, 0, 0),
    "all ignored": cells(255, 255, 255),
}
TERMS = ("gap", "gap_prototype", "relation", "alignment_prototype")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("released", [False, True], ids=["sartm", "released"])
@pytest.mark.parametrize("labels", LABELS)
def test_losses_and_gradients_are_finite(labels: str, released: bool, dtype: torch.dtype) -> None:
    config = CmkdConfig(gap_prototype=0.1, relation=0.2, min_pixels=1) if released else ALL
    cmkd = module(config, released=released)
    embed = nn.Linear(CHANNELS, WORDS)
    label = LABELS[labels]
    for _ in range(2):  # before and after the averages have started
        views = decoded(label, dtype)
        total = cmkd.weigh(cmkd(views, None, label, 1.0, embed))
        loss, _ = segmentation_loss(
            nn.functional.interpolate(views["fused"].logits, scale_factor=4), label, LossConfig()
        )
        (total + loss).backward()
        cmkd.update()
        assert torch.isfinite(total)
        assert total.dtype == torch.float32
        for view in views.values():
            for leaf in (view.logits, view.feature):
                assert leaf is not None
                assert leaf.grad is None or torch.isfinite(leaf.grad).all()
        for buffer in cmkd.buffers():
            assert torch.isfinite(buffer).all()


@pytest.mark.parametrize("labels", LABELS)
def test_autocast_changes_no_bit(labels: str) -> None:
    label = LABELS[labels]
    views, embed = decoded(label), nn.Linear(CHANNELS, WORDS)
    plain = module()(views, None, label, 1.0, embed)
    with torch.autocast("cpu", torch.bfloat16):
        inside = module()(views, None, label, 1.0, embed)
    assert {name: term.item() for name, term in inside.items()} == {
        name: term.item() for name, term in plain.items()
    }


def test_equal_features_give_finite_gradients() -> None:
    """Every prototype equals the mean that it is centred on."""
    label = LABELS["all classes"]
    constant = torch.ones(1, CHANNELS, 1, 6, requires_grad=True)
    logits = torch.zeros(1, CLASSES, 1, 6, requires_grad=True)
    views = dict.fromkeys(("fused", "rgb", "thermal"), View(logits, constant))
    cmkd = module()
    cmkd.weigh(cmkd(views, None, label, 1.0, nn.Linear(CHANNELS, WORDS))).backward()
    assert constant.grad is not None
    assert torch.isfinite(constant.grad).all()


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_computed_if_its_weight_is_above_zero(term: str) -> None:
    label = LABELS["all classes"]
    views, embed = decoded(label), nn.Linear(CHANNELS, WORDS)
    parts = module(CmkdConfig(**{term: 0.5, "min_pixels": 1}))(views, None, label, 1.0, embed)
    assert list(parts) == [term]


def test_the_total_is_the_weighted_sum_of_the_terms() -> None:
    label = LABELS["all classes"]
    cmkd = module()
    parts = cmkd(decoded(label), None, label, 1.0, nn.Linear(CHANNELS, WORDS))
    assert set(parts) == set(TERMS)
    expected = sum(getattr(ALL, name) * parts[name].item() for name in TERMS)
    assert cmkd.weigh(parts).item() == pytest.approx(expected)


def test_averages_move_after_the_loss_and_once() -> None:
    label = LABELS["absent classes"]
    cmkd = module()
    views = decoded(label)
    before = {name: value.clone() for name, value in cmkd.state_dict().items()}
    cmkd(views, None, label, 1.0, nn.Linear(CHANNELS, WORDS))
    assert all(value.equal(before[name]) for name, value in cmkd.state_dict().items())
    cmkd.update()
    for name, view in views.items():
        assert cmkd.banks[name].seen.tolist() == [True, True, True, False, True, False]
        assert view.feature is not None
        torch.testing.assert_close(cmkd.banks[name].mean[4], view.feature[0, :, 0, 3:].mean(dim=1))
    after = {name: value.clone() for name, value in cmkd.state_dict().items()}
    cmkd.update()
    assert all(value.equal(after[name]) for name, value in cmkd.state_dict().items())


def test_a_run_goes_on_from_the_state_dict() -> None:
    label = LABELS["all classes"]
    cmkd, embed = module(), nn.Linear(CHANNELS, WORDS)
    cmkd(decoded(label), None, label, 1.0, embed)
    cmkd.update()
    resumed = module()
    resumed.load_state_dict(cmkd.state_dict())
    label = LABELS["absent classes"]
    views = decoded(label)
    for name, term in cmkd(views, None, label, 1.0, embed).items():
        assert resumed(views, None, label, 1.0, embed)[name].equal(term)


def test_similarities_for_pictures() -> None:
    label = LABELS["absent classes"]
    cmkd = module()
    cmkd(decoded(label), None, label, 1.0, nn.Linear(CHANNELS, WORDS))
    cmkd.update()
    pictures = cmkd.similarities()
    assert list(pictures) == ["words", "fused", "rgb", "thermal"]
    assert all(picture.shape == (5, 5) for picture in pictures.values())
    torch.testing.assert_close(pictures["words"].diagonal(), torch.ones(5))
    seen = [True, True, False, True, False]
    assert (~pictures["rgb"].diagonal().isnan()).tolist() == seen
    assert list(module(CmkdConfig(relation=1.0), released=True).similarities()) == [
        "words",
        "fused",
    ]


def test_what_is_missing_is_named() -> None:
    label = LABELS["all classes"]
    views = decoded(label)
    with pytest.raises(SartmError, match="text space"):
        module()(views, None, label, 1.0)
    with pytest.raises(SartmError, match=r"one camera.*rgb or thermal"):
        module()({"fused": views["fused"]}, None, label, 1.0)
    bare = {"fused": View(views["fused"].logits, None)}
    with pytest.raises(SartmError, match="multi-scale feature"):
        module(CmkdConfig(relation=1.0))(bare, None, label, 1.0)
    with pytest.raises(SartmError, match="need words"):
        CrossModalDistillation(CmkdConfig(relation=1.0), classes=CLASSES, channels=CHANNELS)
    with pytest.raises(SartmError, match="centre"):
        CrossModalDistillation(CmkdConfig(relation=1.0), classes=2, channels=2, words=torch.eye(2))
