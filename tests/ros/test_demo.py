"""The demo at a small scale, and what its launch file asks for."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_core.bundle import load_bundle
from sartm_core.data.bag_dataset import BagDataset
from sartm_core.data.bags import BagReader, find_topics
from sartm_core.data.images import read_ids
from sartm_core.errors import SartmError
from sartm_ros.demo import NAMESPACE, Demo, last_lines, panels
from tests.bundles import write_tiny_bundle

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"seconds": 2.0, "width": 160, "height": 128}


@pytest.fixture(scope="module")
def shown(tmp_path_factory, tiny_bundle):
    demo = Demo(out=tmp_path_factory.mktemp("demo"), model=str(tiny_bundle), **SMALL)
    return demo, demo.run()


def dataset_of(demo):
    bag = BagReader(demo.out / "demo.mcap")
    return BagDataset.open(bag, find_topics(bag), load_bundle(demo.model).classes)


def test_every_image_gets_a_mask_and_the_accounting_closes(shown):
    demo, metrics = shown
    account = metrics["accounting"]["rgb"]
    assert account["closes"]
    assert account["sent"] == 20
    assert account["published"] == len(list((demo.out / "masks").glob("*.png"))) >= 19
    assert set(metrics["subsets"]) == {"day", "night"}
    assert json.loads((demo.out / "metrics.json").read_text())["frames"] == metrics["frames"]
    assert "<svg" in (demo.out / "report.html").read_text(), "the histogram of latencies"


def test_thermal_images_are_paired_with_the_offset_of_their_stamps(shown):
    demo, _ = shown
    infos = list(BagReader(demo.out / "recorded").messages([f"{NAMESPACE}/segment/frame_info"]))
    rows = [
        (info.stamp_ns, {p.key: p.value for p in info.decode().status[0].values}) for info in infos
    ]
    paired = [(stamp, row) for stamp, row in rows if row["modalities"] == "rgb+thermal"]
    assert len(paired) > len(rows) / 2, "a busy machine may be late for some"
    for stamp, row in paired:
        seconds, nanoseconds = map(int, row["thermal_stamp"].split("."))
        seen = seconds * 10**9 + nanoseconds + round(demo.thermal_offset_s * 1e9)
        assert float(row["thermal_age_ms"]) == pytest.approx((stamp - seen) / 1e6, abs=0.01)


def test_the_video_has_one_picture_for_each_rgb_image(shown):
    av = pytest.importorskip("av")
    demo, _ = shown
    with av.open(str(demo.out / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(pictures) == 20
    assert pictures[0].shape == (128, 3 * 160, 3)


def test_the_overlay_is_that_of_the_mask_and_a_missing_mask_is_marked(shown):
    demo, _ = shown
    dataset, bundle = dataset_of(demo), load_bundle(demo.model)
    file = demo.out / "masks" / f"{dataset.stems[0]}.png"
    with_mask, without = list(panels(dataset, {dataset.stems[0]: file}, bundle))[:2]
    rgb, right = with_mask[32:, :160], with_mask[32:, 320:]
    painted = read_ids(file)[32:] != 0
    legend = np.zeros_like(painted)
    legend[-60:, :100] = True
    changed = (rgb != right).any(axis=-1)
    assert changed[painted & ~legend].mean() > 0.9
    assert without[32:, 320:].max() <= 85, "darkened"


def test_the_last_words_are_five_lines(shown):
    lines = last_lines(*shown)
    assert len(lines) == 5
    assert "20 RGB images" in lines[0]
    assert "overlay.mp4" in lines[2]


def test_a_model_that_is_too_slow_fails_the_demo(tmp_path):
    slow = write_tiny_bundle(tmp_path / "slow", 480, 640, work=20)
    with pytest.raises(SartmError, match="too many images got no mask"):
        Demo(out=tmp_path / "out", model=str(slow), **{**SMALL, "seconds": 1.0}).run()


class Recorded(SimpleNamespace):
    """A stand-in for an action of launch: remembers how it was made."""

    def __init__(self, *args, **kwargs):
        super().__init__(args=args, **kwargs)


@pytest.fixture
def described(monkeypatch):
    """Runs the launch file with stand-ins for launch; returns its actions and what they start."""
    kinds = {
        "launch": ["LaunchContext", "LaunchDescription"],
        "launch.actions": [
            "DeclareLaunchArgument",
            "ExecuteProcess",
            "OpaqueFunction",
            "SetEnvironmentVariable",
            "Shutdown",
            "UnsetEnvironmentVariable",
        ],
        "launch.substitutions": ["LaunchConfiguration"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
        "launch_ros.parameter_descriptions": ["ParameterValue"],
    }
    for name, members in kinds.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    configuration = sys.modules["launch.substitutions"].LaunchConfiguration
    configuration.perform = lambda self, context: context[self.args[0]]
    actions = (
        runpy.run_path(str(ROOT / "launch" / "demo.launch.py"))["generate_launch_description"]()
    ).args[0]
    (function,) = (a.function for a in actions if type(a).__name__ == "OpaqueFunction")
    return actions, function


def test_the_launch_file_starts_the_node_and_the_demo_apart_from_robots(described):
    actions, function = described
    environment = dict(
        action.args for action in actions if type(action).__name__ == "SetEnvironmentVariable"
    )
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 1 <= int(environment["ROS_DOMAIN_ID"]) <= 101
    node, demo = function({"model": "sartm-s", "out": "/tmp/x", "seconds": "3"})
    assert (node.executable, node.namespace) == ("segment_node", NAMESPACE)
    (parameters,) = node.parameters
    assert parameters["model.path"].args == ("sartm-s",)
    assert parameters["sync.thermal_offset_s"] == Demo().node_parameters["sync.thermal_offset_s"]
    words = demo.cmd[demo.cmd.index("sartm_ros.demo") + 1 :]
    assert words == ["--attach", "--model", "sartm-s", "--out", "/tmp/x", "--seconds", "3"]
    assert type(demo.on_exit).__name__ == "Shutdown"
