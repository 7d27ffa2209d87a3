"""Words of class tables, the centre of a space, and the cache behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sartm_core.classes import CLASS_TABLES, MFNET, PST900, ClassInfo, ClassTable
from sartm_core.errors import SartmError
from sartm_core.language import (
    TEMPLATES,
    TextEncoder,
    WordTable,
    embed_classes,
    embed_words,
    reference_centre,
)
from sartm_core.language.words import reference_words
from tests.core.language.fake import FakeEncoder


def _table(*words: tuple[str, ...]) -> ClassTable:
    rows = enumerate(words)
    return ClassTable("t", tuple(ClassInfo(i, f"class {i}", (i, i, i), w) for i, w in rows))


def test_a_class_is_the_mean_of_its_synonyms_in_all_templates() -> None:
    vectors = {"a": (1, 0, 0), "the a": (0, 1, 0), "b": (0, 0, 1), "the b": (0, 1, 0)}
    encoder = FakeEncoder(3, **vectors)
    table = embed_classes(_table((), ("a", "b"), ("b",)), encoder, ("{}", "the {}"))
    np.testing.assert_array_equal(table.words[0], 0)
    np.testing.assert_allclose(table.words[1], np.array([1, 2, 1]) / 6**0.5, atol=1e-6)
    np.testing.assert_allclose(table.words[2], np.array([0, 1, 1]) / 2**0.5, atol=1e-6)
    assert (table.encoder, table.space, table.dim) == ("fake", "fake", 3)


@pytest.mark.parametrize("table", CLASS_TABLES.values(), ids=list(CLASS_TABLES))
def test_every_table_has_unit_words_for_all_classes_but_the_first(table: ClassTable) -> None:
    words = embed_classes(table, FakeEncoder()).words
    assert words.dtype == np.float32
    np.testing.assert_array_equal(words[0], 0)
    np.testing.assert_allclose(np.linalg.norm(words[1:], axis=1), 1, atol=1e-6)


def test_the_centre_is_the_mean_word_of_a_fixed_vocabulary_not_of_the_classes() -> None:
    encoder = FakeEncoder()
    centre = embed_classes(MFNET, encoder).centre
    np.testing.assert_array_equal(embed_classes(PST900, encoder).centre, centre)
    vectors = embed_words([(word,) for word in reference_words()], encoder)
    np.testing.assert_allclose(centre, vectors.mean(axis=0), atol=1e-6)


def test_the_reference_vocabulary_is_a_list_of_different_words() -> None:
    words = reference_words()
    assert 150 <= len(words) <= 300
    assert len(set(words)) == len(words)
    assert all(word == word.strip().lower() and word for word in words)
    assert {"road", "car", "person", "traffic cone"} <= set(words)


def test_centred_words_of_minilm_spread_out(minilm: TextEncoder) -> None:
    table = embed_classes(MFNET, minilm)
    words = table.words[1:]
    centred = words - table.centre
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    others = ~np.eye(len(words), dtype=bool)
    assert (words @ words.T)[others].mean() > 0.3
    assert abs((centred @ centred.T)[others].mean()) < 0.15


@pytest.mark.parametrize("groups", [[()], [("car", " ")], [("",)]])
def test_empty_words_are_refused(groups: list[tuple[str, ...]]) -> None:
    with pytest.raises(SartmError, match="empty"):
        embed_words(groups, FakeEncoder())


@pytest.mark.parametrize("templates", [(), ("a photo",), ("{} or {}",)])
def test_templates_without_one_place_for_the_word_are_refused(templates: tuple[str, ...]) -> None:
    with pytest.raises(SartmError, match="templates do not fit"):
        embed_words([("car",)], FakeEncoder(), templates)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_set_of_templates_has_a_place_for_the_word(name: str) -> None:
    encoder = FakeEncoder()
    embed_words([("car {x}",)], encoder, TEMPLATES[name])
    assert all("car {x}" in text for text in encoder.asked)
    assert len(set(encoder.asked)) == len(TEMPLATES[name])


# The cache


def test_a_word_is_embedded_once(cache: Path) -> None:
    first, second = FakeEncoder(), FakeEncoder()
    before = embed_classes(MFNET, first)
    after = embed_classes(MFNET, second)
    assert second.asked == []
    np.testing.assert_array_equal(before.words, after.words)
    np.testing.assert_array_equal(before.centre, after.centre)
    more = embed_words([("car",), ("digger",)], second, ("{}",))
    assert sorted(second.asked) == ["car", "digger"]  # "car" stands there with other templates
    assert more.shape == (2, 8)


@pytest.mark.parametrize("change", ["identity", "templates", "word"])
def test_whatever_makes_the_vector_is_in_the_key(change: str) -> None:
    embed_words([("car",)], FakeEncoder(), ("{}",))
    encoder = FakeEncoder(identity="fake 2" if change == "identity" else "fake 1")
    templates = ("{} ",) if change == "templates" else ("{}",)
    embed_words([("Car" if change == "word" else "car",)], encoder, templates)
    assert len(encoder.asked) == 1


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    at = len(content) // 2  # inside the array's bytes
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flip, lambda _: b"", lambda _: b"not an archive"])
def test_damaged_entries_are_made_anew(damage: object, cache: Path) -> None:
    expected = embed_words([("car",)], FakeEncoder(64), ("{}",))
    (entry,) = cache.glob("*.npz")
    entry.write_bytes(damage(entry.read_bytes()))  # type: ignore[operator]
    encoder = FakeEncoder(64)
    np.testing.assert_array_equal(embed_words([("car",)], encoder, ("{}",)), expected)
    assert encoder.asked == ["car"]
    embed_words([("car",)], encoder, ("{}",))
    assert encoder.asked == ["car"]


def test_without_a_place_to_write_it_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SARTM_CACHE", str(tmp_path / "file"))
    assert embed_words([("car",)], FakeEncoder()).shape == (1, 8)
    assert "nothing is kept" in caplog.text


# The control


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(named=st.lists(st.booleans(), min_size=2, max_size=12), seed=st.integers(0, 2**32))
def test_shuffled_words_stand_at_no_class_of_their_own(named: list[bool], seed: int) -> None:
    words = np.diag(np.array(named, np.float32))
    table = WordTable(words, np.zeros(len(named), np.float32), "fake", "fake", ("{}",))
    if sum(named) < 2:
        with pytest.raises(SartmError, match="cannot be shuffled"):
            table.shuffled(seed)
        return
    shuffled = table.shuffled(seed).words
    np.testing.assert_array_equal(shuffled, table.shuffled(seed).words)
    assert np.diag(shuffled).sum() == 0
    np.testing.assert_array_equal(shuffled.any(axis=1), named)  # who had a word has one
    np.testing.assert_array_equal(shuffled.sum(axis=0), words.sum(axis=0))  # none twice


def test_the_reference_centre_of_an_encoder_that_brings_its_own() -> None:
    class WithCentre(FakeEncoder):
        def centre(self) -> np.ndarray:  # type: ignore[override]
            return np.arange(8, dtype=np.float32)

    encoder = WithCentre()
    np.testing.assert_array_equal(reference_centre(encoder), np.arange(8))
    assert encoder.asked == []
