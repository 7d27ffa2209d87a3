"""FMB (Liu et al., ICCV 2023): `fmb:PATH`, PATH/{train,test}/{Visible,Infrared,Label}/NAME.png.

1220 train and 280 test pairs, 800x600. Label 0 is unlabelled and stays 0: the protocols decide
whether it counts. No frame of the test list shows a bicycle.
"""

from __future__ import annotations

from pathlib import Path

from sartm_core.classes import FMB
from sartm_core.data.paired import PairedFiles
from sartm_core.data.split_folders import find_split_folders


def find(where: str) -> PairedFiles:
    """List the data set at the path `where`."""
    return find_split_folders(
        Path(where),
        FMB,
        rgb="Visible",
        thermal="Infrared",
        label="Label",
        published={"train": 1220, "test": 280},
    )
