"""The frame around every command: help, exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from sartm_core.cli import COMMANDS, app, doctor, main
from sartm_core.errors import SartmError


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command, also of those in groups such as `bag`."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


EVERY_COMMAND = list(_commands(get_command(app)))


def test_all_commands_are_there() -> None:
    assert {path[0] for path in EVERY_COMMAND} == set(COMMANDS)
    assert {path[1] for path in EVERY_COMMAND if path[0] == "bag"} >= {"make", "info", "eval"}


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_help_has_an_example_and_json(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"sartm {' '.join(path)}" in text.split("Example", 1)[1]
    assert "--json" in text


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_help_shows_every_word(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Words in [brackets] tell a default; they must not be taken for markup."""
    command: Any = get_command(app)
    for name in path:
        command = command.get_command(None, name)
    assert main([*path, "--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    for parameter in command.params:
        assert "".join((parameter.help or "").split()) in shown


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from sartm_core.cli import main; main(['--help']);"
        "print([m for m in ('torch', 'cv2', 'onnxruntime', 'rosbags', 'rclpy', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "predict" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],  # no such command
        ["predict"],  # arguments missing
        ["doctor", "--nonsense"],  # no such option
        ["synth", "out", "--frames", "many"],  # not a number
    ],
)
def test_wrong_use_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err


def test_wrong_use_with_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--nonsense", "--json"]) == 2
    captured = capsys.readouterr()
    assert "--nonsense" in json.loads(captured.out)["error"]
    assert captured.err.startswith("error: ")


def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "doctor" in captured.out + captured.err


def _raise(error: BaseException) -> Any:
    def diagnose() -> dict[str, Any]:
        raise error

    return diagnose


def test_failed_work_is_1_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = SartmError("the disk is full", got="0 bytes", remedy="delete something")
    monkeypatch.setattr(doctor, "diagnose", _raise(error))
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {error}\n"

    assert main(["doctor", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"error": str(error)}
    assert captured.err == f"error: {error}\n"


def test_interrupt_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "diagnose", _raise(KeyboardInterrupt()))
    assert main(["doctor"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_programming_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", _raise(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_goes_away_leaves_no_traceback(as_json: bool) -> None:
    words = ["doctor", "--json"] if as_json else ["--help"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sartm_core", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait()
