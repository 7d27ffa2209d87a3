"""Frames of data sets at one glance: RGB, thermal, and the label over the RGB image."""

from __future__ import annotations

import cv2
import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.data.check import CheckedList, CheckResult
from sartm_core.data.sample import Sample
from sartm_core.frames import Image
from sartm_core.thermal import normalise
from sartm_core.viz import display_color, overlay, thermal_to_rgb

FRAMES = 24
"""About as many are shown, shared by the lists; each class that a list has is among them."""

_TILE_WIDTH = 200
_ACROSS = 3
_GAP = 6
_LINE = 20
_PAPER = 24
_INK = (235, 235, 235)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.42
_WIDTH = _ACROSS * (3 * _TILE_WIDTH + 2 * _GAP)


def contact_sheet(result: CheckResult) -> Image:
    """A picture of the frames that could be read.

    Returns:
        HxWx3 uint8, RGB order: for each list a heading, a legend, and rows of frames.
    """
    lists = [entry for entry in result.lists if any(key in result.facts for key in entry.keys)]
    rows = max(1, round(FRAMES / (_ACROSS * max(1, len(lists)))))
    strips = [strip for entry in lists for strip in _section(entry, result, rows * _ACROSS)]
    return np.concatenate(strips or [_line("no frame could be read")])


def choose(entry: CheckedList, result: CheckResult, count: int) -> list[str]:
    """Frames spread over a list, and for each class that they lack the one that shows it best."""
    facts = {
        stem: result.facts[key]
        for key, stem in zip(entry.keys, entry.frames.stems, strict=True)
        if key in result.facts
    }
    stems = list(facts)
    places = np.linspace(0, len(stems) - 1, min(count, len(stems))).round().astype(int)
    chosen = {stems[place] for place in places}
    for info in entry.files.classes.classes[1:]:
        pixels = {
            stem: int(frame.pixels[info.id])
            for stem, frame in facts.items()
            if frame.pixels is not None
        }
        best = max(pixels, key=lambda stem: pixels[stem], default=None)
        if best and pixels[best] and not any(pixels[stem] for stem in chosen):
            chosen.add(best)
    return [stem for stem in stems if stem in chosen]


def _section(entry: CheckedList, result: CheckResult, count: int) -> list[Image]:
    """Strips of the sheet's width: heading, legend, rows of frames."""
    stems = choose(entry, result, count)
    triplets = [_triplet(entry.files.read(entry.frames, stem), entry) for stem in stems]
    tall = max(triplet.shape[0] for triplet in triplets)
    blank = np.full((tall, _WIDTH // _ACROSS, 3), _PAPER, np.uint8)
    rows = []
    for start in range(0, len(triplets), _ACROSS):
        row = [_pad(triplet, tall) for triplet in triplets[start : start + _ACROSS]]
        rows.append(np.concatenate(row + [blank] * (_ACROSS - len(row)), axis=1))
    heading = f"{entry.title}: {len(stems)} of {len(entry.frames.stems)} frames"
    legend = [_legend(entry.files.classes)] if entry.frames.label else []
    return [_line(heading), *legend, *rows]


def _triplet(sample: Sample, entry: CheckedList) -> Image:
    """The frame's name above RGB, thermal and the label, side by side."""
    height = round(_TILE_WIDTH * sample.rgb.shape[0] / sample.rgb.shape[1])
    thermal = thermal_to_rgb(normalise(sample.thermal, valid=sample.thermal_valid))
    pictures = [sample.rgb, thermal]
    if sample.label is not None:
        pictures.append(overlay(sample.rgb, sample.label, entry.files.classes, legend=False))
    tiles = [
        np.asarray(cv2.resize(picture, (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA))
        for picture in pictures
    ]
    tiles += [np.full_like(tiles[0], _PAPER)] * (3 - len(tiles))
    picture = np.full((_LINE + height + _GAP, 3 * _TILE_WIDTH + 2 * _GAP, 3), _PAPER, np.uint8)
    picture[_LINE : _LINE + height, _GAP:-_GAP] = np.concatenate(tiles, axis=1)
    _write(picture, sample.stem, _GAP)
    return picture


def _legend(classes: ClassTable) -> Image:
    """The colours of the labels, in as many lines as it takes."""
    lines = [_line("")]
    x = _GAP
    for info in classes.classes[1:]:
        (width, _), _ = cv2.getTextSize(info.name, _FONT, _SCALE, 1)
        if x + width + 40 > _WIDTH:
            lines.append(_line(""))
            x = _GAP
        cv2.rectangle(lines[-1], (x, 4), (x + 14, 16), display_color(info.id), cv2.FILLED)
        _write(lines[-1], info.name, x + 20)
        x += width + 40
    return np.concatenate(lines)


def _line(text: str) -> Image:
    """One line of text over the sheet's width."""
    picture = np.full((_LINE, _WIDTH, 3), _PAPER, np.uint8)
    _write(picture, text, _GAP)
    return picture


def _write(picture: Image, text: str, x: int) -> None:
    cv2.putText(picture, text, (x, _LINE - 6), _FONT, _SCALE, _INK, 1, cv2.LINE_AA)


def _pad(picture: Image, height: int) -> Image:
    """The picture with paper below it."""
    below = ((0, height - picture.shape[0]), (0, 0), (0, 0))
    return np.pad(picture, below, constant_values=_PAPER)
