"""Who may import whom: the core knows no ROS, and running needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "sartm_core").rglob("*.py"))


def _loaded_after(code: str, *modules: str) -> list[str]:
    """Which of the modules a fresh interpreter has loaded after running the code."""
    report = f"import sys; print([m for m in {modules!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return list(ast.literal_eval(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_core_never_imports_ros_nor_the_adapters(path: Path) -> None:
    forbidden = {"rclpy", "sartm_ros", "sensor_msgs", "std_msgs", "diagnostic_msgs", "cv_bridge"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        else:
            continue
        for name in names:
            assert str(name).split(".")[0] not in forbidden, f"line {node.lineno}"


def test_importing_the_core_is_cheap() -> None:
    heavy = ("torch", "rclpy", "cv2", "onnxruntime", "matplotlib", "rosbags")
    assert _loaded_after("import sartm_core", *heavy) == []


def test_segmenting_loads_neither_ros_nor_torch(tiny_bundle: Path) -> None:
    code = (
        "import numpy as np, sartm_core\n"
        f"segment = sartm_core.load({str(tiny_bundle)!r})\n"
        "segment(np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8))"
    )
    assert _loaded_after(code, "rclpy", "torch", "onnxruntime") == ["onnxruntime"]


@pytest.mark.ros
def test_importing_the_node_never_imports_torch() -> None:
    code = "import sartm_ros.segment_node, sartm_ros.node"
    assert _loaded_after(code, "torch", "rclpy", "timm", "matplotlib") == ["rclpy"]
