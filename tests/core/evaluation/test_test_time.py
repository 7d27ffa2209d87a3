"""Sliding window, scales and mirror image against plain loops, on networks of a few lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sartm_core.errors import SartmError

torch = pytest.importorskip("torch")
F = torch.nn.functional


def make_network(*, tilted: bool = False, seed: int = 0):
    """A network without surroundings: logits are a function of the mean over 4x4 pixels.

    ``tilted`` adds the column to the logits, as a network with edges would see them.
    """
    from sartm_core.models import RgbThermalNetwork

    class Pointwise(RgbThermalNetwork):
        encoder_modules = ()

        def __init__(self) -> None:
            super().__init__(divisor=8, rgb_mean=[127.5], rgb_std=[127.5])
            generator = torch.Generator().manual_seed(seed)
            self.weight = torch.nn.Parameter(torch.randn(3, 4, 1, 1, generator=generator) * 3)
            self.sizes: list[tuple[int, int]] = []

        def extract(self, rgb, thermal):
            return [F.avg_pool2d(rgb, 4)], [F.avg_pool2d(thermal, 4)]

        def decode(self, encoded, present):
            from sartm_core.models.network import Decoded

            features = torch.cat((encoded.rgb[0], encoded.thermal[0]), dim=1)
            logits = F.conv2d(features, self.weight)
            self.sizes.append(tuple(4 * side for side in features.shape[2:]))
            if tilted:
                ramp = torch.linspace(-2, 2, logits.shape[3])
                logits = logits + ramp * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
            return Decoded(logits, {}, None)

    return Pointwise().eval()


def frame(height: int = 32, width: int = 48, *, seed: int = 0):
    rng = np.random.default_rng(seed)
    rgb, thermal = (
        torch.from_numpy(rng.integers(0, 256, (1, height, width, c)).astype(np.uint8))
        for c in (3, 1)
    )
    return rgb, thermal, torch.ones_like(thermal), torch.ones(1, 2)


def averaged(network, **looks):
    from sartm_core.evaluation.test_time import AveragedGraph, Looks

    return AveragedGraph(network, Looks(**looks))


@torch.no_grad()
def probabilities(network, inputs):
    logits = network(*inputs)
    return F.interpolate(logits, size=inputs[0].shape[1:3], mode="bilinear").softmax(dim=1)


@torch.no_grad()
def test_one_look_is_what_a_bundle_of_it_would_see() -> None:
    from sartm_core.export.graph import MaskGraph

    network, inputs = make_network(), frame()
    mask, _, probability = averaged(network)(*inputs)
    torch.testing.assert_close(mask, MaskGraph(network)(*inputs)[0], rtol=0, atol=0)
    torch.testing.assert_close(probability, probabilities(network, inputs))


@torch.no_grad()
def test_the_mirror_image_is_turned_back() -> None:
    network, inputs = make_network(tilted=True), frame()
    rgb, thermal, valid, present = inputs
    mirrored = (rgb.flip(2), thermal.flip(2), valid.flip(2), present)
    expected = (probabilities(network, inputs) + probabilities(network, mirrored).flip(3)) / 2
    _, confidence, probability = averaged(network, flip=True)(*inputs)
    torch.testing.assert_close(probability, expected)
    np.testing.assert_array_equal(confidence, (255 * expected.amax(dim=1)).round().byte())
    assert not torch.allclose(probability, probabilities(network, inputs), atol=0.05)


@torch.no_grad()
def test_scales_are_averaged_as_probabilities() -> None:
    network, inputs = make_network(), frame()
    rgb, thermal, valid, present = inputs
    large = [
        F.interpolate(image.permute(0, 3, 1, 2).float(), scale_factor=2, mode="bilinear")
        .round()
        .permute(0, 2, 3, 1)
        .byte()
        for image in (rgb, thermal)
    ]
    twice = probabilities(network, (*large, valid.repeat(1, 2, 2, 1), present))
    twice = F.interpolate(twice, size=(32, 48), mode="bilinear")
    expected = (probabilities(network, inputs) + twice) / 2
    network.sizes.clear()
    _, _, probability = averaged(network, scales=(1.0, 2.0))(*inputs)
    torch.testing.assert_close(probability, expected)
    assert network.sizes == [(32, 48), (64, 96)]


@torch.no_grad()
def test_scaled_sizes_fit_the_network() -> None:
    network = make_network()
    averaged(network, scales=(0.1, 0.7, 1.3))(*frame())
    assert network.sizes == [(8, 8), (24, 32), (40, 64)]  # 3.2, 22.4 and 41.6 rows to eights


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(37, 51), (16, 24), (12, 100)])
def test_windows_cover_every_pixel_and_are_averaged(height: int, width: int) -> None:
    network, inputs = make_network(tilted=True), frame(height, width)
    total, visits = np.zeros((3, max(height, 16), max(width, 24))), np.zeros((1, 1))
    graph = averaged(network, window=(16, 24), stride=(8, 16))
    _, _, probability = graph(*inputs)
    assert probability.shape == (1, 3, height, width)
    assert set(network.sizes) == {(16, 24)}
    if height < 16:
        return  # brought to the window's size first
    visits = np.zeros((height, width))
    tops = sorted({*range(0, height - 16, 8), height - 16})
    lefts = sorted({*range(0, width - 24, 16), width - 24})
    for top in tops:
        for left in lefts:
            part = [image[:, top : top + 16, left : left + 24] for image in inputs[:3]]
            found = probabilities(network, (*part, inputs[3]))[0].numpy()
            total[:, top : top + 16, left : left + 24] += found
            visits[top : top + 16, left : left + 24] += 1
    assert visits.min() >= 1
    np.testing.assert_allclose(probability[0], total / visits, atol=1e-5)


@torch.no_grad()
def test_an_absent_camera_cannot_be_read() -> None:
    network = make_network()
    graph = averaged(network, scales=(0.75, 1.0), flip=True, window=(16, 24))
    rgb, thermal, valid, _ = frame()
    other = frame(seed=1)[1]
    rgb_only = torch.tensor([[1.0, 0.0]])
    one, two = (graph(rgb, heat, valid, rgb_only) for heat in (thermal, other))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    valid = valid.clone()
    valid[:, :, :20] = 0
    mask, confidence, _ = graph(rgb, thermal, valid, torch.tensor([[0.0, 1.0]]))
    assert (mask[:, :, :20] == 255).all()
    assert (confidence[:, :, :20] == 0).all()
    assert (mask[:, :, 20:] < 3).all()


@pytest.mark.parametrize(
    ("looks", "message"),
    [
        ({"scales": ()}, "unusable scales"),
        ({"scales": (1.0, -1.0)}, "unusable scales"),
        ({"stride": (8, 8)}, "--window HEIGHTxWIDTH"),
        ({"window": (16, 24), "stride": (32, 8)}, "skips pixels"),
        ({"window": (20, 24)}, "divisible by 8"),
    ],
)
def test_unusable_looks_are_refused(looks: dict, message: str) -> None:
    with pytest.raises(SartmError, match=message):
        averaged(make_network(), **looks)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A student of a tiny configuration as it stands before its first step."""
    pytest.importorskip("accelerate")
    from sartm_core.training.build import build_network
    from sartm_core.training.checkpoint import Checkpoint, save_checkpoint
    from tests.training_runs import tiny_config

    config = tiny_config(tmp_path / "run")
    torch.manual_seed(0)
    weights = build_network(config, pretrained=False).state_dict()
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, Checkpoint(config, 0, {}, weights, {}, {}, [], -1.0, {}))
    return path


