"""Masks and thermal images as people look at them."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.frames import Image

_OPACITY = 0.55
_DISPLAY_COLORS = (
    (31, 119, 255),
    (255, 64, 64),
    (60, 220, 80),
    (0, 215, 225),
    (255, 205, 0),
    (185, 95, 255),
    (255, 135, 0),
    (255, 120, 195),
    (170, 255, 60),
    (150, 105, 75),
    (120, 160, 200),
    (235, 235, 235),
)
"""Overlays use these in turn: published palettes are too dark at night and too alike in hue."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def colorize(mask: Image, classes: ClassTable) -> Image:
    """Paint class ids with the table's colours.

    Args:
        mask: HxW uint8 class ids; 255 = unlabelled.

    Returns:
        HxWx3 uint8, RGB order; values outside the table are mid grey.
    """
    return classes.lookup()[mask]


def thermal_to_rgb(thermal: Image) -> Image:
    """A normalised thermal image in the inferno colour map.

    Args:
        thermal: HxW uint8.

    Returns:
        HxWx3 uint8, RGB order; warm = bright.
    """
    bgr = cv2.applyColorMap(thermal, cv2.COLORMAP_INFERNO)
    return cast(Image, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def overlay(rgb: Image, mask: Image, classes: ClassTable, *, legend: bool = True) -> Image:
    """The mask laid over the image, each region outlined, with the names of the classes seen.

    Class 0 (background) and 255 (unlabelled) stay clear. The colours are not the table's: they are
    chosen to be told apart on dark and bright images; the legend names them.

    Args:
        rgb: HxWx3 uint8, RGB order.
        mask: HxW uint8 class ids.
        legend: whether to name the classes in the picture.

    Returns:
        HxWx3 uint8, RGB order.
    """
    seen = [info for info in classes.classes[1:] if np.any(mask == info.id)]
    painted = rgb.copy()
    for info in seen:
        region = (mask == info.id).astype(np.uint8)
        where = region.astype(bool)
        color = np.array(display_color(info.id))
        painted[where] = ((1 - _OPACITY) * rgb[where] + _OPACITY * color).astype(np.uint8)
        outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(painted, outlines, -1, tuple(map(int, color)), 1, cv2.LINE_AA)
    if legend and seen:
        _draw_legend(painted, [(info.name, display_color(info.id)) for info in seen])
    return painted


def display_color(class_id: int) -> tuple[int, int, int]:
    """The colour (red, green, blue) that overlays and their legends give a class other than 0."""
    return _DISPLAY_COLORS[(class_id - 1) % len(_DISPLAY_COLORS)]


def _draw_legend(picture: Image, entries: list[tuple[str, tuple[int, int, int]]]) -> None:
    scale = max(0.4, picture.shape[0] / 1200)
    (_, line), _ = cv2.getTextSize("Ag", _FONT, scale, 1)
    line = int(line * 1.9)
    width = max(cv2.getTextSize(name, _FONT, scale, 1)[0][0] for name, _ in entries) + 2 * line
    height = min(line * len(entries) + line // 2, picture.shape[0])
    width = min(width, picture.shape[1])
    picture[-height:, :width] = picture[-height:, :width] // 3
    for row, (name, color) in enumerate(entries):
        y = picture.shape[0] - height + line // 4 + row * line
        cv2.rectangle(picture, (line // 3, y + 3), (line, y + line - 3), color, cv2.FILLED)
        place = (line + line // 3, y + int(line * 0.72))
        cv2.putText(picture, name, place, _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
