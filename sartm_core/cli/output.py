"""What every command prints: the result on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from sartm_core.progress import console, progress

__all__ = ["RUNTIME_HELP", "console", "emit", "emit_error", "progress"]

RUNTIME_HELP = (
    "auto, onnxruntime[:cuda|:tensorrt|:openvino], openvino[:gpu|:npu], torch[:cuda], tensorrt or "
    "tensorrt_rtx; `sartm doctor` says which work here."
)


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
