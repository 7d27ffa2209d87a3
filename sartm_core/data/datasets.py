"""Labelled RGB-thermal data sets behind one door: `open_dataset("KIND:PATH", split)`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sartm_core.data.sample import Dataset
from sartm_core.errors import SartmError


def open_dataset(spec: str, split: str | None = None) -> Dataset:
    """Open `KIND:PATH`, for example `folder:data/site` or `synthetic:7?frames=200`.

    Raises SartmError for an unknown kind or split and for pairs that are not complete.
    """
    kind, colon, where = spec.partition(":")
    if not colon or kind not in _KINDS or not where:
        raise SartmError(
            f"cannot open the data set '{spec}'",
            got=f"kind '{kind}'" if colon else "no kind",
            expected="KIND:PATH with KIND one of " + ", ".join(_KINDS),
            remedy=f"write for example folder:{where or spec}",
        )
    return _KINDS[kind](where, split)


def sample_data_root() -> Path | None:
    """Where the real development frames lie: $SARTM_DATA, else ../shared/data beside the checkout.

    None where there are none, so that tests can skip.
    """
    named = os.environ.get("SARTM_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return root if root.is_dir() else None


def _open_folder(where: str, split: str | None) -> Dataset:
    from sartm_core.data.folder import FolderDataset

    return FolderDataset.open(Path(where), split)


def _open_synthetic(where: str, split: str | None) -> Dataset:
    from sartm_core.data.synthetic_set import SyntheticDataset

    return SyntheticDataset.open(where, split)


_KINDS: dict[str, Callable[[str, str | None], Dataset]] = {
    "folder": _open_folder,
    "synthetic": _open_synthetic,
}
