"""Data sets with a folder for each split: ROOT/{train,test}/{RGB,THERMAL,LABEL}/NAME.png."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sartm_core.classes import ClassTable
from sartm_core.data.paired import (
    FrameList,
    PairedFiles,
    Pictures,
    in_recording_order,
    require_folders,
)


def find_split_folders(
    root: Path,
    classes: ClassTable,
    *,
    rgb: str,
    thermal: str,
    label: str,
    published: Mapping[str, int],
) -> PairedFiles:
    """List a data set whose splits are folders; a split that was not downloaded may be missing.

    Args:
        root: folder of the data set.
        classes: the published ids.
        rgb, thermal, label: folders inside each split.
        published: split -> number of frames.

    Raises:
        SartmError: no split, or one without all its folders.
    """
    present = [split for split in published if (root / split).is_dir()] or list(published)
    require_folders(
        root,
        [f"{split}/{part}" for split in present for part in (rgb, thermal, label)],
        classes.name,
        f"unpack the published archive as it is and name the folder that holds {present[0]}/",
    )
    return PairedFiles(
        root=root,
        classes=classes,
        lists={split: _list(root / split, rgb, thermal, label) for split in present},
        published=published,
    )


def _list(folder: Path, rgb: str, thermal: str, label: str) -> FrameList:
    pictures = [Pictures.of(folder / part) for part in (rgb, thermal, label)]
    return FrameList(
        stems=in_recording_order(*pictures),
        rgb=pictures[0],
        thermal=pictures[1],
        label=pictures[2],
    )
