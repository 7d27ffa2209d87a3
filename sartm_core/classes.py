"""Class tables: ids, names, words for a text encoder, colours, and the ignore id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.errors import SartmError
from sartm_core.frames import Image

IGNORE_ID = 255


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class.

    Attributes:
        id: value in the mask, 0 to 254.
        name: identifier, as the data set spells it.
        color: (red, green, blue), 0 to 255.
        words: what a text encoder is told; empty for a class that has no word (background).
    """

    id: int
    name: str
    color: tuple[int, int, int]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The classes of a data set or a model, with ids 0, 1, 2, ... without gaps."""

    name: str
    classes: tuple[ClassInfo, ...]
    ignore_id: int = IGNORE_ID

    def __post_init__(self) -> None:
        ids = [info.id for info in self.classes]
        if ids != list(range(len(ids))) or not 1 <= len(ids) <= IGNORE_ID:
            raise SartmError(
                f"class table '{self.name}' has the wrong ids",
                got=ids,
                expected="0, 1, 2, ... without gaps, at most 255 classes",
            )
        if len(set(self.names)) != len(ids):
            raise SartmError(f"class table '{self.name}' names a class twice", got=self.names)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.classes)

    def by_name(self, name: str) -> ClassInfo:
        """The class called ``name``.

        Raises:
            SartmError: no such class; the choices are listed.
        """
        for info in self.classes:
            if info.name == name:
                return info
        raise SartmError(
            f"unknown class in '{self.name}'", got=repr(name), expected=", ".join(self.names)
        )

    def lookup(self) -> Image:
        """[256, 3] uint8: mask value to colour; values outside the table are mid grey."""
        table = np.full((256, 3), 127, np.uint8)
        for info in self.classes:
            table[info.id] = info.color
        return table


def _table(
    name: str, rows: Sequence[tuple[str, tuple[int, int, int], tuple[str, ...]]]
) -> ClassTable:
    return ClassTable(
        name,
        tuple(ClassInfo(i, label, color, words) for i, (label, color, words) in enumerate(rows)),
    )


_MFNET_ROWS = (
    ("unlabelled", (0, 0, 0), ()),
    ("car", (64, 0, 128), ("car",)),
    ("person", (64, 64, 0), ("person",)),
    ("bike", (0, 128, 192), ("bicycle",)),
    ("curve", (0, 0, 192), ("road curb", "kerb")),
    ("car_stop", (128, 128, 0), ("bollard", "parking block")),
    ("guardrail", (64, 64, 128), ("guard rail",)),
    ("color_cone", (192, 128, 128), ("traffic cone",)),
    ("bump", (192, 64, 0), ("speed bump",)),
)

MFNET = _table("mfnet", _MFNET_ROWS)
"""MFNet (Ha et al., IROS 2017): ids and colours of the published label images."""

MSRS = _table("msrs", _MFNET_ROWS)
"""MSRS (Tang et al., 2022): MFNet's scenes and classes."""

PST900 = _table(
    "pst900",
    (
        ("background", (0, 0, 0), ()),
        ("fire_extinguisher", (0, 0, 255), ("fire extinguisher",)),
        ("backpack", (0, 255, 0), ("backpack",)),
        ("hand_drill", (255, 0, 0), ("hand drill", "power drill")),
        ("survivor", (255, 255, 255), ("survivor", "person")),
    ),
)
"""PST900 (Shivakumar et al., ICRA 2020)."""

FMB = _table(
    "fmb",
    (
        ("unlabelled", (0, 0, 0), ()),
        ("road", (179, 228, 228), ("road",)),
        ("sidewalk", (181, 57, 133), ("sidewalk",)),
        ("building", (67, 162, 177), ("building",)),
        ("traffic_light", (200, 178, 50), ("traffic light",)),
        ("traffic_sign", (132, 45, 199), ("traffic sign",)),
        ("vegetation", (66, 172, 84), ("vegetation",)),
        ("sky", (179, 73, 79), ("sky",)),
        ("person", (76, 99, 166), ("person",)),
        ("car", (66, 121, 253), ("car",)),
        ("truck", (137, 165, 91), ("truck",)),
        ("bus", (155, 97, 152), ("bus",)),
        ("motorcycle", (105, 153, 140), ("motorcycle",)),
        ("bicycle", (222, 215, 158), ("bicycle",)),
        ("pole", (135, 113, 90), ("pole",)),
    ),
)
"""FMB (Liu et al., ICCV 2023)."""

CLASS_TABLES = {table.name: table for table in (MFNET, PST900, FMB, MSRS)}


