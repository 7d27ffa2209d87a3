"""One HTML file that says how good the masks are: for `evaluate`, `score`, `bag eval`, the demo."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from sartm_core.classes import IGNORE_ID, ClassTable, read_table
from sartm_core.evaluation.report_details import spoken
from sartm_core.evaluation.report_sections import sections
from sartm_core.files import write_bytes_atomic
from sartm_core.frames import Image
from sartm_core.viz import overlay, thermal_to_rgb

REPORT = "report.html"
ERROR_COLORS = {
    "correct": (0, 158, 115),
    "missed": (230, 120, 0),
    "false alarm": (60, 150, 255),
    "wrong class": (230, 70, 170),
}
"""Colours of the error picture, told apart with any colour vision (after Okabe and Ito, 2008)."""

_PICTURE_WIDTH = 420
_EXAMPLE_WIDTH = 260
_PICTURE_QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One frame for the gallery of a report.

    Attributes:
        name: of the frame.
        prediction: HxW uint8 class ids, 255 = no decision.
        rgb: HxWx3 uint8, RGB order, or None.
        thermal: hxw uint8, normalised, or None.
        truth: HxW uint8 class ids, 255 = ignore, or None.
        note: why the frame is shown.
        section: of the report that shows it, ``pictures`` or ``corruptions``.
    """

    name: str
    prediction: Image
    rgb: Image | None = None
    thermal: Image | None = None
    truth: Image | None = None
    note: str = ""
    section: Literal["pictures", "corruptions"] = "pictures"


def write_report(metrics: Mapping[str, Any], pictures: Sequence[Picture], out_dir: Path) -> Path:
    """Write report.html: self-contained, without scripts, showing the sections that have data.

    Args:
        metrics: what metrics.json holds. Pictures need its ``classes``.
        pictures: frames for the gallery.
        out_dir: folder to write to; made if missing.

    Returns:
        The file.
    """
    table = _class_table(metrics) if pictures else None
    html = render(
        "report.html.j2",
        **sections(metrics),
        gallery=[_panels(p, table) for p in pictures if table and p.section == "pictures"],
        examples=[_example(p, table) for p in pictures if table and p.section == "corruptions"],
        error_colors=ERROR_COLORS,
    )
    path = Path(out_dir) / REPORT
    write_bytes_atomic(path, html.encode())
    return path


def render(template: str, **values: Any) -> str:
    """Fill in a template of this package; text is escaped, an unknown name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sartm_core.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def panel(title: str, image: Image, frame: str) -> dict[str, str]:
    """One picture of a gallery: title, data URI and alternative text."""
    return {"title": title, "uri": _data_uri(image), "alt": f"{title} of frame {frame}"}


def error_picture(background: Image, prediction: Image, truth: Image) -> Image:
    """Where a mask is right and wrong, painted over the darkened grey image.

    Args:
        background: HxWx3 uint8, RGB order.
        prediction: HxW uint8 class ids; 255 counts as 0 here.
        truth: HxW uint8 class ids; pixels of 255 stay unpainted.

    Returns:
        HxWx3 uint8, RGB order, in ``ERROR_COLORS``.
    """
    grey = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY)
    painted = np.repeat(np.asarray(grey // 3 + 24, np.uint8)[..., None], 3, axis=2)
    found = (prediction != 0) & (prediction != IGNORE_ID) & (truth != IGNORE_ID)
    there = (truth != 0) & (truth != IGNORE_ID)
    same = prediction == truth
    for name, where in (
        ("correct", found & there & same),
        ("missed", there & ~found),
        ("false alarm", found & ~there),
        ("wrong class", found & there & ~same),
    ):
        painted[where] = ERROR_COLORS[name]
    return painted


def _panels(picture: Picture, classes: ClassTable) -> dict[str, Any]:
    """The pictures of one frame."""
    height, width = picture.prediction.shape
    panels: list[tuple[str, Image]] = []
    background = np.full((height, width, 3), 96, np.uint8)
    if picture.thermal is not None:
        background = _fit(thermal_to_rgb(picture.thermal), width, height)
        panels.append(("Thermal", background))
    if picture.rgb is not None:
        background = _fit(picture.rgb, width, height)
        panels.insert(0, ("RGB", background))
    panels.append(("Prediction", overlay(background, picture.prediction, classes, legend=False)))
    if picture.truth is not None:
        panels.append(("Truth", overlay(background, picture.truth, classes, legend=False)))
        panels.append(("Errors", error_picture(background, picture.prediction, picture.truth)))
    return {
        "name": picture.name,
        "note": picture.note,
        "panels": [panel(title, image, picture.name) for title, image in panels],
    }


def _example(picture: Picture, classes: ClassTable) -> dict[str, Any]:
    """What a camera saw under a corruption, and the prediction on it below."""
    height, width = picture.prediction.shape
    image = picture.rgb if picture.thermal is None else thermal_to_rgb(picture.thermal)
    assert image is not None
    seen = _fit(image, width, height)
    both = (seen, overlay(seen, picture.prediction, classes, legend=False))
    name = spoken(picture.name)
    return {
        "name": name,
        "frame": picture.note,
        "uri": _data_uri(np.vstack(both), _EXAMPLE_WIDTH),
        "alt": f"Frame {picture.note} under {name}, alone and with the prediction",
    }


def _fit(image: Image, width: int, height: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _data_uri(image: Image, largest: int = _PICTURE_WIDTH) -> str:
    import PIL.Image

    height, width = image.shape[:2]
    if width > largest:
        image = _fit(image, largest, max(1, round(height * largest / width)))
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, format="WEBP", quality=_PICTURE_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def _class_table(metrics: Mapping[str, Any]) -> ClassTable:
    return read_table(metrics.get("dataset", ""), metrics["classes"])
