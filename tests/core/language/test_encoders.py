"""Text encoders by name, and the one that needs nothing but an installed package."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sartm_core.errors import SartmError
from sartm_core.language import TextEncoder, create_text_encoder, require_same_space
from sartm_core.language.minilm import MiniLmTokenizer, mean_pool, minilm_folder


def test_unknown_encoders_are_refused_with_the_choices() -> None:
    with pytest.raises(SartmError, match="minilm, open_clip, file"):
        create_text_encoder("clip")


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("open_clip", None, "needs a path.*never downloaded"),
        ("file", None, "needs a path.*words.npz"),
        ("minilm", "somewhere", "takes no path"),
    ],
)
def test_a_path_too_few_or_too_many_is_refused(name: str, path: str | None, message: str) -> None:
    with pytest.raises(SartmError, match=message):
        create_text_encoder(name, path)


def test_two_text_spaces_are_never_mixed() -> None:
    require_same_space("ViT-B/32", 512, "ViT-B/32", 512)
    with pytest.raises(SartmError, match=r"ViT-B/16 with 512.*ViT-B/32 with 512"):
        require_same_space("ViT-B/16", 512, "ViT-B/32", 512)
    with pytest.raises(SartmError, match="384 dimensions"):
        require_same_space("a", 384, "a", 512)


def test_minilm_knows_what_is_near_to_what(minilm: TextEncoder) -> None:
    car, vehicle, bicycle, person, pedestrian, banana = minilm.embed(
        ["car", "vehicle", "bicycle", "person", "pedestrian", "banana"]
    )
    assert car @ vehicle > 0.8 > 0.6 > car @ bicycle > car @ banana
    assert person @ pedestrian > person @ car


def test_minilm_embeds_unit_vectors_one_by_one_as_together(minilm: TextEncoder) -> None:
    texts = ["a long sentence about a traffic cone that stands on the road", "car", "Car", ""]
    together = minilm.embed(texts)
    assert together.dtype == np.float32
    assert together.shape == (4, minilm.dim)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(minilm.embed([text])[0], vector, atol=1e-5)
    np.testing.assert_array_equal(together[1], together[2])  # the model is uncased


def test_minilm_is_what_transformers_computes(minilm: TextEncoder) -> None:
    pytest.importorskip("transformers")
    import torch

    from sartm_core.models.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    from transformers import BertModel

    texts = ["car", "a photo of a traffic cone", "speed bump"]
    ids, mask = MiniLmTokenizer(minilm_folder())(texts)
    reference: Any = BertModel.from_pretrained(minilm_folder(), local_files_only=True).eval()
    with torch.inference_mode():
        hidden = reference(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state
    np.testing.assert_allclose(minilm.embed(texts), mean_pool(hidden.numpy(), mask), atol=1e-5)


def test_pooling_leaves_padding_out() -> None:
    hidden = np.array([[[3, 0], [0, 3], [9, 9]], [[0, 2], [9, 9], [9, 9]]], np.float32)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    half = 0.5**0.5
    np.testing.assert_allclose(mean_pool(hidden, mask), [[half, half], [0, 1]], atol=1e-6)


def test_minilm_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert create_text_encoder("minilm").embed(["car"]).shape == (1, 384)


def test_only_embedding_loads_torch_and_nothing_loads_the_big_libraries() -> None:
    code = (
        "import sys\n"
        "from sartm_core.language import create_text_encoder\n"
        "encoder = create_text_encoder('minilm')\n"
        "encoder.identity\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'torchvision')\n"
        "before = [m for m in heavy if m in sys.modules]\n"
        "encoder.embed(['car'])\n"
        "print((before, [m for m in heavy if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == ([], ["torch"])
