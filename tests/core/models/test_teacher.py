"""The teacher's promises, and the defects of the released code that it must not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sartm_core.errors import SartmError
from sartm_core.models.network import Decoded
from sartm_core.models.pair_encoder import PairEncoder, create_pair_encoder
from sartm_core.models.teacher import Teacher
from sartm_core.models.text_head import TextHead
from tests.core.models.test_student import Inputs, random_inputs

CLASSES, CHANNELS, WIDTH, WORDS = 5, (8, 8, 16, 16), 16, 12
BOTH = torch.ones(1, 2)


def text_head(classes: int = CLASSES) -> TextHead:
    words = F.normalize(torch.randn(classes, WORDS), dim=1)
    words[0] = 0.0
    return TextHead(WIDTH, words, 0.1 * torch.randn(WORDS))


def encoder(name: str = "mobilenetv4_conv_small", sharing: str = "per_modality") -> PairEncoder:
    return create_pair_encoder(name, sharing=sharing)


def build(
    *,
    classes: int = CLASSES,
    fusion: str = "gated",
    heads: Sequence[str] = ("main", "aux"),
    inference: str = "mean",
    with_text: bool = True,
    released: bool = False,
    of: PairEncoder | None = None,
) -> Teacher:
    torch.manual_seed(0)
    return Teacher(
        of or encoder(),
        classes=classes,
        channels=CHANNELS,
        fusion=fusion,
        heads=heads,
        width=WIDTH,
        inference=inference,
        text=text_head(classes) if with_text else None,
        released=released,
    )


def settle(network: Teacher) -> Teacher:
    """Evaluation mode with random tokens and real statistics: a leak cannot hide behind zeros."""
    with torch.no_grad():
        for fusion in network.fusion:
            fusion.missing.normal_()
        network.train()
        for seed in range(3):
            network(*random_inputs(seed, batch=2))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=["gated", "cmx", "concat"])
def teacher(request: pytest.FixtureRequest) -> Teacher:
    return settle(build(fusion=request.param))


@pytest.fixture(scope="module")
def gated() -> Teacher:
    return settle(build())


def decode(network: Teacher, inputs: Inputs) -> Decoded:
    return network.decode(network.encode(*inputs), inputs.present)


def outputs(decoded: Decoded) -> Iterator[tuple[str, torch.Tensor]]:
    """Everything that a decoded batch holds, by name."""
    assert decoded.feature is not None
    assert set(decoded.heads) == {"main", "aux"}
    yield from decoded.heads.items()
    yield "logits", decoded.logits
    yield "feature", decoded.feature


def assert_same_bits(found: Decoded, expected: Decoded) -> None:
    for (name, one), (_, other) in zip(outputs(found), outputs(expected), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv4_conv_small"])
@pytest.mark.parametrize("sharing", ["shared", "per_modality"])
def test_every_head_is_at_a_quarter_of_the_input(name: str, sharing: str) -> None:
    network = build(of=encoder(name, sharing)).eval()
    with torch.no_grad():
        decoded = decode(network, random_inputs(0, batch=2))
    for head, logits in (*decoded.heads.items(), ("logits", decoded.logits)):
        assert logits.shape == (2, CLASSES, 16, 24), head
    assert decoded.feature is not None
    assert decoded.feature.shape == (2, WIDTH, 16, 24)


@pytest.mark.parametrize(
    ("present", "filled"),
    [
        ((0.0, 1.0), "rgb"),  # no RGB camera
        ((1.0, 0.0), "thermal"),  # no thermal camera
        ((1.0, 0.0), "thermal_valid"),  # its field of view means nothing either
    ],
)
def test_bytes_of_an_absent_camera_change_no_bit(
    teacher: Teacher, present: tuple[float, float], filled: str
) -> None:
    inputs = random_inputs(1, present)
    reference = decode(teacher, inputs)
    for value in (0, 255):
        other = inputs._replace(**{filled: torch.full_like(getattr(inputs, filled), value)})
        assert_same_bits(decode(teacher, other), reference)
        assert torch.equal(teacher(*other), reference.logits)


@pytest.mark.parametrize(
    ("present", "filled"), [((0.0, 1.0), "rgb"), ((1.0, 0.0), "thermal"), ((1.0, 0.0), "coverage")]
)
def test_features_of_an_absent_camera_change_no_bit(
    teacher: Teacher, present: tuple[float, float], filled: str
) -> None:
    """A view of one camera is decoded from features of both: fusion has to keep the other out."""
    inputs = random_inputs(1)
    encoded, flags = teacher.encode(*inputs), torch.tensor([present])
    reference = teacher.decode(encoded, flags)
    levels = getattr(encoded, filled)
    for value in (0, float("nan")):
        if filled == "coverage":
            other = [torch.full_like(level, value == 0) for level in levels]
        else:
            other = [torch.full_like(level, value) for level in levels]
        assert_same_bits(teacher.decode(replace(encoded, **{filled: other}), flags), reference)


def test_one_encoding_serves_three_presences(teacher: Teacher) -> None:
    """What distillation between modalities relies on."""
    inputs = random_inputs(2, batch=2)
    encoded = teacher.encode(*inputs)
    flags = [torch.tensor([row] * 2) for row in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))]
    at_once = teacher.decode(encoded.repeat(3), torch.cat(flags)).split(3)
    for present, together in zip(flags, at_once, strict=True):
        alone = decode(teacher, inputs._replace(present=present))
        assert_same_bits(teacher.decode(encoded, present), alone)
        for (name, one), (_, other) in zip(outputs(together), outputs(alone), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, msg=name)


def test_thermal_outside_its_field_of_view_changes_no_bit(teacher: Teacher) -> None:
    inputs = random_inputs(3)
    inputs.thermal_valid[:, :, 48:] = 0
    reference = decode(teacher, inputs)
    inputs.thermal[:, :, 48:] = 255
    assert_same_bits(decode(teacher, inputs), reference)
    inputs.thermal[:, :, :48] = 255
    for (name, one), (_, other) in zip(
        outputs(decode(teacher, inputs)), outputs(reference), strict=True
    ):
        assert not torch.equal(one, other), name


def test_batch_of_two_is_two_batches_of_one(teacher: Teacher) -> None:
    rows = [random_inputs(4), random_inputs(5, (1.0, 0.0)), random_inputs(6, (0.0, 1.0))]
    together = decode(teacher, Inputs(*(torch.cat(parts) for parts in zip(*rows, strict=True))))
    for index, row in enumerate(rows):
        for (name, one), (_, other) in zip(
            outputs(together), outputs(decode(teacher, row)), strict=True
        ):
            difference = (one[index : index + 1] - other).abs().max()
            assert difference < 1e-5, name


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("size", [(32, 64), (96, 64)])
def test_class_count_and_image_size_are_free(classes: int, size: tuple[int, int]) -> None:
    network = build(classes=classes).eval()
    image = torch.zeros(1, *size, 3, dtype=torch.uint8)
    valid = torch.ones_like(image[..., :1])
    with torch.no_grad():
        logits = network(image, image[..., :1], valid, torch.ones(1, 2))
    assert logits.shape == (1, classes, size[0] // 4, size[1] // 4)


def test_size_that_is_not_divisible_is_refused_with_a_remedy(gated: Teacher) -> None:
    image = torch.zeros(1, 60, 96, 3, dtype=torch.uint8)
    with pytest.raises(SartmError, match=r"60x96.*divisible by 32.*use 64x96"):
        gated(image, image[..., :1], image[..., :1], torch.ones(1, 2))


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_every_head_sees_both_cameras(gated: Teacher, camera: str) -> None:
    inputs = random_inputs(7)
    other = inputs._replace(**{camera: 255 - getattr(inputs, camera)})
    for (name, one), (_, two) in zip(
        outputs(decode(gated, other)), outputs(decode(gated, inputs)), strict=True
    ):
        assert not torch.equal(one, two), name


def test_released_fusion_never_sees_thermal() -> None:
    network = settle(build(released=True))
    inputs = random_inputs(8)
    other = inputs._replace(thermal=255 - inputs.thermal)
    assert_same_bits(decode(network, other), decode(network, inputs))
    other = inputs._replace(rgb=255 - inputs.rgb)
    assert not torch.equal(network(*other), network(*inputs))


def seen_by_encoder(network: Teacher, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The images that the encoder is given."""
    images: dict[str, torch.Tensor] = {}

    def note(_: torch.nn.Module, arguments: tuple[torch.Tensor, str]) -> None:
        image, modality = arguments
        images[modality] = image

    hook = network.encoder.register_forward_pre_hook(note)
    network.encode(*inputs)
    hook.remove()
    return images


