"""Word vectors from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sartm_core.classes import ClassInfo, ClassTable
from sartm_core.data.datasets import sample_data_root
from sartm_core.errors import SartmError
from sartm_core.language import create_text_encoder, embed_classes
from sartm_core.language.embedding_file import write_embeddings

NAMES = ["Street Lights/Lamp", "car_(automobile)", "bow_(weapon)", "bow_(ribbon)", "Person"]


def _unit_rows(count: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _bare(folder: Path, name: str, names: object, count: int, dim: int = 6) -> Path:
    np.save(folder / f"{name}.npy", 3 * _unit_rows(count, dim, seed=len(name)))
    (folder / f"{name}.json").write_text(json.dumps(names))
    return folder / f"{name}.npy"


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    rows, centre = _unit_rows(5), np.full(6, 0.1, np.float32)
    write_embeddings(tmp_path / "words.npz", NAMES, rows, centre, "my space")
    encoder = create_text_encoder("file", tmp_path / "words.npz")
    assert (encoder.space, encoder.dim, encoder.any_text) == ("my space", 6, False)
    np.testing.assert_allclose(encoder.embed(["Person", NAMES[0]]), rows[[4, 0]], atol=1e-6)
    np.testing.assert_allclose(encoder.centre(), centre)


@pytest.mark.parametrize(
    ("word", "row"),
    [
        ("person", 4),  # case makes no difference
        ("car (automobile)", 1),  # nor do underscores
        ("car", 1),  # what stands in brackets may be left out
        ("lamp", 0),  # one of two names
        ("street  lights", 0),
    ],
)
def test_words_are_found_as_people_write_them(word: str, row: int, tmp_path: Path) -> None:
    write_embeddings(tmp_path / "w.npz", NAMES, _unit_rows(5), np.zeros(6, np.float32), "s")
    encoder = create_text_encoder("file", tmp_path / "w.npz")
    np.testing.assert_allclose(encoder.embed([word])[0], _unit_rows(5)[row], atol=1e-6)


def test_unknown_and_ambiguous_words_are_refused_with_near_ones(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "w.npz", NAMES, _unit_rows(5), np.zeros(6, np.float32), "s")
    encoder = create_text_encoder("file", tmp_path / "w.npz")
    with pytest.raises(SartmError, match=r"no word 'bow'.*bow \(weapon\)"):
        encoder.embed(["bow"])
    with pytest.raises(SartmError, match=r"2 unknown: persn, tram.*near ones are person"):
        encoder.embed(["car", "persn", "tram"])


def test_templates_are_not_put_around_words_of_a_file(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "w.npz", ["car"], _unit_rows(1), np.zeros(6, np.float32), "s")
    classes = (ClassInfo(0, "other", (0, 0, 0)), ClassInfo(1, "car", (1, 1, 1), ("car",)))
    table = ClassTable("t", classes)
    words = embed_classes(table, create_text_encoder("file", tmp_path / "w.npz"))
    assert words.templates == ("{}",)
    np.testing.assert_allclose(words.words[1], _unit_rows(1)[0], atol=1e-6)


def test_a_bare_matrix_is_normalised_and_its_mean_is_the_centre(tmp_path: Path) -> None:
    path = _bare(tmp_path, "m", ["car", "person"], 2)
    encoder = create_text_encoder("file", f"ViT-B/32:{path}")
    rows = encoder.embed(["car", "person"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(encoder.centre(), rows.mean(axis=0), atol=1e-6)


def test_of_several_files_the_first_that_has_a_word_counts(tmp_path: Path) -> None:
    first = _bare(tmp_path, "first", ["car", "person"], 2)
    second = _bare(tmp_path, "second!", ["person", "cone"], 2)
    both = create_text_encoder("file", f"X:{first},{second}")
    alone = create_text_encoder("file", f"X:{first}")
    np.testing.assert_array_equal(both.embed(["person"]), alone.embed(["person"]))
    assert both.embed(["cone"]).shape == (1, 6)
    assert both.identity != alone.identity


def test_spaces_are_named_and_never_mixed(tmp_path: Path) -> None:
    path = _bare(tmp_path, "m", {"ViT-B/32 list": ["car", "person"]}, 2)
    with pytest.raises(SartmError, match=r"does not name its text space.*SPACE:FILE.npy"):
        create_text_encoder("file", path)
    with pytest.raises(SartmError, match=r"in the space ViT-B/16.*two are never mixed"):
        create_text_encoder("file", f"ViT-B/16:{path}")
    written = tmp_path / "w.npz"
    write_embeddings(written, ["car"], _unit_rows(1), np.zeros(6, np.float32), "ViT-B/16")
    with pytest.raises(SartmError, match=r"cannot be mixed.*ViT-B/16.*ViT-B/32"):
        create_text_encoder("file", f"ViT-B/32:{path},{written}")
    wide = _bare(tmp_path, "wide", ["lamp"], 1, dim=7)
    with pytest.raises(SartmError, match=r"cannot be mixed.*7 dimensions"):
        create_text_encoder("file", f"ViT-B/32:{path},{wide}")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY\x01"])
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_damaged_files_are_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(SartmError, match="no file of word vectors"):
        create_text_encoder("file", f"s:{path}")


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_rows_without_a_direction_are_refused(bad: float, tmp_path: Path) -> None:
    rows = _unit_rows(2)
    rows[1] = bad
    write_embeddings(tmp_path / "w.npz", ["a", "b"], rows, np.zeros(6, np.float32), "s")
    with pytest.raises(SartmError, match="finite rows, none of them zero"):
        create_text_encoder("file", tmp_path / "w.npz")


@pytest.mark.data
def test_real_clip_vectors_of_one_space() -> None:
    root = sample_data_root()
    assert root is not None
    folder = root / "clip_text"
    files = f"{folder / 'lvis_vitb32.npy'},{folder / 'o365_vitb32.npy'}"
    encoder = create_text_encoder("file", f"ViT-B/32:{files}")
    car, truck, person, cone = encoder.embed(["car", "truck", "person", "traffic cone"])
    assert encoder.dim == 512
    assert car @ truck > car @ person
    assert car @ truck > truck @ cone
    with pytest.raises(SartmError, match="in the space ViT-B/16"):
        create_text_encoder("file", f"ViT-B/16:{folder / 'lvis_vitb32.npy'}")
    with pytest.raises(SartmError, match="in the space ViT-B/32"):
        create_text_encoder("file", f"ViT-B/32:{folder / 'cocostuff171_vitb16.npy'}")
