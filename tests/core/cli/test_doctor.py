from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sartm_core.cli import doctor, main
from sartm_core.cli.doctor import diagnose
from sartm_core.runtime import RUNTIMES


@pytest.fixture
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)


def test_json_says_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["python"]["executable"] == sys.executable
    assert report["runtimes"]["onnxruntime"]["ok"]
    assert report["packages"]["train"]["versions"]["torch"]
    assert all(check["ok"] for check in report["packages"].values())


def test_text_has_one_line_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("python", "onnxruntime", "ros", "fastdds", "models", "packages (train)"):
        assert sum(line.startswith((f"ok {name}: ", f"-- {name}: ")) for line in lines) == 1


def test_every_runtime_has_a_row_and_those_that_are_missing_fail_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    report = diagnose()
    rows = report["runtimes"]
    assert tuple(rows) == RUNTIMES
    assert report["ok"]
    assert [name for name, row in rows.items() if not row["optional"]] == ["onnxruntime"]
    assert all(bool(row["why"]) is not row["ok"] for row in rows.values())
    assert "remedy: pip install openvino" in rows["openvino"]["why"]
    lines = [*doctor._lines(report)]
    assert sum(line.startswith(".. openvino: openvino is not installed") for line in lines) == 1
    assert not any(line.startswith("-- openvino") for line in lines)


def test_openvino_runs_a_shipped_model() -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    row = diagnose()["runtimes"]["openvino"]
    assert row["ok"], row["why"]
    assert row["version"]
    assert row["tried"]


def test_torch_needs_weights_that_no_shipped_model_has() -> None:
    row = diagnose()["runtimes"]["torch"]
    assert not row["ok"]
    assert "has no weights for PyTorch" in row["why"]
    assert "sartm export CKPT --out BUNDLE --weights" in row["why"]
    assert row["version"]  # it is installed


def test_it_says_what_auto_is_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    auto = diagnose()["auto"]
    assert auto["runtime"] in RUNTIMES
    assert main(["doctor"]) == 0
    assert f"runtime=auto: {auto['runtime']} ({auto['why']})" in capsys.readouterr().out


@pytest.mark.ros
def test_ros_is_found() -> None:
    ros = diagnose()["ros"]
    assert ros["ok"], ros["why"]
    assert ros["rmw"].startswith("rmw_")
    assert set(ros["packages"]) >= {"launch", "vision_msgs"}


def test_a_ros_for_another_python_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rclpy.py").write_text("raise ImportError('built for another Python')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    ros = diagnose()["ros"]
    assert not ros["ok"]
    assert "built for another Python" in ros["why"]
    assert "make ros-install" in ros["why"]


def test_missing_packages_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "timm" else found(name))
    check = diagnose()["packages"]["train"]
    assert not check["ok"]
    assert "missing: timm;" in check["why"]
    assert "-m pip install -r" in check["why"]
    assert Path(check["why"].split("-r ")[1].strip("'")).is_file()


@pytest.mark.usefixtures("no_profile")
def test_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without = diagnose()["fastdds"]
    assert not without["ok"]
    assert f"export FASTRTPS_DEFAULT_PROFILES_FILE={without['shipped']}" in without["why"]

    profile = tmp_path / "mine.xml"
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(profile))
    assert "missing file" in diagnose()["fastdds"]["why"]

    profile.touch()
    assert diagnose()["fastdds"]["ok"]


def test_shared_memory_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    docker_default = os.statvfs_result((4096, 4096, 16384, 16384, 16384, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: docker_default)
    check = diagnose()["shared_memory"]
    assert not check["ok"]
    assert check["free_mib"] == 64
    assert "--shm-size" in check["why"]


def test_a_broken_shipped_model_is_the_runtimes_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Path
) -> None:
    folder = tmp_path / "share" / "sartm_ros" / "models" / "aaa"
    folder.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", tiny_bundle, folder], check=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert diagnose()["runtimes"]["onnxruntime"]["tried"] == "aaa"

    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    report = diagnose()
    assert not report["ok"]
    assert "wrong sha256" in report["runtimes"]["onnxruntime"]["why"]
    assert main(["doctor"]) == 1
