"""The images: linted, pinned, and made of files that are there."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))
ENTRYPOINT = ROOT / "docker" / "entrypoint.sh"
SCRIPTS = Path(sys.executable).parent

of_each = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.suffix[1:])


def _instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continued lines joined, without comments."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def _of(dockerfile: Path, word: str) -> list[str]:
    return [rest for name, rest in _instructions(dockerfile) if name == word]


def _ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the context: the last line that matches it, or a
    folder that it is in, decides."""
    ignored = False
    places = [place for place in (PurePosixPath(path), *PurePosixPath(path).parents) if place.name]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        if any(
            place.name == pattern[3:]
            if pattern.startswith("**/")
            else fnmatch.fnmatch(place.as_posix(), pattern)
            for place in places
        ):
            ignored = not line.startswith("!")
    return ignored


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `docker build` would send of a fresh clone."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("context")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not _ignored(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_there_is_an_image_for_each_kind_of_robot() -> None:
    kinds = {path.suffix[1:] for path in DOCKERFILES}
    assert kinds == {"jazzy-cpu", "jetson-jp6", "jetson-jp7", "desktop-cuda"}


@of_each
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    done = subprocess.run(
        [SCRIPTS / "hadolint", "--no-color", dockerfile],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@of_each
def test_base_images_are_pinned(dockerfile: Path) -> None:
    stages: set[str] = set()
    for source in _of(dockerfile, "FROM"):
        image, *name = source.split(" AS ")
        if image not in stages:
            assert re.fullmatch(r"[\w./-]+:[\w.-]+", image), f"{image} has no tag"
            assert not image.endswith(":latest")
        stages.update(name)


@of_each
def test_containers_do_not_run_as_root(dockerfile: Path) -> None:
    *_, user = _of(dockerfile, "USER")
    assert int(user.split(":")[0]) > 0


@of_each
def test_what_is_copied_and_installed_is_in_the_context(dockerfile: Path, context: Path) -> None:
    copied = [
        source
        for rest in _of(dockerfile, "COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
    ]
    text = dockerfile.read_text() + ENTRYPOINT.read_text()
    named = re.findall(r"/opt/sartm/((?:config|docker)/[\w./-]+)", text)
    required = re.findall(r"requirements/[\w-]+\.txt", text)
    assert copied
    assert named
    for path in [*copied, *named, *required]:
        assert (context / path).exists(), path


def test_the_context_holds_what_a_robot_needs_and_no_more(context: Path) -> None:
    there = {path.name for path in context.iterdir()}
    assert {"Makefile", "models", "sartm_core", "sartm_ros", "setup.py"} <= there
    assert there.isdisjoint({".git", ".venv", "benchmarks", "docs", "out", "tests", "training"})


def test_the_context_can_be_built(context: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path / "build")]
        + ["install_data", "--install-dir", str(tmp_path / "data")],
        cwd=context,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build" / "lib" / "sartm_ros" / "segment_node.py").is_file()
    share = tmp_path / "data" / "share" / "sartm_ros"
    assert (share / "models" / "sartm-demo" / "bundle.json").is_file()


@pytest.mark.parametrize(
    ("given", "used"), [({}, "opt/sartm/config/fastdds.xml"), ({"profile": "mine.xml"}, "mine.xml")]
)
def test_the_entry_point_sources_ros_and_sets_the_profile(
    tmp_path: Path, given: dict[str, str], used: str
) -> None:
    sourced = {
        "opt/ros/jazzy/setup.bash": "export SEEN=ros",
        "opt/sartm/.venv/bin/activate": "export SEEN=$SEEN,venv",
        "opt/sartm/install/setup.bash": "export SEEN=$SEEN,sartm",
    }
    for name, line in sourced.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(line + "\n")
    script = tmp_path / "entrypoint.sh"
    script.write_text(ENTRYPOINT.read_text().replace("/opt/", f"{tmp_path}/opt/"))
    variables = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    environment = {"PATH": os.environ["PATH"], "ROS_DISTRO": "jazzy"}
    if given:
        environment[variables[0]] = given["profile"]
    shown = " ".join(f"${name}" for name in ("SEEN", *variables))
    done = subprocess.run(
        ["bash", script, "bash", "-c", f'echo {shown} "$1"', "name", "an argument"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    profile = used if given else f"{tmp_path}/{used}"
    assert done.stdout.strip() == f"ros,venv,sartm {profile} {profile} an argument"
    assert os.access(ENTRYPOINT, os.X_OK)
