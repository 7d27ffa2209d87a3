"""Labelled RGB-thermal data sets behind one door: `open_dataset("KIND:PATH", split)`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sartm_core.data import fmb, folder, mfnet, msrs, pst900
from sartm_core.data.paired import PairedFiles
from sartm_core.data.sample import Dataset
from sartm_core.data.synthetic_set import SyntheticDataset
from sartm_core.errors import SartmError

_FILES: dict[str, Callable[[str], PairedFiles]] = {
    "folder": folder.find,
    "mfnet": mfnet.find,
    "msrs": msrs.find,
    "pst900": pst900.find,
    "fmb": fmb.find,
}
KINDS = (*_FILES, "synthetic")


def open_dataset(spec: str, split: str | None = None) -> Dataset:
    """Open `KIND:PATH`, for example `folder:data/site` or `synthetic:7?frames=200`.

    Args:
        spec: KIND:PATH.
        split: a list of the data set; `fit` and `dev` are parts of `train` in every set that has
            a `train` and brings no lists of these names (see `sartm_core.data.splits`); None =
            everything, which a published set with a test list refuses.

    Raises:
        SartmError: an unknown kind or split, or pairs that are not complete.
    """
    kind, where = _parse(spec)
    if kind == "synthetic":
        return SyntheticDataset.open(where, split)
    return _FILES[kind](where).open(split)


def find_files(spec: str) -> PairedFiles:
    """The files of `KIND:PATH`, with nothing required of them; not for synthetic scenes.

    Raises:
        SartmError: an unknown kind, or no data set in that kind's layout.
    """
    kind, where = _parse(spec)
    if kind == "synthetic":
        raise SartmError(
            f"'{spec}' has no files",
            got="scenes that are made when they are read",
            expected="one of " + ", ".join(_FILES),
            remedy="write them with `sartm synth OUT` and name folder:OUT",
        )
    return _FILES[kind](where)


def _parse(spec: str) -> tuple[str, str]:
    """KIND and PATH."""
    kind, colon, where = spec.partition(":")
    if not colon or kind not in KINDS or not where:
        raise SartmError(
            f"cannot open the data set '{spec}'",
            got=f"kind '{kind}'" if colon else "no kind",
            expected="KIND:PATH with KIND one of " + ", ".join(KINDS),
            remedy=f"write for example folder:{where or spec}",
        )
    return kind, where


def sample_data_root() -> Path | None:
    """Where the real development frames lie: $SARTM_DATA, else ../shared/data beside the checkout.

    None where there are none, so that tests can skip.
    """
    named = os.environ.get("SARTM_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return root if root.is_dir() else None
