"""Data sets whose pictures lie in folders, paired by name: what all layouts on disk share.

A layout's `find` lists the files of a data set and requires nothing of them, so that `sartm data
check` can tell all that is wrong. `PairedFiles.open` refuses what training must not see.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from sartm_core.classes import IGNORE_ID, ClassTable
from sartm_core.data.images import list_images, read_ids, read_rgb, read_rgb_thermal, read_thermal
from sartm_core.data.sample import Sample, is_night
from sartm_core.data.splits import DEV, FIT, carve, recording_order
from sartm_core.errors import SartmError
from sartm_core.frames import Image, ThermalImage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """The pictures of one folder, by frame name."""

    folder: Path
    files: Mapping[str, Path]

    @classmethod
    def of(cls, folder: Path) -> Pictures:
        """List every PNG and JPEG picture in a folder."""
        return cls(folder, list_images(folder))


@dataclass(frozen=True, kw_only=True)
class FrameList:
    """Frames that belong together, and where their pictures lie.

    Attributes:
        stems: names of the frames, in the list's own order.
        rgb, thermal: folders; one and the same where a file holds both cameras (four channels).
        label: None where the data set has no labels.
    """

    stems: tuple[str, ...]
    rgb: Pictures
    thermal: Pictures
    label: Pictures | None

    @property
    def parts(self) -> dict[Path, Pictures]:
        """Folder -> its pictures, each folder once."""
        return {part.folder: part for part in (self.rgb, self.thermal, self.label) if part}

    def missing(self) -> dict[str, list[Path]]:
        """Frame -> the pictures, as FOLDER/NAME, that it lacks; complete frames are left out."""
        lacking = {
            stem: [part.folder / stem for part in self.parts.values() if stem not in part.files]
            for stem in self.stems
        }
        return {stem: paths for stem, paths in lacking.items() if paths}

    def repeated(self) -> list[str]:
        """Frames that the list names more than once."""
        return sorted(stem for stem, count in Counter(self.stems).items() if count > 1)


@dataclass(frozen=True, kw_only=True)
class PairedFiles:
    """A data set as it lies on disk, not checked yet.

    Attributes:
        root: its folder.
        classes: the ids of its labels.
        lists: split -> frames, as the data set brings them.
        everything: all frames, also those in no list; None where each split has a folder.
        file_ignore_id: the id that the files use for ignore.
        published: split -> number of frames in the published data set, where there is one.
        notes: what was skipped and why.
    """

    root: Path
    classes: ClassTable
    lists: Mapping[str, FrameList]
    everything: FrameList | None = None
    file_ignore_id: int = IGNORE_ID
    published: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def splits(self) -> tuple[str, ...]:
        """What `open` takes: the lists, and the parts of `train` where there is no such list."""
        carved = (FIT, DEV) if "train" in self.lists else ()
        return (*self.lists, *(split for split in carved if split not in self.lists))

    def frames(self, split: str | None) -> FrameList:
        """The frames of a split; None = everything.

        Raises:
            SartmError: no such split, `train` is too small to be cut into `fit` and `dev`, or
                everything of a published set, which would mix its test list into the rest.
        """
        if split is None and self.everything and not self.published:
            return self.everything
        if split is None or split not in self.splits:
            raise SartmError(
                f"{self.root} has no split '{split}'" if split else f"{self.root} needs a split",
                got=split or "none",
                expected="one of " + ", ".join(self.splits) if self.splits else "a file NAME.txt",
                remedy="name a listed split"
                + ("" if self.published else ", or leave --split out for all frames"),
            )
        if split in self.lists:
            return self.lists[split]
        train = self.lists["train"]
        fit, dev = carve(train.stems)
        return replace(train, stems=fit if split == FIT else dev)

    def open(self, split: str | None = None) -> PairedDataset:
        """The frames of a split as a data set.

        Raises:
            SartmError: no such split, a frame without all its pictures or listed twice, no frames.
        """
        frames = self.frames(split)
        for note in self.notes:
            _warn_once(f"{self.root}: {note}")
        if repeated := frames.repeated():
            raise SartmError(
                f"{self.root / f'{split}.txt'} names a frame twice",
                got=some(repeated),
                expected="each frame once",
                remedy="remove the second line: it would count twice in every score",
            )
        missing = [
            path.relative_to(self.root).as_posix()
            for paths in frames.missing().values()
            for path in paths
        ]
        if missing or not frames.stems:
            raise SartmError(
                f"{self.root} has frames without a partner"
                if missing
                else f"{self.root} has no frames",
                got=f"{len(missing)} missing: {some(missing)}" if missing else "no pictures",
                expected="a picture (png, jpg) of the same name in "
                + ", ".join(folder.relative_to(self.root).as_posix() for folder in frames.parts),
                remedy="add the files, or leave the frames out with a list and --split",
            )
        return PairedDataset(files=self, frames=frames, split=split)

    def read(self, frames: FrameList, stem: str) -> Sample:
        """Load one frame, its label checked against the class table and the picture's size."""
        path = frames.rgb.files[stem]
        thermal: ThermalImage
        if frames.rgb.folder == frames.thermal.folder:
            rgb, thermal = read_rgb_thermal(path)
        else:
            rgb, thermal = read_rgb(path), read_thermal(frames.thermal.files[stem])
        label = None
        if frames.label:
            label = self._read_label(frames.label.files[stem], path, rgb.shape)
        return Sample(stem=stem, rgb=rgb, thermal=thermal, label=label, night=is_night(stem))

    def _read_label(self, path: Path, picture: Path, shape: tuple[int, ...]) -> Image:
        label = read_ids(path)
        if label.shape != shape[:2]:
            raise SartmError(
                f"{path} does not fit {picture}",
                got=f"label {size(label.shape)}, picture {size(shape)}",
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
                f"{path} has labels that the class table '{self.classes.name}' does not name",
                got=f"id {', '.join(map(str, strangers[:8]))}",
                expected=f"0 to {len(self.classes) - 1}, or {IGNORE_ID} to ignore",
                remedy="correct the label, or the class table (classes.json of a folder)",
            )
        return label


