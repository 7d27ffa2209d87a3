"""The map from words to what an ImageNet classifier sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sartm_core.classes import MFNET
from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.errors import SartmError
from sartm_core.language import TextEncoder, create_text_encoder, embed_words, reference_centre
from sartm_core.language import grounding as module
from sartm_core.language.embedding_file import write_embeddings
from sartm_core.language.grounding import Grounding, ImageNetFeatures, fit, ground
from sartm_core.language.imagenet import classifier_rows, imagenet_words
from sartm_core.models.encoders import imagenet_network
from sartm_core.models.text_head import TextHead
from tests.core.language.fake import FakeEncoder

UNRELATED = [
    "banana",
    "violin",
    "wedding cake",
    "octopus",
    "typewriter",
    "candle",
    "elephant",
    "sushi",
    "parrot",
    "teapot",
    "microscope",
    "snowflake",
    "cello",
    "tiger",
    "perfume",
    "chess board",
    "pizza",
    "butterfly",
    "piano",
    "necklace",
]


def test_a_linear_relation_is_found_and_retrieves_every_held_out_row() -> None:
    generator = np.random.default_rng(0)
    text = generator.normal(size=(500, 12)).astype(np.float32)
    true = generator.normal(size=(12, 30)).astype(np.float32)
    fitted = fit(text, text @ true + 5)
    assert (fitted.top1, fitted.top5, fitted.way) == (1, 1, 50)
    assert fitted.penalty == module.PENALTIES[0]  # there is no noise to guard against
    np.testing.assert_allclose(fitted.matrix, true, atol=0.02)


def test_names_that_say_nothing_retrieve_by_chance() -> None:
    generator = np.random.default_rng(0)
    text, rows = (generator.normal(size=(1000, dim)).astype(np.float32) for dim in (20, 30))
    fitted = fit(text, rows)
    assert fitted.way == 100
    assert fitted.top1 < 0.03
    assert fitted.top5 < 0.09
    assert fitted.penalty == module.PENALTIES[-1]


def test_only_what_takes_any_text_and_has_a_classifier_is_grounded(tmp_path: Path) -> None:
    with pytest.raises(SartmError, match="efficientnet_lite0, efficientnet_lite1"):
        ground("sam_vit_b", FakeEncoder())
    write_embeddings(tmp_path / "w.npz", ["a"], np.ones((1, 3), np.float32), np.zeros(3), "s")
    with pytest.raises(SartmError, match=r"list of words.*minilm"):
        ground("efficientnet_lite0", create_text_encoder("file", tmp_path / "w.npz"))


def test_a_map_is_fitted_once_and_kept(cache: Path) -> None:
    first = ground("efficientnet_lite0", FakeEncoder())
    encoder = FakeEncoder()
    again = ground("efficientnet_lite0", encoder)
    assert encoder.asked == []
    assert len(list(cache.glob("*.npz"))) == 1
    np.testing.assert_array_equal(first.matrix, again.matrix)
    assert (first.penalty, first.top1, first.top5) == (again.penalty, again.top1, again.top5)
    other = ground("efficientnet_lite1", encoder)
    assert encoder.asked
    assert not np.array_equal(first.matrix, other.matrix)


def test_imagenet_words_are_those_of_the_classifier() -> None:
    words = imagenet_words()
    assert len(words) == 1000
    assert words[0] == ("tench", "Tinca tinca")
    assert "traffic light" in words[920]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_features_and_rows_make_the_classifiers_logits(size: int) -> None:
    name = f"efficientnet_lite{size}"
    whole = imagenet_network(size).eval()
    features = ImageNetFeatures(name)
    rgb = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    seen = features(rgb.to(torch.uint8))
    assert seen.shape == (2, features.channels, 2, 3)
    with torch.no_grad():
        expected = whole((rgb - 127.5) / 127.5) - whole.classifier.bias
    rows = torch.from_numpy(classifier_rows(name))
    torch.testing.assert_close(seen.mean(dim=(2, 3)) @ rows.T, expected, atol=1e-4, rtol=1e-4)


def test_features_stay_frozen_inside_a_network_that_trains() -> None:
    around = torch.nn.Sequential(ImageNetFeatures("efficientnet_lite0"))
    rgb = torch.rand(1, 3, 64, 64) * 255
    before = around(rgb)
    around.train()
    assert torch.equal(around(rgb), before)  # BatchNorm neither adapts nor learns
    assert torch.equal(around(rgb), before)
    assert not around(rgb).requires_grad
    assert not any(parameter.requires_grad for parameter in around.parameters())


# The real thing: about half a minute for the 7,600 sentences, once.


@pytest.mark.slow
def test_names_find_held_out_rows_of_a_real_classifier(lite0_grounding: Grounding) -> None:
    assert lite0_grounding.matrix.shape == (384, 1280)
    assert lite0_grounding.way == 100
    assert 0.40 < lite0_grounding.top1 < 0.55  # chance 0.01
    assert 0.68 < lite0_grounding.top5 < 0.85  # chance 0.05


@pytest.mark.slow
@pytest.mark.data
def test_words_find_objects_on_real_frames_without_any_training(
    minilm: TextEncoder, lite0_grounding: Grounding
) -> None:
    """The whole chain: words, centre, map, head, ImageNet features, here as the head's own."""
    root = sample_data_root()
    assert root is not None
    data = open_dataset(f"folder:{root / 'mfnet_subset'}", "train")
    features = ImageNetFeatures("efficientnet_lite0")
    seen, labels = [], []
    for stem in [stem for stem in data.stems if stem.endswith("D")][:25:3]:
        sample = data.read(stem)
        assert sample.rgb is not None
        assert sample.label is not None
        seen.append(features(torch.from_numpy(sample.rgb.copy()).permute(2, 0, 1)[None]))
        labels.append(sample.label[16::32, 16::32])
    feature, label = torch.cat(seen), np.stack(labels)
    feature = feature - feature.mean(dim=(2, 3), keepdim=True)

    named = [("car",), ("fence",), ("bollard", "parking block"), *((word,) for word in UNRELATED)]
    words = np.concatenate([np.zeros((1, 384), np.float32), embed_words(named, minilm)])
    head = TextHead(
        1280,
        torch.from_numpy(words),
        torch.from_numpy(reference_centre(minilm)),
        grounding=torch.from_numpy(lite0_grounding.matrix),
    )
    with torch.no_grad():
        head.projection.weight.copy_(torch.eye(1280))
        head.projection.bias.zero_()
        scores = head(feature).numpy()
    assert head.grounding_loss(feature, feature) < 1e-4  # what it is held to is what it has
    car = label == MFNET.by_name("car").id
    assert _auc(scores[:, 1], car) > 0.75
    assert _auc(scores[:, 1], car) > max(_auc(scores[:, k], car) for k in range(4, 24))


def _auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive cell scores above a negative one."""
    inside, outside = scores[positive], scores[~positive]
    return float((inside[:, None] > outside[None]).mean())
