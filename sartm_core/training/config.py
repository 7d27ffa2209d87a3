"""The training configuration: one frozen dataclass per concern, checked before anything loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sartm_core.classes import CLASS_TABLES
from sartm_core.data.augment import MODALITIES, AugmentConfig
from sartm_core.data.datasets import sample_data_root
from sartm_core.errors import SartmError
from sartm_core.losses import LossConfig

_RESOLVER_PREFIX = "SartmError raised while resolving interpolation: "


@dataclass(frozen=True)
class SourceConfig:
    """One data set of the training mixture.

    Attributes:
        dataset: ``KIND:PATH`` for ``open_dataset``, or ``synthetic`` for generated scenes.
        split: list of the data set; None = everything.
        weight: share of the training samples, relative to the other sources.
        frames, seed, width, height: of generated scenes.
        period: ``any``, ``day`` or ``night``, of generated scenes.
    """

    dataset: str = "synthetic"
    split: str | None = None
    weight: float = 1.0
    frames: int = 0
    seed: int = 0
    width: int = 320
    height: int = 240
    period: str = "any"


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        classes: class table; every source must have the same class names.
        sources: the mixture.
        dev: ranges of frame names, such as ``00121D-00130D`` (both ends included), that leave
            training in every source but generated scenes and are evaluated instead.
        modalities: ``rgb+thermal``, or one camera whose partner is never shown.
        centered: part of the crops that are centred on a foreground class.
        rarity: how strongly rare classes are favoured there: a class is drawn in proportion to
            (number of frames that show it) ** -rarity.
    """

    classes: str = "mfnet"
    sources: list[SourceConfig] = field(default_factory=list)
    dev: list[str] = field(default_factory=list)
    modalities: str = "rgb+thermal"
    centered: float = 0.6
    rarity: float = 0.25


@dataclass(frozen=True)
class ModelConfig:
    """The network and the input size that it is exported with.

    Attributes:
        encoder: a name in ``sartm_core.models.ENCODERS``.
        pretrained: start from ImageNet weights.
        width: channels of the decoder.
        input_height, input_width: input size of the exported network.
    """

    encoder: str = "efficientnet_lite0"
    pretrained: bool = True
    width: int = 128
    input_height: int = 480
    input_width: int = 640


