"""Which names TensorRT has in which version (api.json)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

# Of these NVIDIA's lists have no members. They are those of TensorRT-RTX 1.7, and in the guides of
# every TensorRT since 10.0.
UNLISTED = {
    "TensorIOMode": {"NONE", "INPUT", "OUTPUT", "name"},
    "ITimingCache": {"serialize", "combine", "reset"},
    "IProgressMonitor": {"phase_start", "phase_finish", "step_complete"},
    "ILogger": {"log", "Severity"},
}


@cache
def _lists() -> dict[str, Any]:
    return dict(json.loads(Path(__file__).with_name("api.json").read_text()))


VERSIONS: tuple[str, ...] = tuple(_lists()["versions"])


@cache
def members(version: str, kind: str) -> frozenset[str]:
    """Names in a class, or in the ``module``."""
    if kind in UNLISTED:
        return frozenset(UNLISTED[kind])
    groups = _lists()["names"][kind]
    return frozenset(
        name
        for versions, names in groups.items()
        if versions == "all" or version in versions.split()
        for name in names.split()
    )
