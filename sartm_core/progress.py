"""What a person at the terminal sees meanwhile: messages and progress bars, on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)


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