def class_table(name: str) -> ClassTable:
    """The table called ``name``: mfnet, pst900, fmb or msrs, or several merged: ``mfnet+pst900``,
    or one that is written out, see :func:`write_out`.

    Raises:
        SartmError: no such table; the choices are listed.
    """
    if name.startswith("{"):
        table = json.loads(name)
        return read_table(table["name"], table["classes"])
    if "+" in name:
        return merge_tables([class_table(part) for part in name.split("+")], name).table
    if name not in CLASS_TABLES:
        raise SartmError("unknown class table", got=repr(name), expected=", ".join(CLASS_TABLES))
    return CLASS_TABLES[name]


def class_rows(table: ClassTable) -> list[dict[str, Any]]:
    """The classes as plain values: id, name, color, words."""
    return [
        {**asdict(info), "color": [*info.color], "words": [*info.words]} for info in table.classes
    ]


def read_table(name: str, rows: Iterable[Mapping[str, Any]]) -> ClassTable:
    """The table of what :func:`class_rows` gave; ``words`` may be missing.

    Raises:
        ValueError, KeyError, TypeError: these are no such rows.
        SartmError: their ids have gaps, or a name is there twice.
    """
    classes = []
    for row in rows:
        number, own_name = int(row["id"]), str(row["name"])
        red, green, blue = (int(value) for value in row["color"])
        words = tuple(str(word) for word in row.get("words", ()))
        classes.append(ClassInfo(number, own_name, (red, green, blue), words))
    return ClassTable(str(name), tuple(classes))


def write_out(table: ClassTable) -> str:
    """A name by which :func:`class_table` finds any table: a published one's own, or the table
    itself as JSON."""
    if CLASS_TABLES.get(table.name) == table:
        return table.name
    return json.dumps({"name": table.name, "classes": class_rows(table)})


@dataclass(frozen=True, slots=True)
class MergedTables:
    """Several class tables as one, for training on data sets that label different things.

    Attributes:
        table: all classes; class 0 is everybody's background.
        lookups: for each source, uint8 [256]: its id to the merged id; 255 and what the source
            does not name give 255.
        labelled: for each source, bool [C]: the merged classes that it labels. A pixel that the
            source calls 0 may be any class that is False here.
    """

    table: ClassTable
    lookups: tuple[Image, ...]
    labelled: tuple[npt.NDArray[np.bool_], ...]


def merge_tables(tables: Sequence[ClassTable], name: str = "merged") -> MergedTables:
    """Join class tables: classes of the same first word are one, in order of first appearance.

    MFNet's ``bike`` and FMB's ``bicycle`` are both called "bicycle" first and become one class
    with the first one's name and colour and the words of both. A class without words goes by its
    name. A name or colour that is taken by another class is changed.

    Args:
        tables: at least one.
        name: of the merged table.

    Raises:
        SartmError: no table, two classes of one table with the same first word, or more than 255
            classes.
    """
    if not tables:
        raise SartmError("no class tables to merge", expected="one or more")
    merged: dict[str, ClassInfo] = {}
    for table in tables:
        keys = _keys(table)
        for key, info in zip(keys, table.classes, strict=True):
            if key in merged:
                known = merged[key]
                words = tuple(dict.fromkeys((*known.words, *info.words)))
                merged[key] = replace(known, words=words)
            else:
                merged[key] = _fit_in(info, table.name, list(merged.values()))
    ids = {key: info.id for key, info in merged.items()}
    lookups = [np.full(256, IGNORE_ID, np.uint8) for _ in tables]
    labelled = [np.zeros(len(merged), bool) for _ in tables]
    for table, lookup, has in zip(tables, lookups, labelled, strict=True):
        for key, info in zip(_keys(table), table.classes, strict=True):
            lookup[info.id] = ids[key]
            has[ids[key]] = True
    return MergedTables(ClassTable(name, tuple(merged.values())), tuple(lookups), tuple(labelled))


def spread_color(index: int) -> tuple[int, int, int]:
    """PASCAL VOC's palette: the bits of 0..255, spread over red, green and blue."""
    red, green, blue = (
        sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
        for channel in range(3)
    )
    return red, green, blue


def _keys(table: ClassTable) -> list[str]:
    """What each class is joined by: the first word, "" for class 0."""
    keys = [(*info.words, info.name.replace("_", " "))[0].casefold() for info in table.classes]
    keys[0] = ""
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise SartmError(
            f"class table '{table.name}' cannot be merged",
            got=f"several classes called '{twice[0]}'",
            expected="a first word of its own for each class",
            remedy="give one of them another first word",
        )
    return keys


def _fit_in(info: ClassInfo, source: str, taken: Sequence[ClassInfo]) -> ClassInfo:
    """The class with the next id, and a name and colour that nobody has yet."""
    names = {other.name for other in taken}
    colors = {other.color for other in taken}
    choices = (info.color, *(spread_color(index) for index in range(256)))
    return ClassInfo(
        id=len(taken),
        name=f"{source}_{info.name}" if info.name in names else info.name,
        color=next(color for color in choices if color not in colors),
        words=info.words,
    )
