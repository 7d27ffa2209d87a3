"""Pictures for people: coloured masks, overlays, videos."""

from sartm_core.viz.masks import colorize, overlay, thermal_to_rgb

__all__ = ["colorize", "overlay", "thermal_to_rgb"]