@dataclass(frozen=True, kw_only=True)
class PairedDataset:
    """The complete frames of one split; reading is by name. A `sartm_core.data.sample.Dataset`."""

    files: PairedFiles
    frames: FrameList
    split: str | None

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def classes(self) -> ClassTable:
        return self.files.classes

    @property
    def stems(self) -> tuple[str, ...]:
        return self.frames.stems

    def read(self, stem: str) -> Sample:
        """Load one frame; raises SartmError naming the file that is missing or wrong."""
        if stem not in self.stems:
            raise SartmError(
                f"{self.files.root} has no frame '{stem}'",
                got=stem,
                expected=f"one of {len(self.stems)} names such as {self.stems[0]}",
                remedy="pick a name from the stems of the data set",
            )
        return self.files.read(self.frames, stem)


@cache
def _warn_once(message: str) -> None:
    """A run opens a data set several times; once is enough to know."""
    logger.warning(message)


def require_folders(root: Path, needed: Sequence[str], layout: str, remedy: str) -> None:
    """Refuse ROOT unless it has the folders of a layout."""
    for folder in needed:
        if not (root / folder).is_dir():
            raise SartmError(
                f"{root} is not a data set in {layout} layout",
                got=f"no folder {folder}/" if root.is_dir() else "no such folder",
                expected="folders " + ", ".join(f"{name}/" for name in needed),
                remedy=remedy,
            )


def read_lists(root: Path, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Split -> the frames that ROOT/SPLIT.txt names, one a line; files that are not there lack."""
    lists = {}
    for name in names:
        path = root / f"{name}.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            lists[name] = tuple(line.strip() for line in lines if line.strip())
    return lists


def in_recording_order(*parts: Pictures | None) -> tuple[str, ...]:
    """Every name that one of the folders has."""
    names = {stem for part in parts if part for stem in part.files}
    return tuple(sorted(names, key=recording_order))


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def size(shape: tuple[int, ...]) -> str:
    """WIDTHxHEIGHT of an array's shape."""
    return f"{shape[1]}x{shape[0]}"
