"""Frames kept on the fly, e.g. by the node's ~/save_frame, as a data set in `folder` layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from sartm_core.classes import IGNORE_ID, ClassTable
from sartm_core.data.images import write_png
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.frames import Image, ThermalImage

CENTIKELVIN = 0.01


def save_frame(
    folder: Path, stem: str, *, rgb: Image, thermal: ThermalImage, mask: Image, classes: ClassTable
) -> None:
    """Add one frame to a folder with rgb/, thermal/, label/ and classes.json.

    Args:
        folder: made if it is not there.
        stem: the frame's name.
        rgb: HxWx3 uint8.
        thermal: hxw uint8 or uint16 as it is; float32 kelvin are kept as uint16 in hundredths of a
            kelvin (contract raw16, scale 0.01).
        mask: HxW uint8 class ids, 255 = unlabelled.
        classes: what the ids mean.

    Raises:
        SartmError: the folder holds frames with other classes, or it cannot be written.
    """
    table = {
        "classes": {str(c.id): c.name for c in classes.classes},
        "palette": [list(c.color) for c in classes.classes],
        "ignore_id": IGNORE_ID,
    }
    about = folder / "classes.json"
    try:
        if about.exists() and json.loads(about.read_text(encoding="utf-8")) != table:
            raise SartmError(
                f"{folder} holds frames with other classes",
                got=f"{about} of another model",
                remedy="name another folder",
            )
        write_json_atomic(about, table)
        write_png(folder / "rgb" / f"{stem}.png", rgb)
        write_png(folder / "thermal" / f"{stem}.png", _as_integers(thermal))
        write_png(folder / "label" / f"{stem}.png", mask)
    except (OSError, ValueError) as error:
        raise SartmError(
            f"a frame cannot be saved in {folder}",
            got=error,
            remedy="make room or name another folder",
        ) from error


def _as_integers(thermal: ThermalImage) -> Image | npt.NDArray[np.uint16]:
    if thermal.dtype == np.float32:
        return np.clip(np.rint(thermal / CENTIKELVIN), 0, 65535).astype(np.uint16)
    return cast("Image | npt.NDArray[np.uint16]", thermal)
