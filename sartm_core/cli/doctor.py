"""`sartm doctor`: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from sartm_core.cli.output import emit

Check = dict[str, Any]

_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_SHARED_MEMORY_NEEDED_MIB = 256
_ROS_PROBE = """
import json, rclpy
from importlib.util import find_spec
def found(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(json.dumps({
    "rmw": rclpy.get_rmw_implementation_identifier(),
    "packages": {name.split(".")[0]: found(name) for name in
                 ("launch.actions", "launch_ros.actions", "message_filters", "vision_msgs.msg")},
}))
"""

# What each part of sartm needs: module -> names under which PyPI and apt know it.
_PACKAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "base": {
        "numpy": ("numpy",),
        "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
        "yaml": ("PyYAML",),
    },
    "eval": {"rosbags": ("rosbags",), "jinja2": ("Jinja2",), "av": ("av",)},
    "train": {
        "torch": ("torch",),
        "timm": ("timm",),
        "accelerate": ("accelerate",),
        "omegaconf": ("omegaconf",),
    },
    "export": {"onnx": ("onnx",), "onnxscript": ("onnxscript",)},
}

# The modules of the runtimes, likewise.
_ENGINES: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino",),
    "torch": ("torch",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check Python, ROS, runtimes, packages, transport, models and data.

    Lines begin with ok, with -- where something is missing, or with .. where a runtime is missing
    that nobody needs but for speed. Exit code 1 if no runtime can segment an image here; anything
    else that is missing only limits what can be done, and the report says how to get it.

    Example: sartm doctor --json
    """
    report = diagnose()
    emit(report, as_json, _lines(report))
    if not report["ok"]:
        raise typer.Exit(1)


def diagnose() -> dict[str, Any]:
    """Everything that `sartm doctor` reports. A check is {ok, why, ...}, why "" if all is well."""
    import sartm_core
    from sartm_core.machine import describe_machine
    from sartm_core.share import checkout

    runtimes = _runtimes()
    return {
        "ok": any(check["ok"] for check in runtimes.values()),
        "sartm": {"version": sartm_core.__version__, "checkout": _text(checkout())},
        "python": {
            "ok": sys.version_info >= (3, 10),
            "why": "" if sys.version_info >= (3, 10) else "install Python 3.10 or newer",
            "version": platform.python_version(),
            "executable": sys.executable,
        },
        "machine": describe_machine(),
        "runtimes": runtimes,
        "auto": _auto(),
        "ros": _ros(),
        "fastdds": _fastdds(),
        "shared_memory": _shared_memory(),
        "packages": {group: _packages(group) for group in _PACKAGES},
        "models": _models(),
        "data": _data(),
    }


def _check(problem: str = "", **facts: Any) -> Check:
    return {"ok": not problem, "why": problem, **facts}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _install(requirements: str) -> str:
    """The command that installs a requirements file."""
    from sartm_core.share import find_shared

    path = find_shared(f"requirements/{requirements}.txt")
    return f"run '{sys.executable} -m pip install -r {path}'"


def _runtimes() -> dict[str, Check]:
    """Whether each runtime really runs a shipped model; all but the first are ``optional``."""
    try:
        from sartm_core.bundle import shipped_bundles
        from sartm_core.runtime import RUNTIMES
    except ImportError as error:
        return {"onnxruntime": _check(f"{error}; {_install('base')}", optional=False)}
    _, bundle = min(shipped_bundles().items(), default=("", None))
    return {name: _runtime(name, bundle) for name in RUNTIMES}


def _runtime(name: str, bundle_path: Path | None) -> Check:
    from sartm_core.errors import SartmError

    module = name.partition(":")[0]
    facts: Check = {
        "version": _version(module, _ENGINES[module]),
        "tried": None if bundle_path is None else bundle_path.name,
        "optional": name != "onnxruntime",
    }
    if bundle_path is None:
        return _check("no model bundle is installed to try it with", **facts)
    try:
        _infer_once(name, bundle_path)
    except SartmError as error:
        return _check(str(error), **facts)
    # An engine that was built for another NumPy, or whose libraries are missing or too old.
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        return _check(f"{type(error).__name__}: {error}; install {module} again", **facts)
    return _check(**facts)


def _auto() -> dict[str, str] | None:
    """What runtime=auto picks here for a shipped model, and why; None where NumPy or a model is
    missing."""
    try:
        from sartm_core.bundle import load_bundle, shipped_bundles
        from sartm_core.runtime.choice import choose
    except ImportError:
        return None
    bundles = shipped_bundles()
    if not bundles:
        return None
    choice = choose(load_bundle(min(bundles.values())), precision="fp32")
    return {"runtime": choice.name, "why": choice.why}


def _infer_once(runtime: str, bundle_path: Path) -> None:
    import numpy as np

    from sartm_core.bundle import load_bundle
    from sartm_core.runtime import create_runtime

    bundle = load_bundle(bundle_path)
    engine = create_runtime(runtime, bundle)
    plane = np.zeros(bundle.input_size, np.uint8)
    engine.infer(np.dstack([plane] * 3), plane, plane + 1, np.ones(2, np.float32))
    engine.close()


def _ros() -> Check:
    """Ask a child process for rclpy: a broken ROS cannot take the report down with it."""
    distro = os.environ.get("ROS_DISTRO")
    # "/" as working directory: a folder of the caller's named launch is not the launch package.
    probe = subprocess.run(
        [sys.executable, "-c", _ROS_PROBE], cwd="/", capture_output=True, text=True, check=False
    )
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["rclpy does not load"])[-1]
        return _check(f"{reason}; {_ros_remedy(distro)}", distro=distro)
    found = json.loads(probe.stdout.splitlines()[-1])
    source = "installation" if distro else "wheels"
    return _check(distro=distro or "jazzy", source=source, **found)


