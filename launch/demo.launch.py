"""The demo for ROS users: the node `segment` and a synthetic camera pair, apart from any robot.

ros2 launch sartm_ros demo.launch.py out:=out/demo
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    UnsetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from sartm_ros.demo import NAMESPACE, Demo
from sartm_ros.replay.node_process import REACHES_OUT, SETTINGS, isolated_environment

ARGUMENTS = {
    "model": (Demo.model, "bundle folder or shipped name"),
    "out": (str(Demo.out), "folder for overlay.mp4, report.html, metrics.json and masks/"),
    "seconds": (str(Demo.seconds), "length of the drive"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    environment = isolated_environment()
    alone = [
        *(UnsetEnvironmentVariable(name) for name in REACHES_OUT),
        *(SetEnvironmentVariable(n, environment[n]) for n in SETTINGS if n in environment),
    ]
    return LaunchDescription([*arguments, *alone, OpaqueFunction(function=_demo)])


def _demo(context: LaunchContext) -> list[Node | ExecuteProcess]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    return [
        Node(
            package="sartm_ros",
            executable="segment_node",
            name="segment",
            namespace=NAMESPACE,
            parameters=[
                {
                    "model.path": ParameterValue(given["model"], value_type=str),
                    **Demo().node_parameters,
                }
            ],
            output="screen",
        ),
        ExecuteProcess(
            cmd=["python3", "-u", "-m", "sartm_ros.demo", "--attach", *words],
            name="demo",
            output="screen",
            on_exit=Shutdown(reason="the demo is over"),
        ),
    ]
