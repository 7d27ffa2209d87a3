"""The option `--camera WxH`."""

from __future__ import annotations

import re

import typer


def parse_camera_size(text: str) -> tuple[int, int]:
    """(width, height) of ``WxH``.

    Raises:
        typer.BadParameter: it is something else.
    """
    found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", text)
    if found is None:
        raise typer.BadParameter(f"got {text!r}, expected e.g. 1920x1080", param_hint="--camera")
    return int(found[1]), int(found[2])
