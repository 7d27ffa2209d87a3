"""The text side of CLIP (Radford et al., ICML 2021) and its kin, through open_clip."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.errors import SartmError
from sartm_core.files import sha256_file
from sartm_core.language.text_space import Vectors

_BATCH = 64
_CONFIG = "open_clip_config.json"


class OpenClipEncoder:
    """Text encoder of a CLIP checkpoint, on the CPU.

    The space is named by model and weights: two checkpoints of one model share none.

    Args:
        path: ``MODEL:FILE`` with one of open_clip's model names, for example ``ViT-B-32:file.pt``;
            OpenAI's own weights need the names that end in ``-quickgelu``. Or a file in a folder
            with ``open_clip_config.json``, as models on the Hugging Face hub are laid out.

    Raises:
        SartmError: open_clip or the file is missing, the model is unknown or its tokenizer would
            have to be downloaded.
    """

    name = "open_clip"
    any_text = True

    def __init__(self, path: str) -> None:
        if find_spec("open_clip") is None:
            raise SartmError(
                "the text encoder 'open_clip' is not installed",
                remedy="pip install open_clip_torch",
            )
        model, colon, file = path.rpartition(":")
        self._file = Path(file)
        if not self._file.is_file():
            raise SartmError("no such CLIP checkpoint", got=self._file, expected="MODEL:FILE")
        self._config = _named_config(model) if colon else _config_beside(self._file)
        self._model_name = model if colon else self._file.parent.name
        text = self._config["text_cfg"]
        if "hf_model_name" in text or "hf_tokenizer_name" in text or "siglip" in model.lower():
            raise SartmError(
                "the tokenizer of this CLIP model does not come with open_clip",
                got=self._model_name,
                expected="a model with CLIP's own tokenizer, for example ViT-B-32 or ViT-L-14",
            )

    @property
    def dim(self) -> int:
        return int(self._config["embed_dim"])

    @cached_property
    def identity(self) -> str:
        config = json.dumps(self._config, sort_keys=True)
        return f"open_clip {config} {sha256_file(self._file)}"

    @cached_property
    def space(self) -> str:
        return f"{self._model_name}@{sha256_file(self._file)[:12]}"

    @cached_property
    def _model(self) -> Any:
        open_clip = _open_clip()
        if "multimodal_cfg" in self._config:
            kind = open_clip.CoCa
        else:
            kind = open_clip.CustomTextCLIP if self._config.get("custom_text") else open_clip.CLIP
        model = kind(**{key: part for key, part in self._config.items() if key != "custom_text"})
        try:
            open_clip.load_checkpoint(model, str(self._file), strict=True, weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, ValueError, KeyError) as error:
            raise SartmError(
                f"{self._file} cannot be read as weights of {self._model_name}",
                got=_reason(error),
                expected="a state dict of this model, written by torch.save or as .safetensors",
                remedy="name the model that the file was made for; TorchScript archives, such as "
                "OpenAI's own .pt files, are programs and are not run: use the same weights as "
                "open_clip_model.safetensors",
            ) from error
        return model.eval()

    @cached_property
    def _tokenizer(self) -> Any:
        _open_clip()
        from open_clip.tokenizer import SimpleTokenizer

        text = self._config["text_cfg"]
        return SimpleTokenizer(
            context_length=text.get("context_length", 77), **text.get("tokenizer_kwargs", {})
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        import torch

        vectors = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            with torch.inference_mode():
                encoded = self._model.encode_text(self._tokenizer(batch), normalize=True)
            vectors[start : start + len(batch)] = encoded.float().numpy()
        return vectors

    def centre(self) -> None:
        return None


def _open_clip() -> Any:
    from sartm_core.models.torchvision_ops import ensure_torchvision_ops

    ensure_torchvision_ops()
    import open_clip

    return open_clip


def _named_config(model: str) -> dict[str, Any]:
    open_clip = _open_clip()
    config: dict[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        raise SartmError(
            "unknown CLIP model", got=repr(model), expected=", ".join(open_clip.list_models())
        )
    return config


def _config_beside(file: Path) -> dict[str, Any]:
    path = file.with_name(_CONFIG)
    if not path.is_file():
        raise SartmError(
            "a CLIP checkpoint does not say of which model it is",
            got=file,
            expected=f"MODEL:FILE, or {_CONFIG} beside the file",
            remedy=f"write for example ViT-B-32:{file}",
        )
    try:
        config: dict[str, Any] = json.loads(path.read_text())["model_cfg"]
        if not {"embed_dim", "text_cfg", "vision_cfg"} <= config.keys():
            raise KeyError("embed_dim, text_cfg or vision_cfg")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SartmError(f"{path} does not describe a CLIP model", got=repr(error)) from error
    return config


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200]
