"""The launch description, with stand-ins that record what it asks for; needs no ROS."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


class Recorded(SimpleNamespace):
    """Remembers how it was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args=args, **kwargs)


class LaunchConfiguration(Recorded):
    def perform(self, context: dict[str, str]) -> str:
        return context[self.args[0]]


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the launch file; returns the declared arguments, the environment set and the node."""
    kinds = {
        "launch": ["LaunchContext", "LaunchDescription"],
        "launch.actions": ["DeclareLaunchArgument", "OpaqueFunction", "SetEnvironmentVariable"],
        "launch.substitutions": [],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
        "launch_ros.parameter_descriptions": ["ParameterValue"],
    }
    for name, members in kinds.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["launch.substitutions"].LaunchConfiguration = LaunchConfiguration  # type: ignore[attr-defined]

    def run(**given: str) -> tuple[dict[str, str], dict[str, str], Any]:
        scope = runpy.run_path(str(ROOT / "launch" / "segment.launch.py"))
        actions = scope["generate_launch_description"]().args[0]
        kind = lambda name: [a for a in actions if type(a).__name__ == name]  # noqa: E731
        defaults = {a.args[0]: a.default_value for a in kind("DeclareLaunchArgument")}
        environment = dict(a.args for a in kind("SetEnvironmentVariable"))
        (function,) = kind("OpaqueFunction")
        (node,) = function.function({**defaults, **given})
        return defaults, environment, node

    return run


def test_arguments_are_the_documented_ones(described: Any) -> None:
    defaults, _, _ = described()
    assert set(defaults) == {
        "model",
        "rgb_topic",
        "thermal_topic",
        "pairs",
        "runtime",
        "precision",
        "params_file",
        "namespace",
        "autostart",
        "use_sim_time",
    }
    assert Path(defaults["params_file"]).is_file()


def test_arguments_reach_the_node(described: Any) -> None:
    _, _, node = described(
        model="sartm-s",
        rgb_topic="/cam/rgb",
        thermal_topic="/cam/thermal",
        runtime="onnxruntime",
        precision="int8",
        params_file="my.yaml",
        namespace="robot1",
        autostart="false",
        use_sim_time="true",
    )
    assert (node.package, node.executable, node.namespace) == (
        "sartm_ros",
        "segment_node",
        "robot1",
    )
    assert node.remappings == [("rgb/image", "/cam/rgb"), ("thermal/image", "/cam/thermal")]
    file, values = node.parameters
    assert file == "my.yaml"
    assert values["model.path"].args == ("sartm-s",)
    assert values["model.runtime"].args == ("onnxruntime",)
    assert values["model.precision"].args == ("int8",)
    assert (values["autostart"], values["use_sim_time"]) == (False, True)


def test_arguments_not_given_leave_the_parameter_file_alone(described: Any) -> None:
    _, _, node = described()
    assert set(node.parameters[1]) == {"autostart", "use_sim_time"}


def test_several_pairs_have_topics_of_their_own_names(described: Any) -> None:
    _, _, node = described(pairs="front,rear")
    assert node.parameters[1]["pairs"] == ["front", "rear"]
    with pytest.raises(RuntimeError, match=r"single pair; got pairs:=front,rear; .*NAME/rgb/image"):
        described(pairs="front,rear", thermal_topic="/cam/thermal")


def test_the_profile_is_set_unless_the_user_has_one(
    described: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    _, environment, _ = described()
    assert set(environment) == set(PROFILE_VARIABLES)
    assert all(Path(path).is_file() for path in environment.values())
    monkeypatch.setenv(PROFILE_VARIABLES[0], "mine.xml")
    assert described()[1] == {}
