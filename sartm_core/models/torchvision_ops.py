"""Let timm be imported where torchvision came without its compiled operators.

timm imports torchvision, and torchvision registers shape functions for `nms` and `qnms` when it
is imported. On a CPU-only torch without a matching torchvision build these operators do not exist
and the import fails. Declaring them is enough: nothing here calls them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

_SCHEMA = "{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a library's operators live as long as the object


def ensure_torchvision_ops() -> None:
    """Declare torchvision's `nms` and `qnms` unless the installed torchvision brings them."""
    if _declared or _load_compiled():
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(_SCHEMA.format(name=name))  # type: ignore[no-untyped-call]
    _declared.append(library)


def _load_compiled() -> bool:
    """Whether torchvision's own operators are there after trying to load them."""
    spec = find_spec("torchvision")
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    for file in (file for folder in folders for file in folder.glob("_C*.*")):
        try:
            torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
        except OSError:  # built against another torch: the case this module is for
            continue
    return hasattr(torch.ops.torchvision, "nms")
