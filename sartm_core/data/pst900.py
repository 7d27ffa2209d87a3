"""PST900 (Shivakumar et al., ICRA 2020): `pst900:PATH` or `pst900:PATH?thermal=raw`.

PATH/{train,test}/{rgb,thermal,thermal_raw,labels}/NAME.png, 597 train and 288 test pairs, 1280x720.
`thermal` is the camera's 8-bit automatic gain (the default), `thermal_raw` its 16-bit counts.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from sartm_core.classes import PST900
from sartm_core.data.paired import PairedFiles
from sartm_core.data.split_folders import find_split_folders
from sartm_core.errors import SartmError

_THERMAL = {"agc": "thermal", "raw": "thermal_raw"}


def find(where: str) -> PairedFiles:
    """List the data set at `where`, PATH or PATH?thermal=agc|raw."""
    path, _, query = where.partition("?")
    options = {"thermal": "agc", **dict(parse_qsl(query, keep_blank_values=True))}
    thermal = _THERMAL.get(options.pop("thermal"))
    if thermal is None or options:
        raise SartmError(
            "cannot read what PST900 is asked for",
            got=query,
            expected="thermal=agc (8 bit) or thermal=raw (16 bit)",
            remedy=f"write for example pst900:{path}?thermal=raw",
        )
    return find_split_folders(
        Path(path),
        PST900,
        rgb="rgb",
        thermal=thermal,
        label="labels",
        published={"train": 597, "test": 288},
    )