def command(*words: object) -> int:
    from sartm_core.cli import main

    return main([str(word) for word in words])


DATA = ("--data", "synthetic:7?frames=2&width=160&height=128")


def test_a_checkpoint_on_the_command_line(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sartm_core.models import Student

    sizes: list[tuple[int, ...]] = []
    forward = Student.forward

    def watched(self, rgb, *others):
        sizes.append(tuple(rgb.shape[1:3]))
        return forward(self, rgb, *others)

    monkeypatch.setattr(Student, "forward", watched)
    words = ("evaluate", checkpoint, *DATA, "--out", tmp_path)
    assert command(*words, "--scales", "0.5, 1", "--flip") == 0
    assert set(sizes) == {(32, 64), (64, 96)}  # the input is 64x96, whatever the frames
    sizes.clear()
    assert command(*words, "--window", "64x96", "--stride", "64x64") == 0
    assert set(sizes) == {(64, 96)}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["provenance"]["looks"] == {
        "scales": [1.0], "flip": False, "window": [64, 96], "stride": [64, 64],
    }  # fmt: skip
    # Warm-up and each look at a frame take 2 x 2 windows of its 128x160 pixels.
    assert len(sizes) % 4 == 0


def test_wrong_use_on_the_command_line(
    checkpoint: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*DATA, "--out", tmp_path / "out")
    assert command("evaluate", tiny_bundle, *words, "--flip") == 1
    assert "evaluate the checkpoint that the bundle was exported from" in capsys.readouterr().err
    assert command("evaluate", checkpoint, *words, "--scales", "large") == 2
    assert command("evaluate", checkpoint, *words, "--window", "64") == 2
    assert command("evaluate", checkpoint, *words, "--stride", "8x8") == 1
    assert command("evaluate", checkpoint, *words, "--window", "60x96") == 1
    assert not (tmp_path / "out").exists()
