"""What a figure was measured on: goes into every result file."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "openvino",
    "ros-rclpy",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx-cu13",
    "torch",
)


def describe_machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory (GiB), system and the versions that matter."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def sums_int8_exactly() -> bool:
    """Whether this CPU adds INT8 products in 32 bits: x86 without VNNI adds pairs of them in 16,
    which saturate. Where it does not say what it can do, True."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except FileNotFoundError:
        return True
    return not words.isdisjoint(("avx512_vnni", "avx_vnni", "amx_int8"))


def git_revision() -> str:
    """Revision of the checkout that holds this code, with ``-dirty`` if files differ from it, or
    ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(
            [*command, "--abbrev=40", "--exclude=*"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith(("model name", "Model")):
                    return line.split(":", 1)[1].strip()
    except FileNotFoundError:
        pass  # not Linux: platform knows
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
