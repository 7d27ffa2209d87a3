"""The network of a bundle as PyTorch knows it: weights.safetensors and the section ``network`` of
bundle.json, without any file of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sartm_core.bundle import MANIFEST, WEIGHTS, Bundle
from sartm_core.classes import write_out
from sartm_core.errors import SartmError
from sartm_core.files import sha256_file
from sartm_core.models import RgbThermalNetwork
from sartm_core.models.architectures import ARCHITECTURES
from sartm_core.training.build import build_network
from sartm_core.training.config import Config, DataConfig, LanguageConfig, ModelConfig
from sartm_core.training.weights_file import TrainedWeights

_OF_THE_TRAINING = ("pretrained", "checkpoint", "gradient_checkpointing")
_OF_THE_EXPORT = ("input_height", "input_width")
_TEXT_HEAD = "text."

Section = dict[str, Any]
"""``architecture``; ``arguments``: ``method``, ``model`` and ``language`` as in a training's
configuration, as far as they shape the network; ``weights`` {``path``, ``sha256``}."""


def write_weights(trained: TrainedWeights, folder: Path) -> Section:
    """Write the averaged weights of a training as float32, before branches are merged: what can be
    run as well as trained further.

    Returns:
        The section ``network``.
    """
    from safetensors.torch import save_file

    state = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in trained.weights.items()
    }
    save_file(state, folder / WEIGHTS)
    config = trained.config
    model = asdict(config.model)
    return {
        "architecture": model.pop("architecture"),
        "arguments": {
            "method": config.method,
            "model": {
                key: value
                for key, value in model.items()
                if key not in (*_OF_THE_TRAINING, *_OF_THE_EXPORT)
            },
            "language": {
                "alignment": config.language.alignment,
                "temperature": config.language.temperature,
            },
        },
        "weights": {"path": WEIGHTS, "sha256": sha256_file(folder / WEIGHTS)},
    }


def read_network(bundle: Bundle) -> RgbThermalNetwork:
    """The network of a bundle with weights, in evaluation mode, on the CPU.

    Raises:
        SartmError: the bundle has no weights, they are damaged, or they are not those of the
            network that bundle.json describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = bundle.weights_path()
    section = bundle.manifest["network"]
    known = ("student", "teacher", *ARCHITECTURES)
    if section.get("architecture") not in known:
        raise SartmError(
            f"bundle '{bundle.name}' has an unknown architecture",
            got=repr(section.get("architecture")),
            expected=", ".join(known),
        )
    try:
        state = load_file(path)
        network = _build(bundle, state)
        network.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SartmError(
            f"the weights of bundle '{bundle.name}' are not those of the network that {MANIFEST} "
            "describes",
            got=f"{type(error).__name__}: {error}"[:200],
            remedy="export the bundle again",
        ) from error
    return network.eval()


def _build(bundle: Bundle, state: Mapping[str, torch.Tensor]) -> RgbThermalNetwork:
    section = bundle.manifest["network"]
    arguments = section["arguments"]
    config = Config(
        method=arguments["method"],
        model=ModelConfig(architecture=section["architecture"], **arguments["model"]),
        data=DataConfig(classes=write_out(bundle.classes)),
        language=LanguageConfig(**arguments["language"]),
    )
    text = None
    if config.language.alignment > 0:
        from sartm_core.models.text_head import TextHead

        words = {
            name.removeprefix(_TEXT_HEAD): tensor
            for name, tensor in state.items()
            if name.startswith(_TEXT_HEAD)
        }
        text = TextHead.like(words, temperature=config.language.temperature)
    return build_network(config, text, pretrained=False)
