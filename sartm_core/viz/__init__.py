"""Pictures for people: coloured masks, overlays, videos."""

from sartm_core.viz.masks import colorize, display_color, overlay, thermal_to_rgb

__all__ = ["colorize", "display_color", "overlay", "thermal_to_rgb"]
