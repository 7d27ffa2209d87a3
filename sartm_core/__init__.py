"""sartm: semantic masks from synchronised RGB and thermal cameras.

>>> import sartm_core as sartm
>>> segment = sartm.load("sartm-s")
>>> result = segment(rgb, thermal)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sartm_core.errors import SartmError

if TYPE_CHECKING:
    from sartm_core.frames import RgbThermalFrame, Segmentation
    from sartm_core.segmenter import Segmenter, load

__version__ = "0.1.0"
__all__ = ["RgbThermalFrame", "SartmError", "Segmentation", "Segmenter", "__version__", "load"]

_HOMES = {
    "RgbThermalFrame": "sartm_core.frames",
    "Segmentation": "sartm_core.frames",
    "Segmenter": "sartm_core.segmenter",
    "load": "sartm_core.segmenter",
}


def __getattr__(name: str) -> Any:
    """Load the public names on first use: ``import sartm_core`` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
