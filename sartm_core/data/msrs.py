"""MSRS (Tang et al., 2022): `msrs:PATH`, PATH/{train,test}/{vi,ir,Segmentation_labels}/NAME.png.

1083 train and 361 test pairs, 640x480, chosen from MFNet's recordings, thermal contrast-enhanced,
labels with MFNet's ids. Its frames are MFNet's: never train on one set and test on the other;
`sartm data check mfnet:PATH msrs:PATH` lists the common ones.
"""

from __future__ import annotations

from pathlib import Path

from sartm_core.classes import MSRS
from sartm_core.data.paired import PairedFiles
from sartm_core.data.split_folders import find_split_folders


def find(where: str) -> PairedFiles:
    """List the data set at the path `where`."""
    return find_split_folders(
        Path(where),
        MSRS,
        rgb="vi",
        thermal="ir",
        label="Segmentation_labels",
        published={"train": 1083, "test": 361},
    )
