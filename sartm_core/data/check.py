"""What is wrong with data sets, and what a list of their frames holds.

Problems make a score or a training wrong: incomplete, unreadable or doubly listed frames, labels
outside the class table, sizes that differ. Warnings are for a person to judge: near-duplicates
between lists, other numbers of frames than published, blank pictures.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID
from sartm_core.data import alignment
from sartm_core.data.alignment import Surface, common_shift, edge_correlation
from sartm_core.data.datasets import find_files
from sartm_core.data.duplicates import Match, Signature, near_duplicates, signature
from sartm_core.data.paired import FrameList, PairedFiles, size, some
from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.thermal import normalise

SCHEMA_VERSION = 1
ALL = "all"
"""How a folder without lists calls its frames."""

_LABELS_AGREE = 0.95

Key = tuple[str, Path]
"""A frame: KIND:PATH and a path in it; the same in every list that names the frame."""


@dataclass(frozen=True, eq=False)
class CheckedList:
    """One list of one data set.

    Attributes:
        spec: KIND:PATH of the data set.
        title: DATA SET/LIST, as reports call it.
    """

    spec: str
    title: str
    split: str
    files: PairedFiles
    frames: FrameList

    @property
    def keys(self) -> list[Key]:
        """One for each frame."""
        return [(self.spec, self.frames.rgb.folder / stem) for stem in self.frames.stems]


@dataclass(frozen=True, eq=False)
class FrameFacts:
    """What is kept of a frame that was read.

    Attributes:
        rgb_size, thermal_size: (height, width).
        pixels: int64 [256], pixels of each id; None without a label.
        edges: for a few dozen frames of each list, see `sartm_core.data.alignment`.
    """

    rgb_size: tuple[int, int]
    thermal_size: tuple[int, int]
    pixels: npt.NDArray[np.int64] | None
    signature: Signature
    edges: Surface | None


@dataclass
class CheckResult:
    """What was found. `facts` has the frames that could be read, by key."""

    lists: Sequence[CheckedList]
    facts: dict[Key, FrameFacts] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    duplicates: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "ok": not self.problems,
            "problems": self.problems,
            "warnings": self.warnings,
            "lists": [describe(entry, self.facts) for entry in self.lists],
            "near_duplicates": self.duplicates,
        }


def open_lists(specs: Sequence[str], splits: Sequence[str] = ()) -> list[CheckedList]:
    """The lists to check.

    Args:
        specs: KIND:PATH, each once.
        splits: the lists to look at, also `fit` and `dev`; none = those that the sets bring, or
            all frames where there is none. Each must be in one of the sets at least.

    Raises:
        SartmError: no data set there, or no such split.
    """
    sets = {spec: find_files(spec) for spec in specs}
    if len(sets) < len(specs):
        raise SartmError("a data set is named twice", got=", ".join(specs), expected="each once")
    known = {split for files in sets.values() for split in files.splits}
    if unknown := [split for split in splits if split not in known]:
        raise SartmError(
            "no data set has the split " + unknown[0],
            got=", ".join(splits),
            expected="of " + ", ".join(sorted(known))
            if known
            else "no --split: there are no lists",
        )
    names = Counter(files.name for files in sets.values())
    lists = []
    for spec, files in sets.items():
        name = files.name if names[files.name] == 1 else spec
        chosen: list[str | None] = [split for split in splits if split in files.splits]
        if not splits:
            chosen = [*files.lists] or [None]
        lists += [
            CheckedList(
                spec=spec,
                title=f"{name}/{split or ALL}",
                split=split or ALL,
                files=files,
                frames=files.frames(split),
            )
            for split in chosen
        ]
    return lists


def check(lists: Sequence[CheckedList], advance: Callable[[], None]) -> CheckResult:
    """Read every frame of the lists once and tell what is wrong.

    Args:
        lists: from `open_lists`.
        advance: called after each of `count_frames(lists)` frames.
    """
    result = CheckResult(lists)
    for files in {entry.spec: entry.files for entry in lists}.values():
        result.warnings += [f"{files.name}: {note}" for note in files.notes]
        _check_unlisted(files, result)
    for entry in lists:
        _check_files(entry, result)
    _read_frames(result, advance)
    for entry in lists:
        _check_pictures(entry, result)
        _check_alignment(entry, result)
    for first, second in combinations(lists, 2):
        _compare(first, second, result)
    return result


def count_frames(lists: Sequence[CheckedList]) -> int:
    """How many frames `check` reads."""
    return len(_complete(lists))


def describe(entry: CheckedList, facts: dict[Key, FrameFacts]) -> dict[str, Any]:
    """What a list holds, of the frames that could be read."""
    read = [facts[key] for key in entry.keys if key in facts]
    pixels = [frame.pixels for frame in read if frame.pixels is not None]
    counts = np.stack(pixels) if pixels else np.zeros((0, 256), np.int64)
    night = sum(stem.endswith("N") for stem in entry.frames.stems)
    day = sum(stem.endswith("D") for stem in entry.frames.stems)
    return {
        "data": entry.spec,
        "list": entry.split,
        "title": entry.title,
        "frames": len(entry.frames.stems),
        "read": len(read),
        "labelled": len(pixels),
        "day": day,
        "night": night,
        "untold": len(entry.frames.stems) - day - night,
        "rgb_sizes": dict(Counter(size(frame.rgb_size) for frame in read)),
        "thermal_sizes": dict(Counter(size(frame.thermal_size) for frame in read)),
        "classes": {
            info.name: {
                "pixels": int(counts[:, info.id].sum()),
                "frames": int((counts[:, info.id] > 0).sum()),
            }
            for info in entry.files.classes.classes
        },
        "ignored_pixels": int(counts[:, IGNORE_ID].sum()),
        "thermal_shift": common_shift([frame.edges for frame in read if frame.edges is not None]),
    }


def _complete(lists: Sequence[CheckedList]) -> dict[Key, tuple[CheckedList, str]]:
    """Key -> list and name of every frame that has all its pictures."""
    frames = {}
    for entry in lists:
        missing = entry.frames.missing()
        for key, stem in zip(entry.keys, entry.frames.stems, strict=True):
            if stem not in missing:
                frames[key] = (entry, stem)
    return frames


def _check_files(entry: CheckedList, result: CheckResult) -> None:
    frames = entry.frames
    if not frames.stems:
        result.problems.append(f"{entry.title} has no frames")
    if repeated := frames.repeated():
        result.problems.append(f"{entry.title} names frames twice: {some(repeated)}")
    missing = frames.missing()
    for folder in frames.parts:
        lacking = [stem for stem, paths in missing.items() if folder / stem in paths]
        if lacking:
            result.problems.append(
                f"{entry.title}: {len(lacking)} without a picture in {folder}: {some(lacking)}"
            )
    published = entry.files.published.get(entry.split)
    if published is not None and published != len(frames.stems):
        result.warnings.append(
            f"{entry.title} has {len(frames.stems)} frames, the published list {published}"
        )


def _check_unlisted(files: PairedFiles, result: CheckResult) -> None:
    """Frames that no list names: forgotten, or meant."""
    if files.everything and files.lists:
        listed = {stem for frames in files.lists.values() for stem in frames.stems}
        left = [stem for stem in files.everything.stems if stem not in listed]
        if left:
            result.warnings.append(f"{files.name}: {len(left)} in no list: {some(left)}")


def _read_frames(result: CheckResult, advance: Callable[[], None]) -> None:
    frames = _complete(result.lists)
    sampled: set[Key] = set()
    for entry in result.lists:
        sampled.update(entry.keys[:: max(1, len(entry.keys) // alignment.FRAMES)])

    def read(key: Key) -> FrameFacts | SartmError:
        entry, stem = frames[key]
        try:
            return _facts(entry.files.read(entry.frames, stem), with_edges=key in sampled)
        except SartmError as error:
            return error

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for key, facts in zip(frames, pool.map(read, frames), strict=True):
            if isinstance(facts, SartmError):
                result.problems.append(str(facts))
            else:
                result.facts[key] = facts
            advance()


def _facts(sample: Sample, *, with_edges: bool) -> FrameFacts:
    thermal = normalise(sample.thermal, valid=sample.thermal_valid)
    label = sample.label
    return FrameFacts(
        rgb_size=(sample.rgb.shape[0], sample.rgb.shape[1]),
        thermal_size=(thermal.shape[0], thermal.shape[1]),
        pixels=None if label is None else np.bincount(label.ravel(), minlength=256),
        signature=signature(sample.rgb, thermal, label),
        edges=edge_correlation(sample.rgb, thermal) if with_edges else None,
    )


def _check_pictures(entry: CheckedList, result: CheckResult) -> None:
    sizes, blank = [], []
    for key, stem in zip(entry.keys, entry.frames.stems, strict=True):
        facts = result.facts.get(key)
        if facts is None:
            continue
        if facts.rgb_size != facts.thermal_size:
            sizes.append(f"{stem} ({size(facts.rgb_size)} and {size(facts.thermal_size)})")
        if not facts.signature.rgb.any() or not facts.signature.thermal.any():
            blank.append(stem)
    if sizes:
        result.problems.append(
            f"{entry.title}: {len(sizes)} with RGB and thermal of different size: {some(sizes)}"
        )
    if blank:
        result.warnings.append(f"{entry.title}: blank RGB or thermal images: {some(blank)}")


def _check_alignment(entry: CheckedList, result: CheckResult) -> None:
    shift = describe(entry, result.facts)["thermal_shift"]
    if shift and max(map(abs, shift)) > alignment.TOLERANCE:
        right, down = (100 * part for part in shift)
        result.warnings.append(
            f"{entry.title}: thermal lies about {right:+.1f} % of the width to the right of RGB "
            f"and {down:+.1f} % of the height below it; register it before training"
        )


def _compare(first: CheckedList, second: CheckedList, result: CheckResult) -> None:
    """Common frames and near-duplicates of two lists, unless one is a part of the other."""
    common = {*first.keys} & {*second.keys}
    if common in ({*first.keys}, {*second.keys}):
        return
    if common:
        stems = sorted(key[1].name for key in common)
        result.problems.append(
            f"both {first.title} and {second.title} name {len(stems)}: {some(stems)}"
        )
    short, long = sorted((first, second), key=lambda entry: len(entry.frames.stems))
    frames = [key for key in short.keys if key in result.facts and key not in common]
    others = [key for key in long.keys if key in result.facts]
    matches = near_duplicates(
        [result.facts[key].signature for key in frames],
        [result.facts[key].signature for key in others],
    )
    if matches:
        result.duplicates.append(_describe_matches(short, long, matches, frames, others))
        result.warnings += _matches_in_words(result.duplicates[-1], len(short.frames.stems))


def _describe_matches(
    short: CheckedList,
    long: CheckedList,
    matches: Sequence[Match],
    frames: Sequence[Key],
    others: Sequence[Key],
) -> dict[str, Any]:
    same_ids = short.files.classes.names == long.files.classes.names
    return {
        "list": short.title,
        "other": long.title,
        "frames": len(matches),
        "same": sum(match.same for match in matches),
        "pairs": [
            {
                "frame": frames[match.frame][1].name,
                "other": others[match.other][1].name,
                "distance": round(match.distance, 4),
                "same": match.same,
                "label_agreement": match.label_agreement if same_ids else None,
            }
            for match in sorted(matches, key=lambda match: match.distance)
        ],
    }


def _matches_in_words(found: dict[str, Any], total: int) -> list[str]:
    names = [
        f"{pair['frame']} {'=' if pair['same'] else '~'} {pair['other']}" for pair in found["pairs"]
    ]
    lines = [
        f"{found['frames']} of {total} frames of {found['list']} nearly stand in {found['other']}, "
        f"{found['same']} of them as the same picture: {some(names)}"
    ]
    differing = [
        f"{pair['frame']} and {pair['other']} ({pair['label_agreement']:.2f})"
        for pair in found["pairs"]
        if pair["same"]
        and pair["label_agreement"] is not None
        and pair["label_agreement"] < _LABELS_AGREE
    ]
    if differing:
        lines.append(
            f"the same pictures have other labels in {found['list']} and {found['other']}: "
            + some(differing)
        )
    return lines