def test_released_thermal_is_only_divided_by_255(gated: Teacher) -> None:
    inputs = random_inputs(9)
    raw = inputs.thermal.permute(0, 3, 1, 2).float()
    released = seen_by_encoder(settle(build(released=True)), inputs)
    ours = seen_by_encoder(gated, inputs)
    torch.testing.assert_close(released["thermal"], raw / 255)
    torch.testing.assert_close(ours["thermal"], (raw - 82) / 60)
    # RGB is normalised in both.
    assert torch.equal(released["rgb"], ours["rgb"])
    torch.testing.assert_close(
        ours["rgb"],
        (inputs.rgb.permute(0, 3, 1, 2) - gated.rgb_mean) / gated.rgb_std,
    )


@pytest.mark.parametrize("inference", ["main", "aux", "text"])
def test_inference_uses_the_head_that_it_names(inference: str) -> None:
    network = build(inference=inference).eval()
    decoded = decode(network, random_inputs(10))
    assert network.text is not None
    assert decoded.feature is not None
    heads = decoded.heads | {"text": network.text(decoded.feature)}
    assert torch.equal(decoded.logits, heads[inference])


def test_mean_is_of_main_and_aux_and_not_of_text(gated: Teacher) -> None:
    decoded = decode(gated, random_inputs(10))
    mean = (decoded.heads["main"] + decoded.heads["aux"]) / 2
    torch.testing.assert_close(decoded.logits, mean)


