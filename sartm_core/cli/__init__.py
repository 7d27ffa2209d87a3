"""The command line `sartm`: one module of this folder per group of commands.

Commands are found by name and imported when they are called, so that `sartm --help` is quick and
each command pays only for what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from sartm_core.cli.output import emit_error
from sartm_core.errors import SartmError

COMMANDS = {
    "doctor": "doctor:doctor",
    "synth": "synth:synth",
    "data": "data:app",
    "train": "train:train",
    "sweep": "sweep:sweep",
    "evaluate": "evaluate:evaluate",
    "score": "evaluate:score",
    "compare": "compare:compare",
    "export": "export:export",
    "verify": "verify:verify",
    "build-engine": "build_engine:build_engine",
    "cache": "cache:app",
    "predict": "predict:predict",
    "bench": "bench:bench",
    "calibrate": "calibrate:calibrate",
    "bag": "bag:app",
    "text": "text:app",
}

# Typer has no public name for the base of its usage errors.
UsageError: Any = typer.BadParameter.__mro__[1]


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        target = getattr(import_module(f"sartm_core.cli.{module}"), attribute)
        if not isinstance(target, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(target)
            target = single
        target.rich_markup_mode = None  # [brackets] in a help text are meant
        command = get_command(target)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def sartm() -> None:
    """RGB-thermal semantic segmentation: train, export, measure, run.

    Every command has its own help with an example: sartm COMMAND --help
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: the words after `sartm`, by default those of the process.

    Returns:
        0 if it worked, 1 if the work failed, 2 for wrong use, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        return app(args=words, prog_name="sartm", standalone_mode=False) or 0
    except SartmError as error:
        emit_error(str(error), as_json)
        return 1
    except UsageError as error:
        if as_json:
            emit_error(error.format_message(), as_json)
        else:
            error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        sys.stdout = None  # the reader of a pipe has gone; nothing is left to flush to
        return 1
