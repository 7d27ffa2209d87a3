"""`sartm text embed`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sartm_core.cli import main
from sartm_core.language import create_text_encoder, embed_words, reference_centre


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for this module: the reference vocabulary is embedded once."""
    folder = tmp_path_factory.getbasetemp() / "text cache"
    monkeypatch.setenv("SARTM_CACHE", str(folder))


def test_words_are_printed_as_vectors_and_cosines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "embed", "car|vehicle, person,truck", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["encoder"], result["dim"]) == ("minilm", 384)
    assert result["words"] == ["car", "person", "truck"]
    encoder = create_text_encoder("minilm")
    expected = embed_words([("car", "vehicle"), ("person",), ("truck",)], encoder)
    np.testing.assert_allclose(result["embeddings"], expected, atol=1e-5)
    centred = expected - reference_centre(encoder)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(result["cosine"], centred @ centred.T, atol=1e-3)


def test_a_written_file_is_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "words.npz"
    assert main(["text", "embed", "car,person", "--out", str(out), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    arguments = ["text", "embed", "person,car", "--encoder", "file", "--path", str(out)]
    assert main([*arguments, "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["space"] == written["space"]
    np.testing.assert_allclose(read["embeddings"], written["embeddings"][::-1], atol=1e-5)
    np.testing.assert_allclose(read["cosine"], written["cosine"], atol=2e-4)
    assert main(arguments) == 0
    assert "person   1.00" in capsys.readouterr().out


def test_templates_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "embed", "car", "--templates", "none", "--json"]) == 0
    bare = json.loads(capsys.readouterr().out)["embeddings"][0]
    expected = create_text_encoder("minilm").embed(["car"])[0]
    np.testing.assert_allclose(bare, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["car,,person"], "a word to embed is empty"),
        (["car,car"], "named twice"),
        (["car", "--encoder", "word2vec"], "minilm, open_clip, file"),
        (["car", "--encoder", "open_clip"], "never downloaded"),
        (["car", "--templates", "poem"], "photo, none"),
        (["car", "--out", "words.txt"], "written as .npz"),
    ],
)
def test_what_cannot_work_ends_with_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "embed", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