@pytest.mark.parametrize(("heads", "feature"), [(["main"], False), (["aux"], True)])
def test_one_head_alone(heads: list[str], feature: bool) -> None:
    network = build(heads=heads, with_text=False).eval()
    decoded = decode(network, random_inputs(11))
    assert list(decoded.heads) == heads
    assert torch.equal(decoded.logits, decoded.heads[heads[0]])
    assert (decoded.feature is not None) == feature


@pytest.mark.parametrize("fusion", ["gated", "cmx", "concat"])
def test_every_parameter_learns(fusion: str) -> None:
    """Among them the auxiliary head, whose layers the released code makes anew in each call."""
    network = build(fusion=fusion).train()
    rows = [random_inputs(seed, flags) for seed, flags in enumerate([(1, 1), (1, 0), (0, 1)])]
    decoded = decode(network, Inputs(*(torch.cat(parts) for parts in zip(*rows, strict=True))))
    assert network.text is not None
    assert decoded.feature is not None
    heads = [*decoded.heads.values(), network.text(decoded.feature)]
    torch.stack([head.square().mean() for head in heads]).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert network.classifier is not None
    assert network.pixel is not None
    for part in (network.classifier, network.pixel, *network.fusion):
        assert all(parameter.grad.abs().sum() > 0 for parameter in part.parameters())


def test_statistics_of_one_camera_never_see_the_other() -> None:
    network = build(of=encoder(sharing="shared")).train()

    def statistics(inputs: Inputs) -> dict[str, torch.Tensor]:
        state = {name: value.clone() for name, value in network.state_dict().items()}
        with torch.no_grad():
            network.encode(*inputs)
        after = {k: v.clone() for k, v in network.state_dict().items() if "running_mean" in k}
        network.load_state_dict(state)
        return after

    inputs = random_inputs(12, batch=2)
    reference = statistics(inputs)
    for camera, own in (("rgb", "rgb_lateral"), ("thermal", "thermal_lateral")):
        other = statistics(inputs._replace(**{camera: 255 - getattr(inputs, camera)}))
        moved = {name for name in reference if not torch.equal(other[name], reference[name])}
        assert any(name.startswith(own) for name in moved)
        assert 2 * len(moved) <= len(reference)
        kept = reference.keys() - moved
        assert {name for name in kept if "lateral" in name}


def test_a_transformers_patch_is_all_that_the_size_has_to_fit() -> None:
    """48x80 has no whole 1/32 level."""
    pytest.importorskip("segment_anything")
    from tests.core.models.tiny_sam import tiny_pair

    network = settle(build(of=tiny_pair("sam", rank=2)))
    assert network.divisor == 16
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 48, 80, 4), generator=generator, dtype=torch.uint8)
    inputs = Inputs(image[..., :3], image[..., 3:], torch.ones_like(image[..., 3:]), BOTH)
    inputs.thermal_valid[:, :, 64:] = 0  # the last, half-filled column of 1/32
    reference = decode(network, inputs)
    assert reference.logits.shape == (1, CLASSES, 12, 20)
    inputs.thermal[:, :, 64:] = 255
    assert_same_bits(decode(network, inputs), reference)


def test_exported_teacher_computes_what_pytorch_computes(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from sartm_core.export.graph import MaskGraph
    from sartm_core.export.onnx_file import INPUTS, check_parity, export_onnx

    graph = MaskGraph(settle(build())).eval()
    path = tmp_path / "teacher.onnx"
    export_onnx(graph, 64, 96, path)
    feeds = []
    for seed, present in enumerate([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]):
        inputs = random_inputs(seed, present)
        inputs.thermal_valid[:, :16] = 0
        feeds.append(dict(zip(INPUTS, (tensor.numpy() for tensor in inputs), strict=True)))
    assert check_parity(graph, path, feeds) < 1e-4
