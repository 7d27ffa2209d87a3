"""Which values of a configuration no run can use; checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from sartm_core.classes import CLASS_TABLES
from sartm_core.data.augment import MODALITIES
from sartm_core.errors import SartmError
from sartm_core.training.config import Config

METHODS = ("sartm", "released")
SCHEDULES = ("cosine", "poly")
PRECISIONS = ("fp32", "bf16", "fp16")
INIT_PARTS = ("all", "encoder")
TEXT_ENCODERS = ("none", "minilm", "open_clip", "file")


def validate(config: Config) -> None:
    """Refuse values that no run can use, naming the key and the choices.

    Raises:
        SartmError: the first of them.
    """
    _one_of("method", config.method, METHODS)
    _model(config)
    _strengths(config)
    _words(config)
    _distill(config)
    _data(config)
    _schedule(config)


def _model(config: Config) -> None:
    from sartm_core.models import ENCODERS, STRIDE
    from sartm_core.models.architectures import ARCHITECTURES
    from sartm_core.models.fusion import FUSIONS
    from sartm_core.models.pair_encoder import ENCODER_NAMES, SHARINGS

    model = config.model
    encoders = {"student": sorted(ENCODERS), "teacher": sorted(ENCODER_NAMES)}
    encoders |= {name: sorted(entry.encoders) for name, entry in ARCHITECTURES.items()}
    _one_of("model.architecture", model.architecture, tuple(encoders))
    _one_of("model.encoder", model.encoder, encoders[model.architecture])
    teacher = model.architecture == "teacher"
    for key, size in (
        ("model.input_height", model.input_height),
        ("model.input_width", model.input_width),
    ):
        _require(size > 0 and size % STRIDE == 0, key, size, f"a multiple of {STRIDE}")
    _one_of("model.fusion", model.fusion, tuple(FUSIONS))
    if not teacher:
        _student(config)
        return
    _one_of("model.sharing", model.sharing, SHARINGS)
    channels = model.fusion_channels
    _require(min(channels) >= 4, "model.fusion_channels", channels, "4 or more each")
    _require(model.lora_rank >= 0, "model.lora_rank", model.lora_rank, "0 or more")
    cnn = model.encoder in ENCODERS
    _require(
        not (cnn and model.gradient_checkpointing),
        "model.gradient_checkpointing",
        f"true, with {model.encoder}",
        "false: BatchNorm would count every batch twice",
    )
    for head in model.heads:
        _one_of("model.heads", head, ("main", "aux"))
    _require(bool(model.heads), "model.heads", "none", "main, aux or both")
    voters = [*model.heads, *(["mean"] if model.heads else [])]
    if config.language.alignment > 0:
        voters.append("text")
    _one_of("model.inference_head", model.inference_head, voters)


def _student(config: Config) -> None:
    from sartm_core.models.decoder import BLOCKS
    from sartm_core.models.student import DECODE_STRIDES, DEEPEST, FUSE_AT, THERMAL_SCALES

    model = config.model
    _require(0 < model.scale <= 1, "model.scale", model.scale, "above 0 up to 1")
    for key, value, choices in (
        ("thermal_scale", model.thermal_scale, THERMAL_SCALES),
        ("fuse_at", model.fuse_at, FUSE_AT),
        ("deepest", model.deepest, DEEPEST),
        ("decode_stride", model.decode_stride, DECODE_STRIDES),
        ("mask_stride", model.mask_stride, (1, 2)),
    ):
        _require(value in choices, f"model.{key}", value, ", ".join(map(str, choices)))
    _one_of("model.block", model.block, tuple(BLOCKS))


def _strengths(config: Config) -> None:
    language, cmkd = config.language, config.cmkd
    for key in ("gap", "gap_prototype", "relation", "alignment_prototype", "min_pixels"):
        _require(getattr(cmkd, key) >= 0, f"cmkd.{key}", getattr(cmkd, key), "0 or more")
    for key in ("temperature", "tau_text", "tau_visual"):
        _require(getattr(cmkd, key) > 0, f"cmkd.{key}", getattr(cmkd, key), "above 0")
    _require(0 <= cmkd.ramp <= 1, "cmkd.ramp", cmkd.ramp, "0 to 1")
    _require(0 <= cmkd.ema < 1, "cmkd.ema", cmkd.ema, "0 up to below 1")
    for key in ("alignment", "grounding_weight"):
        value = getattr(language, key)
        _require(value >= 0, f"language.{key}", value, "0 or more")
    _require(language.temperature > 0, "language.temperature", language.temperature, "above 0")
    if config.method == "released":
        for key in ("gap", "alignment_prototype"):
            value = getattr(cmkd, key)
            _require(value == 0, f"cmkd.{key}", value, "0, for method=released")


def _words(config: Config) -> None:
    language, cmkd = config.language, config.cmkd
    _one_of("language.encoder", language.encoder, TEXT_ENCODERS)
    if language.encoder in ("open_clip", "file"):
        expected = f"a file, for language.encoder={language.encoder}"
        _require(bool(language.path), "language.path", "none", expected)
    teacher = config.model.architecture == "teacher"
    has_feature = not teacher or "aux" in config.model.heads
    for key, weight in (
        ("cmkd.relation", cmkd.relation),
        ("cmkd.alignment_prototype", cmkd.alignment_prototype),
        ("language.alignment", language.alignment),
    ):
        if weight > 0:
            _require(language.encoder != "none", "language.encoder", "none", f"words, for {key}")
    for key, weight in (*vars(cmkd).items(), ("language.alignment", language.alignment)):
        if key in ("gap_prototype", "relation", "alignment_prototype", "language.alignment"):
            _require(weight == 0 or has_feature, "model.heads", "no aux", f"aux, for {key}")
    if cmkd.alignment_prototype > 0 or language.grounding:
        _require(language.alignment > 0, "language.alignment", 0, "above 0: a head in text space")
    if language.grounding:
        any_text = language.encoder != "file"
        _require(any_text, "language.encoder", "file, with grounding", "minilm or open_clip")
    if language.alignment > 0:
        _require(teacher, "model.architecture", "student", "teacher, for language.alignment")
    if cmkd.gap > 0 or cmkd.gap_prototype > 0:
        both = config.data.modalities == "rgb+thermal"
        _require(both, "data.modalities", config.data.modalities, "rgb+thermal, for cmkd.gap")


def _distill(config: Config) -> None:
    distill = config.distill
    weights = {key: getattr(distill, key) for key in ("logits", "feature", "relation")}
    for key, weight in weights.items():
        _require(weight >= 0, f"distill.{key}", weight, "0 or more")
        needs = f"at least one checkpoint, for distill.{key}"
        _require(weight == 0 or bool(distill.teachers), "distill.teachers", "none", needs)
    if distill.teachers:
        chosen = any(weight > 0 for weight in weights.values())
        expected = f"one of distill.{', distill.'.join(weights)} above 0, with distill.teachers"
        _require(chosen, "distill", "no weight", expected)
    for key in ("temperature", "foreground_weight", "tau"):
        _require(getattr(distill, key) > 0, f"distill.{key}", getattr(distill, key), "above 0")
    for key in ("unlabelled_share", "least_confidence"):
        value = getattr(distill, key)
        _require(0 <= value <= 1, f"distill.{key}", value, "0 to 1")
    _require(distill.min_pixels >= 0, "distill.min_pixels", distill.min_pixels, "0 or more")
    _require(0 <= distill.ema < 1, "distill.ema", distill.ema, "0 up to below 1")
    fit = bool(distill.scales) and all(0.1 <= scale <= 8 for scale in distill.scales)
    _require(fit, "distill.scales", list(distill.scales), "factors of 0.1 to 8")
    has_feature = config.model.architecture != "teacher" or "aux" in config.model.heads
    for key in ("feature", "relation"):
        needs = f"aux, for distill.{key}"
        _require(weights[key] == 0 or has_feature, "model.heads", "no aux", needs)


def _data(config: Config) -> None:
    if not config.data.classes.startswith("{"):
        for name in config.data.classes.split("+"):
            if ":" not in name:
                _one_of("data.classes", name, [*sorted(CLASS_TABLES), "KIND:PATH"])
    _one_of("data.modalities", config.data.modalities, MODALITIES)
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
    for index, listed in enumerate(config.data.dev_sources):
        _require(
            ":" in listed.dataset,
            f"data.dev_sources[{index}].dataset",
            repr(listed.dataset),
            "KIND:PATH",
        )
    _require(config.data.guard >= 0, "data.guard", config.data.guard, "0 or more")
    _require(0 <= config.data.centered <= 1, "data.centered", config.data.centered, "0 to 1")


def _schedule(config: Config) -> None:
    plan = config.train
    _require(plan.seed >= 0, "train.seed", plan.seed, "0 or more")
    for key in ("steps", "batch", "lr_encoder", "lr_decoder", "accumulate"):
        value = getattr(plan, key)
        _require(value > 0, f"train.{key}", value, "above 0")
    for key in ("weight_decay", "warmup_steps", "threads", "workers", "max_minutes"):
        value = getattr(plan, key)
        _require(value >= 0, f"train.{key}", value, "0 or more")
    _one_of("train.schedule", plan.schedule, SCHEDULES)
    _one_of("train.precision", plan.precision, PRECISIONS)
    _one_of("train.init_part", plan.init_part, INIT_PARTS)
    _require(0 <= plan.ema < 1, "train.ema", plan.ema, "0 up to below 1")
    fraction = config.loss.hardest_fraction
    _require(0 < fraction <= 1, "loss.hardest_fraction", fraction, "above 0 up to 1")


def _one_of(key: str, value: str, choices: Sequence[str]) -> None:
    _require(value in choices, key, repr(value), ", ".join(choices))


def _require(fits: bool, key: str, got: object, expected: str) -> None:
    if not fits:
        raise SartmError(f"{key} cannot be used", got=got, expected=expected)
