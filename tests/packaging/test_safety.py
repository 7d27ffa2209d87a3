"""No file that a user is given, and no text that arrives, is ever run as a program."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("sartm_core", "sartm_ros", "launch", "training")
    for path in (ROOT / folder).rglob("*.py")
)
FORBIDDEN = {
    "eval",
    "exec",
    "os.popen",
    "os.system",
    "marshal.load",
    "marshal.loads",
    "pickle.Unpickler",
    "pickle.load",
    "pickle.loads",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "yaml.full_load",
    "yaml.unsafe_load",
}
# Safe only with this keyword, and this value of it.
ONLY_WITH = {
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "numpy.load": ("allow_pickle", "False"),
    "yaml.load": ("Loader", "yaml.SafeLoader"),
}


def unsafe_calls(code: str) -> Iterator[str]:
    """``line: call`` of each call that could run what it is given."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in FORBIDDEN | ONLY_WITH.keys():
                    yield f"{node.lineno}: from {node.module} import {alias.name}"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
        safe, value = ONLY_WITH.get(name, ("", ""))
        if (
            name in FORBIDDEN
            or (keywords.get("shell", "False") != "False" and name.startswith("subprocess."))
            or (safe and keywords.get(safe) != value)
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_runs_what_it_is_given(path: Path) -> None:
    assert list(unsafe_calls(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)",
        "pickle.load(file)",
        "from pickle import loads",
        "subprocess.run(words, shell=True)",
        "subprocess.Popen(words, shell=flag)",
        "os.system(words)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
    ],
)
def test_what_could_run_it_is_found(code: str) -> None:
    assert list(unsafe_calls(code))


def test_safe_ways_are_left_alone() -> None:
    code = """
network.eval()
subprocess.run(words, shell=False)
yaml.safe_load(text)
yaml.load(text, Loader=yaml.SafeLoader)
torch.load(path, map_location="cpu", weights_only=True)
np.load(path, allow_pickle=False)
"""
    assert list(unsafe_calls(code)) == []
