"""The training configuration: one frozen dataclass per concern, checked before anything loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sartm_core.classes import class_table, merge_tables, write_out
from sartm_core.data.augment import AugmentConfig
from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.errors import SartmError
from sartm_core.losses import CmkdConfig, DistillConfig, LossConfig

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
class DevSourceConfig:
    """One data set of the dev list.

    Attributes:
        dataset: ``KIND:PATH`` for ``open_dataset``.
        split: list of the data set, such as ``val``, or ``dev``, which is cut out of ``train`` in
            sets that bring no such list; None = everything.
    """

    dataset: str = ""
    split: str | None = None


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        classes: class table: the name of a published one, or ``KIND:PATH``, the data set whose own
            it is; ``+`` between several merges them. Every source must have its names.
        sources: the mixture.
        dev: ranges of frame names, such as ``00121D-00130D`` (both ends included), that leave
            training in every source but generated scenes and are evaluated instead.
        dev_sources: whole lists that are evaluated as well; no frame of theirs may be in a source.
        guard: frames whose number is that close to a dev range leave training too: neighbours of a
            recording look alike.
        modalities: ``rgb+thermal``, or one camera whose partner is never shown.
        centered: part of the crops that are centred on a foreground class.
        rarity: how strongly rare classes are favoured there: a class is drawn in proportion to
            (number of frames that show it) ** -rarity.
    """

    classes: str = "mfnet"
    sources: list[SourceConfig] = field(default_factory=list)
    dev: list[str] = field(default_factory=list)
    dev_sources: list[DevSourceConfig] = field(default_factory=list)
    guard: int = 0
    modalities: str = "rgb+thermal"
    centered: float = 0.6
    rarity: float = 0.25


@dataclass(frozen=True)
class ModelConfig:
    """The network and the input size that it is exported with.

    Attributes:
        architecture: ``teacher`` (SARTM on any encoder) or ``student`` (two shallow streams of a
            staged encoder); each says below what only it takes.
        encoder: a name in ``sartm_core.models.ENCODER_NAMES``.
        pretrained: start a CNN from ImageNet weights.
        checkpoint: teacher: file of a SAM or SAM 2 checkpoint; empty = random initialisation. The
            mask decoder of SAM starts from it as well, that of SAM 2 does not.
        sharing: teacher: ``shared`` = both cameras use one encoder (one LoRA), ``per_modality`` =
            two.
        lora_rank: teacher: rank of LoRA on the frozen encoder; 0 = the encoder is trained whole.
        lora_alpha: teacher: scale of LoRA is alpha / rank; 0 = rank.
        gradient_checkpointing: teacher: compute a transformer's blocks again, do not keep them.
        fusion: a name in ``sartm_core.models.FUSIONS``.
        fusion_channels: teacher: of the fused levels 1/4, 1/8, 1/16, 1/32.
        heads: teacher: some of ``main`` (mask decoder) and ``aux`` (multi-scale head).
        inference_head: teacher: whose logits are used: ``main``, ``aux``, ``text`` or ``mean``.
        width: channels of the decoder.
        scale: student: size that the network works at, relative to its input.
        thermal_scale: student: that of the thermal stream, relative to the RGB stream: 1 or 0.5.
        fuse_at: student: stride of the last level that has two streams: 4, 8 or 16.
        deepest: student: stride of the encoder's last stage: 32, or 16 to leave that of 32 out.
        decode_stride: student: of the logits, relative to the working size: 4 or 8.
        block: student: of the decoder, a name in ``sartm_core.models.decoder.BLOCKS``.
        mask_stride: student: of the arg-max, relative to the input: 1 or 2.
        input_height, input_width: input size of the exported network.
    """

    architecture: str = "student"
    encoder: str = "efficientnet_lite0"
    pretrained: bool = True
    checkpoint: str = ""
    sharing: str = "per_modality"
    lora_rank: int = 0
    lora_alpha: float = 0.0
    gradient_checkpointing: bool = False
    fusion: str = "gated"
    fusion_channels: tuple[int, int, int, int] = (64, 128, 160, 256)
    heads: list[str] = field(default_factory=lambda: ["main", "aux"])
    inference_head: str = "mean"
    width: int = 128
    scale: float = 1.0
    thermal_scale: float = 1.0
    fuse_at: int = 16
    deepest: int = 32
    decode_stride: int = 4
    block: str = "separable"
    mask_stride: int = 1
    input_height: int = 480
    input_width: int = 640


@dataclass(frozen=True)
class LanguageConfig:
    """Words that guide training.

    Attributes:
        encoder: ``none``, ``minilm``, ``open_clip`` or ``file``.
        path: checkpoint of open_clip, or file of embeddings.
        alignment: weight of the label loss of the head in text space; 0 = there is no such head.
        grounding: tie the projection into text space to the classifier of an ImageNet encoder.
        grounding_weight: of the term that holds it there.
        temperature: of the head in text space.
        shuffle: the control: words are dealt to the wrong classes, by this seed; -1 = right words.
    """

    encoder: str = "none"
    path: str = ""
    alignment: float = 0.0
    grounding: bool = False
    grounding_weight: float = 0.3
    temperature: float = 0.07
    shuffle: int = -1


