"""`colcon build` installs everything, and what it installs runs from anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of sartm_ros in a fresh colcon install."""
    colcon = shutil.which("colcon", path=f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    assert colcon, "colcon is missing: requirements/dev.txt or apt's python3-colcon-core bring it"
    base = tmp_path_factory.mktemp("colcon")
    done = subprocess.run(
        [colcon, "--log-base", base / "log", "build", "--base-paths", ROOT]
        + ["--build-base", base / "build", "--install-base", base / "install"],
        cwd=base,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return base / "install" / "sartm_ros"


@pytest.fixture
def environment(installed: Path) -> dict[str, str]:
    """What sourcing install/setup.bash gives a process, in a ROS domain of the test's own."""
    (packages,) = installed.glob("lib/python3.*/site-packages")
    outside = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(packages), *filter(None, outside)]),
        "AMENT_PREFIX_PATH": str(installed),
        "ROS_DOMAIN_ID": "97",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _shipped(folder: str) -> list[str]:
    """The files of a folder of the checkout that git would ship."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    return [  # a source archive
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize("folder", ["launch", "config", "models", "requirements"])
def test_shipped_files_are_installed_unchanged(installed: Path, folder: str) -> None:
    names = _shipped(folder)
    assert names or not (ROOT / folder).exists()
    for name in names:
        target = installed / "share" / "sartm_ros" / name
        assert target.is_file(), f"{name} is missing from data_files"
        assert target.read_bytes() == (ROOT / name).read_bytes()


def test_package_is_registered(installed: Path) -> None:
    assert (installed / "share/ament_index/resource_index/packages/sartm_ros").is_file()
    assert (installed / "share/sartm_ros/package.xml").is_file()


def test_files_inside_the_packages_are_installed(installed: Path) -> None:
    (packages,) = installed.glob("lib/python3.*/site-packages")
    names = [name for folder in ("sartm_core", "sartm_ros") for name in _shipped(folder)]
    missing = [name for name in names if not (packages / name).is_file()]
    assert missing == []


@pytest.mark.parametrize("name", ["segment_node", "sartm"])
def test_executables_take_the_python_of_the_caller(installed: Path, name: str) -> None:
    script = installed / "lib" / "sartm_ros" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[0] == "#!/usr/bin/env python3"


def test_command_line_and_models_of_the_installation_are_used(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [installed / "lib/sartm_ros/sartm", "doctor", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["sartm"]["checkout"] is None
    shipped = {Path(name).parent.name for name in _shipped("models")} - {"models"}
    expected = {name: str(installed / "share/sartm_ros/models" / name) for name in shipped}
    assert report["models"]["found"] == expected
    assert report["fastdds"]["shipped"] == str(installed / "share/sartm_ros/config/fastdds.xml")


@pytest.fixture
def node(
    installed: Path, environment: dict[str, str], tmp_path: Path, tiny_bundle: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The installed node, started in an unrelated folder, and its log.

    It runs a model that was installed with it, named as a user would.
    """
    log = tmp_path / "node.log"
    shipped = sorted((installed / "share/sartm_ros/models").glob("*"))
    model = shipped[0].name if shipped else tiny_bundle
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [installed / "lib/sartm_ros/segment_node", "--ros-args"]
            + ["-p", f"model.path:={model}", "-p", "model.threads:=1"],
            cwd=tmp_path,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield process, log
    process.kill()
    process.wait()


@pytest.mark.ros
def test_installed_node_starts_and_ends_from_another_folder(
    node: tuple[subprocess.Popen[bytes], Path],
) -> None:
    process, log = node
    end = time.monotonic() + 60
    while "on onnxruntime" not in log.read_text():  # it says so when its model is loaded
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    process.terminate()
    assert process.wait(timeout=10) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
