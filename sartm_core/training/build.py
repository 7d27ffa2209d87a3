"""From a configuration to networks: for a new run, for one that goes on, and for a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sartm_core.classes import class_table
from sartm_core.errors import SartmError
from sartm_core.losses import CrossModalDistillation, TeacherDistillation
from sartm_core.models import RgbThermalNetwork, Student
from sartm_core.models.architectures import ARCHITECTURES
from sartm_core.training.config import Config
from sartm_core.training.step import TrainingStep
from sartm_core.training.weights_file import TrainedWeights, load_weights

if TYPE_CHECKING:
    from sartm_core.language import TextEncoder, WordTable
    from sartm_core.models.text_head import TextHead

GROUNDING_ENCODER = "efficientnet_lite0"


def build_step(config: Config, *, fresh: bool) -> TrainingStep:
    """Network, distillation and losses of a run.

    Args:
        config: of the run.
        fresh: whether initial weights are read; a run that goes on has them in its checkpoint.
    """
    encoder, words = _read_words(config)
    network = build_network(config, _text_head(config, encoder, words), pretrained=fresh)
    cmkd = config.cmkd
    distillation = None
    if any((cmkd.gap, cmkd.gap_prototype, cmkd.relation, cmkd.alignment_prototype)):
        distillation = CrossModalDistillation(
            cmkd,
            classes=len(class_table(config.data.classes)),
            channels=config.model.width,
            words=None if words is None else torch.from_numpy(words.words),
            centre=None if words is None else torch.from_numpy(words.centre),
            released=config.method == "released",
        )
    imagenet = None
    if config.language.grounding:
        from sartm_core.language.grounding import ImageNetFeatures

        imagenet = ImageNetFeatures(GROUNDING_ENCODER)
    return TrainingStep(network, distillation, imagenet, config, _from_teachers(config))


def _from_teachers(config: Config) -> TeacherDistillation | None:
    distill = config.distill
    if not distill.teachers:
        return None
    return TeacherDistillation(
        distill,
        classes=len(class_table(config.data.classes)),
        channels=config.model.width,
        teacher_channels=load_weights(Path(distill.teachers[0])).config.model.width,
    )


def build_network(
    config: Config, text: TextHead | None = None, *, pretrained: bool
) -> RgbThermalNetwork:
    """The network of a configuration.

    Args:
        config: of the run.
        text: its head in text space, if it has one.
        pretrained: whether initial weights are read, if the configuration asks for them.
    """
    model = config.model
    classes = len(class_table(config.data.classes))
    if model.architecture in ARCHITECTURES:
        build = ARCHITECTURES[model.architecture].build
        return build(model.encoder, classes, pretrained=pretrained and model.pretrained)
    if model.architecture == "student":
        return Student(
            model.encoder,
            classes,
            model.width,
            pretrained and model.pretrained,
            scale=model.scale,
            thermal_scale=model.thermal_scale,
            fuse_at=model.fuse_at,
            fusion=model.fusion,
            deepest=model.deepest,
            decode_stride=model.decode_stride,
            block=model.block,
            mask_stride=model.mask_stride,
        )

    from sartm_core.models.lora import LoraConfig
    from sartm_core.models.pair_encoder import create_pair_encoder
    from sartm_core.models.sam.variants import SAM_VARIANTS
    from sartm_core.models.teacher import Teacher
    from sartm_core.models.weights import read_weights

    released = config.method == "released"
    lora = LoraConfig(model.lora_rank, model.lora_alpha)
    checkpoint = Path(model.checkpoint) if model.checkpoint and pretrained else None
    encoder = create_pair_encoder(
        model.encoder,
        sharing=model.sharing,
        lora=lora,
        pretrained=pretrained and model.pretrained,
        checkpoint=checkpoint,
        gradient_checkpointing=model.gradient_checkpointing,
        released=released,
    )
    teacher = Teacher(
        encoder,
        classes=classes,
        channels=model.fusion_channels,
        fusion=model.fusion,
        heads=model.heads,
        width=model.width,
        inference=model.inference_head,
        text=text,
        released=released,
    )
    if model.encoder in SAM_VARIANTS and checkpoint and teacher.mask_decoder is not None:
        teacher.mask_decoder.load_sam(read_weights(checkpoint))
    return teacher


def load_network(path: Path) -> tuple[RgbThermalNetwork, TrainedWeights]:
    """The averaged weights of a checkpoint or a weights file as a network in evaluation mode, on
    the CPU."""
    trained = load_weights(path)
    config = trained.config
    text = None
    if config.language.alignment > 0:
        from sartm_core.models.text_head import TextHead

        prefix = "text."
        state = {
            name.removeprefix(prefix): tensor
            for name, tensor in trained.weights.items()
            if name.startswith(prefix)
        }
        text = TextHead.like(state, temperature=config.language.temperature)
    network = build_network(config, text, pretrained=False)
    network.load_state_dict(trained.weights)
    return network.eval(), trained


def start_from(path: Path, network: RgbThermalNetwork, part: str = "all") -> None:
    """Take over the averaged weights of another run, from its checkpoint or a weights file.

    Args:
        path: of the file.
        network: that is changed.
        part: ``all``, or ``encoder`` alone: the rest of the other network may differ.

    Raises:
        SartmError: they are of another network.
    """
    weights = load_weights(path).weights
    if part == "encoder":
        parts = {id(module) for module in network.encoder_modules}
        prefixes = tuple(f"{n}." for n, module in network.named_modules() if id(module) in parts)
        rest = {n: t for n, t in network.state_dict().items() if not n.startswith(prefixes)}
        weights = rest | {n: t for n, t in weights.items() if n.startswith(prefixes)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise SartmError(
            f"train.init: {path} holds another network",
            got=str(error).splitlines()[1].strip()[:200],
            expected="the same model.* as this run"
            if part == "all"
            else "the same encoder as this run",
        ) from error


def describe(network: RgbThermalNetwork) -> str:
    """Parameters of each part, in millions, and how many of them are trained."""
    rows = []
    for name, part in network.named_children():
        sizes = [(p.numel(), p.requires_grad) for p in part.parameters()]
        total = sum(size for size, _ in sizes)
        trained = sum(size for size, learns in sizes if learns)
        share = "" if trained == total else f" (trained {trained / 1e6:.2f})"
        rows.append(f"{name} {total / 1e6:.2f}{share}")
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return f"{trained / 1e6:.2f} M parameters to train; " + ", ".join(rows)


def _read_words(config: Config) -> tuple[TextEncoder | None, WordTable | None]:
    language = config.language
    if language.encoder == "none":
        return None, None
    from sartm_core.language import create_text_encoder, embed_classes

    encoder = create_text_encoder(language.encoder, Path(language.path) if language.path else None)
    words = embed_classes(class_table(config.data.classes), encoder)
    return encoder, words if language.shuffle < 0 else words.shuffled(language.shuffle)


def _text_head(
    config: Config, encoder: TextEncoder | None, words: WordTable | None
) -> TextHead | None:
    language = config.language
    if encoder is None or words is None or language.alignment == 0:
        return None
    from sartm_core.models.text_head import TextHead

    grounding = None
    if language.grounding:
        from sartm_core.language.grounding import ground

        grounding = torch.from_numpy(ground(GROUNDING_ENCODER, encoder).matrix)
    return TextHead(
        config.model.width,
        torch.from_numpy(words.words),
        torch.from_numpy(words.centre),
        temperature=language.temperature,
        grounding=grounding,
    )