@dataclass(frozen=True)
class TrainConfig:
    """The schedule.

    Attributes:
        steps, batch: optimiser steps, and samples in each.
        lr_encoder, lr_decoder: peak learning rates of the encoder stages / of everything else.
        weight_decay: AdamW's, for weights with two or more dimensions.
        warmup_steps: linear rise to the peak.
        schedule: what follows: ``cosine`` or ``poly`` (power 0.9), both to 0.
        precision: ``fp32``, or autocast to ``bf16`` or ``fp16``; CMKD always runs in float32.
        accumulate: batches whose gradients make one step.
        freeze_batchnorm: keep the statistics of BatchNorm as they are.
        init: checkpoint whose averaged weights the run starts from; empty = none.
        init_part: what is taken from it: ``all``, or ``encoder`` from a network whose other parts
            may have other sizes.
        ema: decay of the averaged weights, which are evaluated and exported.
        seed: of initialisation, sample order and augmentation.
        checkpoint_every, evaluate_every: in steps; 0 = only at the end.
        max_minutes: stop then and keep a checkpoint that resumes; 0 = no limit.
        threads: CPU threads; 0 = torch's default.
        workers: processes that prepare batches; 0 = the training process does it.
        gradient_norms_every: steps between two measurements of every loss's gradient at the fused
            feature; 0 = none.
        tensorboard: write TensorBoard files beside metrics.jsonl.
    """

    steps: int = 1400
    batch: int = 8
    lr_encoder: float = 4e-4
    lr_decoder: float = 1.5e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    schedule: str = "cosine"
    precision: str = "fp32"
    accumulate: int = 1
    freeze_batchnorm: bool = False
    init: str = ""
    init_part: str = "all"
    ema: float = 0.995
    seed: int = 0
    checkpoint_every: int = 100
    evaluate_every: int = 0
    max_minutes: float = 0.0
    threads: int = 0
    workers: int = 0
    gradient_norms_every: int = 0
    tensorboard: bool = True


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        method: ``sartm``, or ``released``: the switchable defects and the losses' form of the code
            that was released with the paper, for comparison.
        name: of the run and of the exported bundle.
        out: run folder; empty = ``out/train/NAME``.
        resume: ``auto`` goes on from the run folder's checkpoint if there is one, ``never`` refuses
            a folder that has one, anything else is the path of a checkpoint to go on from.
    """

    name: str = "student"
    method: str = "sartm"
    out: str = ""
    resume: str = "auto"
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    cmkd: CmkdConfig = field(default_factory=CmkdConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out or f"out/train/{self.name}")


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file over the defaults, then ``key=value`` overrides over both (a list's entry
    is ``data.sources[0].frames=200``).

    ``${sartm_data:}`` in a value is the folder of real frames: $SARTM_DATA, else ../shared/data
    beside the checkout. ``${oc.env:NAME}`` is an environment variable.

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
        config = config_from_dict(
            cast("dict[str, Any]", OmegaConf.to_container(values, resolve=True))
        )
        classes = _written_out(config.data.classes)
        return replace(config, data=replace(config.data, classes=classes))
    except OmegaConfBaseException as error:
        raise explained(error, str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SartmError(f"{path} or an override is not YAML", got=error) from error


def config_from_dict(values: dict[str, Any]) -> Config:
    """The configuration of nested plain values, as a checkpoint stores it.

    Raises:
        SartmError: an unknown key, a wrong type or a value out of range.
    """
    from sartm_core.training.rules import validate

    try:
        schema = OmegaConf.structured(Config)
        OmegaConf.set_readonly(schema, False)
        config = OmegaConf.to_object(OmegaConf.merge(schema, values))
    except OmegaConfBaseException as error:
        raise explained(error, "configuration") from error
    validate(cast(Config, config))
    return cast(Config, config)


def config_to_dict(config: Config) -> dict[str, Any]:
    """Nested plain values (dict, list, str, int, float, bool, None)."""
    values = OmegaConf.to_container(OmegaConf.structured(config), resolve=True)
    return cast("dict[str, Any]", values)


def _written_out(classes: str) -> str:
    """``data.classes`` without folders: what is trained is understood where they are not."""
    parts = classes.split("+")
    if classes.startswith("{") or not any(":" in part for part in parts):
        return classes
    tables = [open_dataset(part).classes if ":" in part else class_table(part) for part in parts]
    name = "+".join(table.name for table in tables)
    return write_out(tables[0] if len(tables) == 1 else merge_tables(tables, name).table)


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


def explained(error: OmegaConfBaseException, where: str) -> SartmError:
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
