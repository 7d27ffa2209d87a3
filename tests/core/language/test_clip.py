"""CLIP checkpoints, saved from open_clip's own model with random weights."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartm_core.errors import SartmError
from sartm_core.language import create_text_encoder
from sartm_core.models.torchvision_ops import ensure_torchvision_ops

ensure_torchvision_ops()
open_clip = pytest.importorskip("open_clip")

CONFIG: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
TEXTS = ["car", "a photo of a traffic cone"]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    """A CLIP model of a size that open_clip then knows as `tiny`."""
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(tmp_path / "tiny.json")
    torch.manual_seed(0)
    return open_clip.CLIP(**CONFIG).eval()


def _expected(model: Any) -> Any:
    with torch.inference_mode():
        return model.encode_text(open_clip.tokenize(TEXTS), normalize=True).numpy()


def test_a_checkpoint_named_with_its_model_embeds_as_open_clip(model: Any, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    encoder = create_text_encoder("open_clip", f"tiny:{tmp_path / 'weights.pt'}")
    assert encoder.dim == 24
    vectors = encoder.embed(TEXTS)
    np.testing.assert_allclose(vectors, _expected(model), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_training_checkpoint_of_open_clip_is_read(model: Any, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, tmp_path / "epoch_3.pt")
    encoder = create_text_encoder("open_clip", f"tiny:{tmp_path / 'epoch_3.pt'}")
    np.testing.assert_allclose(encoder.embed(TEXTS), _expected(model), atol=1e-6)


def test_a_file_as_on_the_hub_says_of_which_model_it_is(model: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "open_clip_model.safetensors"
    save_file(model.state_dict(), file)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    encoder = create_text_encoder("open_clip", file)
    np.testing.assert_allclose(encoder.embed(TEXTS), _expected(model), atol=1e-6)


def test_two_checkpoints_of_one_model_are_two_spaces(model: Any, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "a.pt")
    torch.save(open_clip.CLIP(**CONFIG).state_dict(), tmp_path / "b.pt")
    one, other = (create_text_encoder("open_clip", f"tiny:{tmp_path / n}.pt") for n in "ab")
    assert one.dim == other.dim
    assert one.space != other.space
    assert one.identity != other.identity


def test_weights_of_another_model_are_refused(model: Any, tmp_path: Path) -> None:
    other = {**CONFIG, "embed_dim": 16}
    torch.save(open_clip.CLIP(**other).state_dict(), tmp_path / "other.pt")
    with pytest.raises(SartmError, match="cannot be read as weights of tiny"):
        create_text_encoder("open_clip", f"tiny:{tmp_path / 'other.pt'}").embed(TEXTS)


class _Program:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.mark),))

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)


@pytest.mark.filterwarnings("ignore:.*")  # torch says of each file what is wrong with it
def test_no_file_is_executed(model: Any, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(_Program(tmp_path / "executed")))
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "scripted.pt")
    torch.save({"state_dict": _Program(tmp_path / "executed")}, tmp_path / "evil2.pt")
    for name, reason in (
        ("evil.pt", "Weights only load failed"),
        ("evil2.pt", "Weights only load failed"),
        ("scripted.pt", "Cannot use ``weights_only=True`` with TorchScript archives"),
    ):
        with pytest.raises(SartmError, match=f"got {reason}.*are not run"):
            create_text_encoder("open_clip", f"tiny:{tmp_path / name}").embed(TEXTS)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ViT-B-32:{}/missing.pt", "no such CLIP checkpoint"),
        ("laion2b_s34b_b79k", "no such CLIP checkpoint"),
        ("{}/weights.pt", "does not say of which model.*ViT-B-32:"),
        ("ViT-B-33:{}/weights.pt", "unknown CLIP model.*ViT-B-32"),
        ("roberta-ViT-B-32:{}/weights.pt", "tokenizer of this CLIP model"),
    ],
)
def test_what_cannot_work_is_refused_before_weights_are_read(
    path: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "weights.pt").write_bytes(b"never read")
    with pytest.raises(SartmError, match=message):
        create_text_encoder("open_clip", path.format(tmp_path))
