"""Which frames belong together, read off their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

BLOCK = 8
"""Places of a recording in a block, and the largest gap inside a run. On MFNet's recordings the
agreement of a model with the labels is correlated over about 4 places."""

_STAMP = 10**17  # nanoseconds since 1970, where frames are named by stamp


def find_runs(names: Sequence[str], night: npt.NDArray[np.bool_]) -> list[list[int]]:
    """The stretches that were recorded without a larger gap, each in its order.

    The last number in a name is its place in the recording, what stands before it names the
    recording ("00101D": place 101). A run ends where the next frame is more than ``BLOCK`` places
    away; day and night are apart. Numbers as long as stamps in nanoseconds count in seconds.

    Args:
        names: of the N frames.
        night: bool [N].

    Returns:
        Indices into ``names``; each is in one run.
    """
    groups: dict[tuple[str, bool], list[tuple[float, int]]] = {}
    for index, (name, dark) in enumerate(zip(names, night, strict=True)):
        recording, place = _place(name)
        groups.setdefault((recording, bool(dark)), []).append((place, index))
    runs = []
    for _, members in sorted(groups.items()):
        members.sort()
        gaps = [i for i, (one, two) in enumerate(pairwise(members), 1) if two[0] - one[0] > BLOCK]
        for start, stop in pairwise((0, *gaps, len(members))):
            runs.append([index for _, index in members[start:stop]])
    return runs


def find_blocks(names: Sequence[str], night: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Which block each frame belongs to: runs, the long ones in equal parts of about ``BLOCK``.

    Args:
        names: of the N frames.
        night: bool [N].

    Returns:
        intp [N], 0 to the number of blocks - 1.
    """
    keys = np.zeros((len(names), 2), np.intp)
    for number, run in enumerate(find_runs(names, night)):
        places = np.array([_place(names[index])[1] for index in run])
        span = places[-1] - places[0] + 1
        parts = max(1, round(span / BLOCK))
        keys[run, 0] = number
        keys[run, 1] = (places - places[0]) * parts // span
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1].ravel(), np.intp)


def _place(name: str) -> tuple[str, float]:
    """("recording", place in it) of a frame name; a second pass of a bag ("@2") is the same."""
    found = re.fullmatch(r"(.*?)(\d+)\D*", re.sub(r"@\d+$", "", name), re.DOTALL)
    if not found:
        return name, 0.0
    number = int(found[2])
    return found[1], number / 1e9 if number >= _STAMP else float(number)
