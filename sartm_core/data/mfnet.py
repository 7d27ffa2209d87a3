"""MFNet (Ha et al., IROS 2017): `mfnet:PATH`, as published.

PATH/images/NNNNND.png (day) and NNNNNN.png (night) are RGBA, thermal being the fourth channel;
PATH/labels/ has the same names, ids 0 to 8; the lists train, val, test, test_day and test_night
are PATH/LIST.txt. 784, 392 and 393 pairs, 640x480.

RTFNet's copy of the set adds mirrored pictures, NAME_flip. They are skipped, in the lists and in
the folders: augmentation mirrors, and a mirrored test frame would count twice.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sartm_core.classes import MFNET
from sartm_core.data.paired import (
    FrameList,
    PairedFiles,
    Pictures,
    in_recording_order,
    read_lists,
    require_folders,
)
from sartm_core.errors import SartmError

_LISTS = ("train", "val", "test", "test_day", "test_night")
_MIRRORED = "_flip"


def find(where: str) -> PairedFiles:
    """List the data set at the path `where`."""
    root = Path(where)
    require_folders(
        root, ("images", "labels"), "mfnet", "unpack the published archive, lists included"
    )
    images, labels = _unmirrored(root / "images"), _unmirrored(root / "labels")
    everything = FrameList(
        stems=in_recording_order(images, labels), rgb=images, thermal=images, label=labels
    )
    listed = read_lists(root, _LISTS)
    if not listed:
        raise SartmError(
            f"{root} has no lists of frames",
            got="none of " + ", ".join(f"{name}.txt" for name in _LISTS),
            expected="train.txt, val.txt and test.txt beside images/ and labels/",
            remedy="copy MFNet's lists there",
        )
    lists = {
        name: tuple(stem for stem in stems if not stem.endswith(_MIRRORED))
        for name, stems in listed.items()
    }
    skipped = sum(len(stems) - len(lists[name]) for name, stems in listed.items())
    return PairedFiles(
        root=root,
        classes=MFNET,
        lists={name: replace(everything, stems=stems) for name, stems in lists.items()},
        everything=everything,
        published={"train": 784, "val": 392, "test": 393},
        notes=(f"{skipped} mirrored copies ({_MIRRORED}) in its lists are skipped",)
        if skipped
        else (),
    )


def _unmirrored(folder: Path) -> Pictures:
    files = Pictures.of(folder).files
    return Pictures(
        folder, {stem: path for stem, path in files.items() if not stem.endswith(_MIRRORED)}
    )
