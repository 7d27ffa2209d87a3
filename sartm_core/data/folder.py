"""Data sets in `folder` layout: rgb/ thermal/ label/ classes.json and NAME.txt lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.classes import CLASS_TABLES, IGNORE_ID, ClassInfo, ClassTable
from sartm_core.data.images import list_images, read_ids, read_rgb, read_thermal
from sartm_core.data.sample import Sample, is_night
from sartm_core.errors import SartmError


@dataclass(frozen=True, kw_only=True)
class FolderDataset:
    """A folder of paired files; opening it lists every file once, reading is by stem."""

    root: Path
    name: str
    classes: ClassTable
    stems: tuple[str, ...]
    split: str | None
    rgb: Mapping[str, Path]
    thermal: Mapping[str, Path]
    label: Mapping[str, Path]
    file_ignore_id: int

    @classmethod
    def open(cls, root: Path, split: str | None = None) -> FolderDataset:
        """Open ROOT, checking that each frame of the split has all its files."""
        for need in ("rgb", "thermal"):
            if not (root / need).is_dir():
                raise SartmError(
                    f"{root} is not a data set in folder layout",
                    got=f"no folder {need}/" if root.is_dir() else "no such folder",
                    expected="folders rgb/ and thermal/ (and label/, classes.json, NAME.txt)",
                    remedy="see `sartm synth --help` for a folder that works",
                )
        rgb, thermal = list_images(root / "rgb"), list_images(root / "thermal")
        label = list_images(root / "label") if (root / "label").is_dir() else {}
        stems = _read_list(root, split) if split else tuple(sorted(rgb.keys() | thermal.keys()))
        parts = {"rgb": rgb, "thermal": thermal, **({"label": label} if label else {})}
        missing = [f"{part}/{stem}" for stem in stems for part in parts if stem not in parts[part]]
        if missing or not stems:
            raise SartmError(
                f"{root} has frames without a partner" if missing else f"{root} has no frames",
                got=f"{len(missing)} missing: {_some(missing)}" if missing else "no pictures",
                expected="a picture (png, jpg) of the same name in " + ", ".join(parts),
                remedy="add the files, or leave the frames out with a NAME.txt list and --split",
            )
        classes, ignore_id = _read_classes(root / "classes.json", has_labels=bool(label))
        return cls(
            root=root,
            name=root.resolve().name,
            classes=classes,
            stems=stems,
            split=split,
            rgb=rgb,
            thermal=thermal,
            label=label,
            file_ignore_id=ignore_id,
        )

    def read(self, stem: str) -> Sample:
        """Load one frame, its label checked against the class table and the picture's size."""
        if stem not in self.rgb:
            raise SartmError(
                f"{self.root} has no frame '{stem}'",
                got=stem,
                expected=f"one of {len(self.rgb)} names such as {self.stems[0]}",
                remedy="pick a name from the stems of the data set",
            )
        rgb = read_rgb(self.rgb[stem])
        thermal = read_thermal(self.thermal[stem])
        label = None
        if stem in self.label:
            path = self.label[stem]
            label = read_ids(path)
            if label.shape != rgb.shape[:2]:
                raise SartmError(
                    f"{path} does not fit {self.rgb[stem]}",
                    got=f"label {_size(label.shape)}, picture {_size(rgb.shape)}",
                    expected="the same size",
                    remedy="label at the picture's own size (resize labels with nearest only)",
                )
            if self.file_ignore_id != IGNORE_ID:
                label[label == self.file_ignore_id] = IGNORE_ID
            known = np.zeros(256, dtype=bool)
            known[[*range(len(self.classes)), IGNORE_ID]] = True
            strangers = np.unique(label[~known[label]])
            if strangers.size:
                raise SartmError(
                    f"{path} has labels that {self.root / 'classes.json'} does not name",
                    got=f"id {', '.join(map(str, strangers[:8]))}",
                    expected=f"0 to {len(self.classes) - 1}, or {IGNORE_ID} to ignore",
                    remedy="correct the label, or name the class in classes.json",
                )
        return Sample(stem=stem, rgb=rgb, thermal=thermal, label=label, night=is_night(stem))


def _read_list(root: Path, split: str) -> tuple[str, ...]:
    choices = sorted(path.stem for path in root.glob("*.txt"))
    if split not in choices:
        raise SartmError(
            f"{root} has no split '{split}'",
            got=split,
            expected="one of " + ", ".join(choices) if choices else "a file NAME.txt",
            remedy="choose a listed split, or leave --split out for all frames",
        )
    lines = (root / f"{split}.txt").read_text(encoding="utf-8").splitlines()
    stems = tuple(line.strip() for line in lines if line.strip())
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise SartmError(
            f"{root / f'{split}.txt'} names a frame twice",
            got=_some(twice),
            expected="each frame once",
            remedy="remove the second line: it would count twice in every score",
        )
    return stems


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
    colors = palette or [_spread_color(index) for index in range(len(names))]
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


def _spread_color(index: int) -> tuple[int, int, int]:
    """PASCAL VOC's palette: the bits of the id, spread over red, green and blue."""
    red, green, blue = (
        sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
        for channel in range(3)
    )
    return red, green, blue


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
