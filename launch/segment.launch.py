"""Start the node `segment`.

ros2 launch sartm_ros segment.launch.py rgb_topic:=/cam/rgb thermal_topic:=/cam/thermal
ros2 launch sartm_ros segment.launch.py pairs:=front,rear
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(__file__).parent.parent / "config"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

ARGUMENTS = {
    "model": ("", "bundle folder or shipped name; empty = the parameter file's, else sartm-demo"),
    "rgb_topic": ("rgb/image", "topic of the RGB images"),
    "thermal_topic": ("thermal/image", "topic of the thermal images"),
    "pairs": ("", "several camera pairs, e.g. front,rear, each with NAME/rgb/image and so on"),
    "runtime": ("", "engine that runs the model; empty = the parameter file's, else auto"),
    "precision": ("", "of the model file; empty = the parameter file's, else auto"),
    "params_file": (str(CONFIG / "segment.yaml"), "parameters of the node"),
    "namespace": ("", "namespace of the node and its relative topics"),
    "autostart": ("true", "configure and activate at start; false under a lifecycle manager"),
    "use_sim_time": ("false", "take the time from /clock"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, *_profile(), OpaqueFunction(function=_segment)])


def _profile() -> list[SetEnvironmentVariable]:
    """The shared-memory profile, unless the user has one: the default loses most images."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return []
    profile = str(CONFIG / "fastdds.xml")
    return [SetEnvironmentVariable(name, profile) for name in PROFILE_VARIABLES]


def _segment(context: LaunchContext) -> list[Node]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    parameters = {name: given[name].lower() == "true" for name in ("autostart", "use_sim_time")}
    # An argument that is not given must not override the parameter file.
    for argument, parameter in (
        ("model", "model.path"),
        ("runtime", "model.runtime"),
        ("precision", "model.precision"),
    ):
        if given[argument]:
            parameters[parameter] = ParameterValue(given[argument], value_type=str)
    if given["pairs"]:
        if any(given[name] != ARGUMENTS[name][0] for name in ("rgb_topic", "thermal_topic")):
            raise RuntimeError(
                f"rgb_topic and thermal_topic are for a single pair; got pairs:={given['pairs']}; "
                "remedy: have the drivers publish on NAME/rgb/image and NAME/thermal/image"
            )
        parameters["pairs"] = given["pairs"].split(",")
    return [
        Node(
            package="sartm_ros",
            executable="segment_node",
            name="segment",
            namespace=given["namespace"],
            parameters=[given["params_file"], parameters],
            remappings=[
                ("rgb/image", given["rgb_topic"]),
                ("thermal/image", given["thermal_topic"]),
            ],
            output="screen",
            emulate_tty=True,
            respawn=True,
            respawn_delay=2.0,
        )
    ]
