"""Where the files lie that ship beside the code: config/, launch/ and models/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """The source checkout that this code runs from, None if it is installed."""
    return _ROOT if (_ROOT / "setup.py").is_file() else None


def share_roots() -> list[Path]:
    """Folders that hold shipped files, the best first.

    The checkout, then share/sartm_ros of each AMENT prefix, then of ``sys.prefix``.
    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    installed = [Path(prefix) / "share" / "sartm_ros" for prefix in prefixes if prefix]
    source = checkout()
    return [root for root in ([source] if source else []) + installed if root.is_dir()]


def find_shared(name: str) -> Path | None:
    """A shipped file such as ``config/fastdds.xml``, None if this installation has none."""
    return next((root / name for root in share_roots() if (root / name).is_file()), None)
