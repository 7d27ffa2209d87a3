"""ament_python package: built by `colcon build`, or in place with `pip install -e . --no-deps`."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "sartm_ros"
SHARE = f"share/{PACKAGE}"
ROOT = Path(__file__).parent


def share(folder: str) -> list[tuple[str, list[str]]]:
    """data_files for everything below a folder: one tuple for each folder that holds files."""
    files_by_folder: dict[str, list[str]] = {}
    for path in sorted((ROOT / folder).rglob("*")):
        if path.is_file() and not any(part.startswith((".", "__")) for part in path.parts[-2:]):
            relative = path.relative_to(ROOT)
            files_by_folder.setdefault(relative.parent.as_posix(), []).append(relative.as_posix())
    return [(f"{SHARE}/{parent}", files) for parent, files in files_by_folder.items()]


setup(
    name=PACKAGE,
    version="0.1.0",
    description="RGB-thermal semantic segmentation for robots: ROS 2 node, training, evaluation",
    author="The sartm authors",
    maintainer="The sartm authors",
    maintainer_email="sartm@users.noreply.github.com",
    license="Apache-2.0",
    packages=find_packages(include=["sartm_ros*", "sartm_core*"]),
    package_data={
        "sartm_core": ["py.typed", "**/*.j2", "**/*.html", "language/*.txt"],
        "sartm_ros": ["py.typed"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        *share("launch"),
        *share("config"),
        *share("models"),
        *share("requirements"),
    ],
    python_requires=">=3.10",
    # Libraries come from rosdep or requirements/, never from here: OpenCV may be apt's or either of
    # PyPI's, and torch and TensorRT are large and only for who trains or accelerates.
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "sartm = sartm_core.cli:main",
            "segment_node = sartm_ros.segment_node:main",
        ],
    },
)
