"""Data sets in `folder` layout: rgb/ thermal/ label/ classes.json and NAME.txt lists."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sartm_core.classes import CLASS_TABLES, IGNORE_ID, ClassInfo, ClassTable, spread_color
from sartm_core.data.paired import (
    FrameList,
    PairedFiles,
    Pictures,
    in_recording_order,
    read_lists,
    require_folders,
)
from sartm_core.errors import SartmError


def find(where: str) -> PairedFiles:
    """List a folder `where`: every NAME.txt is a split, label/ and classes.json may be missing."""
    root = Path(where)
    require_folders(
        root, ("rgb", "thermal"), "folder", "see `sartm synth --help` for a folder that works"
    )
    rgb, thermal = Pictures.of(root / "rgb"), Pictures.of(root / "thermal")
    label = Pictures.of(root / "label") if (root / "label").is_dir() else None
    if label and not label.files:
        label = None
    everything = FrameList(
        stems=in_recording_order(rgb, thermal), rgb=rgb, thermal=thermal, label=label
    )
    lists = read_lists(root, sorted(path.stem for path in root.glob("*.txt")))
    classes, ignore_id = _read_classes(root / "classes.json", has_labels=label is not None)
    return PairedFiles(
        root=root,
        classes=classes,
        lists={name: replace(everything, stems=stems) for name, stems in lists.items()},
        everything=everything,
        file_ignore_id=ignore_id,
    )


def _read_classes(path: Path, *, has_labels: bool) -> tuple[ClassTable, int]:
    """Return the class table of a classes.json and the id that its labels use for ignore."""
    if not path.exists() and not has_labels:
        return ClassTable("unlabelled", (ClassInfo(0, "unlabelled", (0, 0, 0)),)), IGNORE_ID
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        named = raw["classes"]
        names = tuple(str(named[str(index)]) for index in range(len(named)))
        palette = [_color(entry) for entry in raw.get("palette") or ()]
        ignore_id = IGNORE_ID if raw.get("ignore_id") is None else int(raw["ignore_id"])
        if palette and len(palette) != len(names):
            raise ValueError(f"{len(names)} classes, {len(palette)} colours in the palette")
        if not 0 <= ignore_id <= 255:
            raise ValueError(f"ignore_id {ignore_id}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SartmError(
            f"{path} is not a class table",
            got=f"{type(error).__name__}: {error}",
            expected='{"classes": {"0": NAME, "1": NAME, ...}, "palette": [[r, g, b], ...], '
            '"ignore_id": ID or null}, ids from 0 without gaps',
            remedy="write the file as `sartm synth` does",
        ) from error
    return _table(names, palette, path.parent.resolve().name), ignore_id


def _table(names: tuple[str, ...], palette: list[tuple[int, int, int]], folder: str) -> ClassTable:
    """A published table where the names are its names, else one of the folder's own."""
    for known in CLASS_TABLES.values():
        if known.names == names:
            return known
    colors = palette or [spread_color(index) for index in range(len(names))]
    return ClassTable(
        folder,
        tuple(
            ClassInfo(index, name, color, (name.replace("_", " "),) if index else ())
            for index, (name, color) in enumerate(zip(names, colors, strict=True))
        ),
    )


def _color(entry: Any) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in entry)
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"colour {entry}")
    return red, green, blue
