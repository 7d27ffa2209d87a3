"""A cache of its own for every test, and the real text encoder and grounding once for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sartm_core.language import TextEncoder, create_text_encoder
from sartm_core.language.grounding import Grounding, ground


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache."""
    monkeypatch.setenv("SARTM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "text"


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    return create_text_encoder("minilm")


@pytest.fixture(scope="session")
def lite0_grounding(
    minilm: TextEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grounding]:
    """MiniLM's map to the classifier of EfficientNet-Lite0; about half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SARTM_CACHE", str(tmp_path_factory.mktemp("grounding")))
        yield ground("efficientnet_lite0", minilm)
