"""What every command prints: the result on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)


def emit(result: Mapping[str, Any], as_json: bool, lines: str | Iterable[str]) -> None:
    """Print the result of a command on stdout.

    Args:
        result: what `--json` prints, as one JSON object and nothing else.
        as_json: whether `--json` was given.
        lines: what a person reads instead.
    """
    if as_json:
        print(json.dumps(result, indent=2, allow_nan=False))
        return
    for line in [lines] if isinstance(lines, str) else lines:
        print(line)


def emit_error(message: str, as_json: bool) -> None:
    """Say in one line on stderr what went wrong; with `--json`, also as one object on stdout."""
    if as_json:
        print(json.dumps({"error": message}))
    print(f"error: {message}", file=sys.stderr)


def progress(description: str, total: int | None = None) -> ProgressBar:
    """A progress bar on stderr: `with progress("exporting", 3) as bar: bar.advance()`.

    Args:
        description: what is being done, two or three words.
        total: number of steps, None if unknown.
    """
    return ProgressBar(description, total)


class ProgressBar:
    """One bar that vanishes when it is done; silent where stderr is no terminal."""

    def __init__(self, description: str, total: int | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(description, total=total)

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, steps: int = 1) -> None:
        """Count finished steps."""
        self._progress.advance(self._task, steps)

    def describe(self, description: str) -> None:
        """Change the text in front of the bar."""
        self._progress.update(self._task, description=description)
