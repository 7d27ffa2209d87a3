"""Score masks that any method left as PNG files: what `sartm score` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sartm_core.data.images import list_images, read_ids
from sartm_core.data.sample import Dataset
from sartm_core.errors import SartmError
from sartm_core.evaluation.detail import Detail
from sartm_core.evaluation.evaluate import describe_run, fit_to_label, picture, require_label
from sartm_core.evaluation.report import Picture
from sartm_core.evaluation.tally import Tally


def score(
    masks: Path, dataset: Dataset, *, pictures: int = 6, advance: Callable[[], None]
) -> tuple[dict[str, Any], list[Picture], Tally]:
    """Score a folder of masks under every protocol.

    Args:
        masks: folder of ``STEM.png`` (8-bit grey or palette PNG of the data set's class ids, 255 =
            no decision). Masks of another size than the label are resized to it (nearest) and
            counted as ``resized_masks``; files of other names are left alone.
        dataset: the labelled frames.
        pictures: how many frames the report shows.
        advance: called after each frame.

    Returns:
        metrics.json without ``provenance``, the pictures for the report, the counted frames.

    Raises:
        SartmError: a mask is missing, is no mask or has ids that the data set does not have.
    """
    files = list_images(masks)
    missing = [stem for stem in dataset.stems if stem not in files]
    if missing:
        raise SartmError(
            f"{masks} lacks {len(missing)} of {len(dataset.stems)} masks",
            got="no " + ", ".join(f"{stem}.png" for stem in missing[:5]),
            expected="one PNG for each frame of the split",
            remedy="name the split that was predicted with --split",
        )
    tally, detail, resized = Tally(dataset.classes), Detail(dataset.classes), 0
    for stem in dataset.stems:
        sample = dataset.read(stem)
        label = require_label(sample, dataset)
        mask = read_ids(files[stem])
        resized += mask.shape != label.shape
        try:
            fitted = fit_to_label(mask, label)
            tally.add(stem, label, fitted, night=sample.night)
        except SartmError as error:
            raise SartmError(f"{files[stem]}: {error}") from error
        detail.add(label, fitted)
        advance()
    metrics = describe_run(dataset, masks.resolve().name, tally, detail)
    if resized:
        metrics["resized_masks"] = resized
    shown = [
        picture(dataset.read(stem), dataset, read_ids(files[stem]), note)
        for stem, note in tally.showcase(pictures)
    ]
    return metrics, shown, tally