def _ros_remedy(distro: str | None) -> str:
    if distro:
        return (
            f"ROS 2 {distro} is sourced but not for this Python ({platform.python_version()}): "
            "make the environment with ROS's own python3 (make ros-install)"
        )
    setups = sorted(Path("/opt/ros").glob("*/setup.bash"))
    if setups:
        return f"run 'source {setups[-1]}', then 'make ros-install'"
    if (sys.platform, platform.machine()) == ("linux", "x86_64") and sys.version_info < (3, 13):
        return _install("ros-jazzy")
    return "install ROS 2: wheels exist for x86-64 Linux with Python 3.10 to 3.12 only"


def _fastdds() -> Check:
    """Whether this shell's processes would send images through a large enough segment."""
    from sartm_core.share import find_shared

    shipped = find_shared("config/fastdds.xml")
    for variable in _PROFILE_VARIABLES:
        profile = os.environ.get(variable)
        if profile and not Path(profile).is_file():
            return _check(
                f"{variable} names a missing file {profile}; set it to {shipped}", profile=profile
            )
        if profile:
            return _check(profile=profile, shipped=_text(shipped))
    return _check(
        "no profile in this shell: sartm's launch files and demo set it for what they start, but "
        "a camera driver started here loses most best-effort images; "
        f"run 'export {_PROFILE_VARIABLES[0]}={shipped}' before starting it",
        profile=None,
        shipped=_text(shipped),
    )


def _shared_memory() -> Check:
    """Fast DDS keeps a segment of 64 MiB for each writing process here."""
    try:
        status = os.statvfs("/dev/shm")
    except OSError as error:
        return _check(f"/dev/shm: {error.strerror}; images will go through UDP, which loses some")
    free = status.f_bavail * status.f_frsize >> 20
    problem = (
        f"/dev/shm has {free} MiB free, each process that sends images takes 64; "
        "in a container run it with --shm-size=512m or --ipc=host"
    )
    return _check(problem if free < _SHARED_MEMORY_NEEDED_MIB else "", free_mib=free)


def _packages(group: str) -> Check:
    wanted = _PACKAGES[group]
    versions = {module: _version(module, names) for module, names in wanted.items()}
    missing = [module for module, version in versions.items() if version is None]
    problem = f"missing: {', '.join(missing)}; {_install(group)}" if missing else ""
    return _check(problem, versions=versions)


def _version(module: str, names: tuple[str, ...]) -> str | None:
    if find_spec(module) is None:
        return None
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _models() -> Check:
    try:
        from sartm_core.bundle import shipped_bundles
    except ImportError as error:
        return _check(f"{error}; {_install('base')}", found={})
    found = {name: str(path) for name, path in shipped_bundles().items()}
    problem = "no model bundle is installed; clone the repository with its models/ folder"
    return _check("" if found else problem, found=found)


def _data() -> Check:
    try:
        from sartm_core.data.datasets import sample_data_root
    except ImportError as error:
        return _check(f"{error}; {_install('base')}", path=None)
    root = sample_data_root()
    problem = "no real frames, which only development needs; run 'export SARTM_DATA=FOLDER'"
    return _check("" if root else problem, path=_text(root))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    machine, ros = report["machine"], report["ros"]
    yield f"sartm {report['sartm']['version']}"
    yield _line("python", report["python"], report["python"]["version"])
    yield f"   machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    for name, check in report["runtimes"].items():
        tried = f", ran {check['tried']}" if check.get("tried") else ""
        yield _line(name, check, f"{check.get('version')}{tried}")
    if report["auto"]:
        yield f"   runtime=auto: {report['auto']['runtime']} ({report['auto']['why']})"
    absent = [name for name, there in ros.get("packages", {}).items() if not there]
    without = f", without {', '.join(absent)}" if absent else ""
    yield _line("ros", ros, f"{ros['distro']} ({ros.get('source')}), {ros.get('rmw')}{without}")
    yield _line("fastdds", report["fastdds"], str(report["fastdds"]["profile"]))
    shared = report["shared_memory"]
    yield _line("/dev/shm", shared, f"{shared.get('free_mib')} MiB free")
    for group, check in report["packages"].items():
        versions = ", ".join(f"{name} {version}" for name, version in check["versions"].items())
        yield _line(f"packages ({group})", check, versions)
    yield _line("models", report["models"], ", ".join(report["models"]["found"]))
    yield _line("data", report["data"], str(report["data"]["path"]))


def _line(name: str, check: Check, facts: str) -> str:
    if check["ok"]:
        return f"ok {name}: {facts}"
    return f"{'..' if check.get('optional') else '--'} {name}: {check['why']}"