@dataclass(frozen=True)
class TrainConfig:
    """The schedule.

    Attributes:
        steps, batch: optimiser steps, and samples in each.
        lr_encoder, lr_decoder: peak learning rates of the encoder stages / of everything else.
        weight_decay: AdamW's, for weights with two or more dimensions.
        warmup_steps: linear rise to the peak; a cosine to 0 follows.
        ema: decay of the averaged weights, which are evaluated and exported.
        seed: of initialisation, sample order and augmentation.
        checkpoint_every, evaluate_every: in steps; 0 = only at the end.
        max_minutes: stop then and keep a checkpoint that resumes; 0 = no limit.
        threads: CPU threads; 0 = torch's default.
    """

    steps: int = 1400
    batch: int = 8
    lr_encoder: float = 4e-4
    lr_decoder: float = 1.5e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    ema: float = 0.995
    seed: int = 0
    checkpoint_every: int = 100
    evaluate_every: int = 0
    max_minutes: float = 0.0
    threads: int = 0


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        name: of the run and of the exported bundle.
        out: run folder; empty = ``out/train/NAME``.
        resume: ``auto`` goes on from the run folder's checkpoint if there is one, ``never`` refuses
            a folder that has one, anything else is the path of a checkpoint to go on from.
    """

    name: str = "student"
    out: str = ""
    resume: str = "auto"
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out or f"out/train/{self.name}")


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file over the defaults, then ``key=value`` overrides over both (a list's entry
    is ``data.sources[0].frames=200``).

    ``${sartm_data:}`` in a value is the folder of real frames: $SARTM_DATA, else ../shared/data
    beside the checkout.

    Raises:
        SartmError: no such file, an unknown key, a wrong type or a value out of range.
    """
    path = Path(path)
    if not path.is_file():
        raise SartmError(
            "no such configuration", got=path, expected="a YAML file, see config/train/"
        )
    OmegaConf.register_resolver("sartm_data", _sartm_data, replace=True)
    for override in overrides:
        if "=" not in override:
            raise SartmError("not an override", got=repr(override), expected="key=value")
    try:
        values = OmegaConf.load(path)
        if not isinstance(values, DictConfig):
            raise SartmError(f"{path} is no configuration", expected="KEY: VALUE lines")
        values.merge_with_dotlist(list(overrides))
        return config_from_dict(
            cast("dict[str, Any]", OmegaConf.to_container(values, resolve=True))
        )
    except OmegaConfBaseException as error:
        raise _explained(error, str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SartmError(f"{path} or an override is not YAML", got=error) from error


def config_from_dict(values: dict[str, Any]) -> Config:
    """The configuration of nested plain values, as a checkpoint stores it.

    Raises:
        SartmError: an unknown key, a wrong type or a value out of range.
    """
    try:
        schema = OmegaConf.structured(Config)
        OmegaConf.set_readonly(schema, False)
        config = OmegaConf.to_object(OmegaConf.merge(schema, values))
    except OmegaConfBaseException as error:
        raise _explained(error, "configuration") from error
    validate(cast(Config, config))
    return cast(Config, config)


def config_to_dict(config: Config) -> dict[str, Any]:
    """Nested plain values (dict, list, str, int, float, bool, None)."""
    values = OmegaConf.to_container(OmegaConf.structured(config), resolve=True)
    return cast("dict[str, Any]", values)


def validate(config: Config) -> None:
    """Refuse values that no run can use, naming the key and the choices.

    Raises:
        SartmError: the first of them.
    """
    from sartm_core.models import ENCODERS, STRIDE

    _one_of("model.encoder", config.model.encoder, sorted(ENCODERS))
    _one_of("data.classes", config.data.classes, sorted(CLASS_TABLES))
    _one_of("data.modalities", config.data.modalities, MODALITIES)
    for key, size in (
        ("model.input_height", config.model.input_height),
        ("model.input_width", config.model.input_width),
    ):
        _require(size > 0 and size % STRIDE == 0, key, size, f"a multiple of {STRIDE}")
    _require(bool(config.data.sources), "data.sources", "none", "at least one data set")
    for index, source in enumerate(config.data.sources):
        key = f"data.sources[{index}]"
        _require(source.weight > 0, f"{key}.weight", source.weight, "above 0")
        _one_of(f"{key}.period", source.period, ("any", "day", "night"))
        if source.dataset == "synthetic":
            _require(source.frames > 0, f"{key}.frames", source.frames, "the number of scenes")
            _require(source.seed >= 0, f"{key}.seed", source.seed, "0 or more")
    for entry in config.data.dev:
        _require(entry.count("-") == 1, "data.dev", repr(entry), "FIRST-LAST, e.g. 00121D-00130D")
    _require(0 <= config.data.centered <= 1, "data.centered", config.data.centered, "0 to 1")
    _require(config.train.seed >= 0, "train.seed", config.train.seed, "0 or more")
    for key in ("steps", "batch", "lr_encoder", "lr_decoder"):
        value = getattr(config.train, key)
        _require(value > 0, f"train.{key}", value, "above 0")
    _require(0 <= config.train.ema < 1, "train.ema", config.train.ema, "0 up to below 1")
    fraction = config.loss.hardest_fraction
    _require(0 < fraction <= 1, "loss.hardest_fraction", fraction, "above 0 up to 1")


def _sartm_data() -> str:
    root = sample_data_root()
    if root is None:
        raise SartmError(
            "the real frames that this configuration names were not found",
            got=f"SARTM_DATA={os.environ.get('SARTM_DATA', '(not set)')}",
            expected="a folder with the data sets, or ../shared/data beside the checkout",
            remedy="export SARTM_DATA=FOLDER",
        )
    return str(root)


def _one_of(key: str, value: str, choices: Sequence[str]) -> None:
    _require(value in choices, key, repr(value), ", ".join(choices))


def _require(fits: bool, key: str, got: object, expected: str) -> None:
    if not fits:
        raise SartmError(f"{key} cannot be used", got=got, expected=expected)


def _explained(error: OmegaConfBaseException, where: str) -> SartmError:
    """An omegaconf error as one line; for an unknown key, with the keys that exist."""
    message = str(error).splitlines()[0].removeprefix(_RESOLVER_PREFIX)
    key = getattr(error, "full_key", None) or ""
    section: Any = getattr(error, "object_type", None)
    known = (
        [item.name for item in fields(section)]
        if hasattr(section, "__dataclass_fields__")
        else None
    )
    return SartmError(
        f"{where}: key '{key}' cannot be used" if key else f"{where} cannot be used",
        got=message,
        expected=f"one of {', '.join(known)}" if known and "not in" in message else None,
    )
