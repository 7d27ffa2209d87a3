"""Frames in, sections of metrics.json out: what every evaluation (files, masks, bags) shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.evaluation.bootstrap import PerFrame
from sartm_core.evaluation.metrics import Confusion, agreement, confusion
from sartm_core.evaluation.protocols import all_scores
from sartm_core.frames import Image

MIN_FOREGROUND = 0.005
"""Share of a frame's pixels that must have a true class other than 0 to rank the frame."""


class Tally:
    """Confusion matrices of the frames seen so far; the result does not depend on their order."""

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self._frames: dict[str, tuple[Confusion, bool]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, name: str, truth: Image, prediction: Image, *, night: bool) -> Confusion:
        """Count one frame; see :func:`sartm_core.evaluation.metrics.confusion`.

        Raises:
            SartmError: sizes or ids do not fit.
            ValueError: a frame of this name was counted before.
        """
        if name in self._frames:
            raise ValueError(f"frame '{name}' was counted before")
        counts = confusion(truth, prediction, len(self.classes))
        self._frames[name] = (counts, night)
        return counts

    def names(self, *, night: bool) -> tuple[str, ...]:
        """The frames of one time of day, sorted."""
        return tuple(sorted(name for name, (_, dark) in self._frames.items() if dark == night))

    def worst(self, count: int) -> list[dict[str, Any]]:
        """The frames with the least ``agreement`` and what is wrong there, the worst one first.

        Agreement is the share of the foreground pixels, true or predicted, whose class is right.
        Frames with hardly any true foreground are left out.

        Returns:
            ``name``, ``agreement`` 0..1 and ``note`` of each.
        """
        names = [
            name
            for name, (counts, _) in self._frames.items()
            if counts[1:].sum() >= MIN_FOREGROUND * counts.sum()
        ]
        ranked = sorted(names, key=lambda name: (agreement(self._frames[name][0]), name))
        return [
            {
                "name": name,
                "agreement": agreement(self._frames[name][0]),
                "note": self._what_is_wrong(self._frames[name][0]),
            }
            for name in ranked[:count]
        ]

    def showcase(self, count: int) -> list[tuple[str, str]]:
        """Frames worth a picture and why: the worst ones, then others spread over the recording."""
        worst = [row["name"] for row in self.worst(count // 2)]
        rest = [name for name in sorted(self._frames) if name not in worst]
        places = np.linspace(0, len(rest), count - len(worst), endpoint=False).astype(int)
        spread = dict.fromkeys(rest[place] for place in places) if rest else {}
        reasons = [(name, "among the hardest") for name in worst]
        reasons += [(name, "picked at even steps") for name in spread]
        return [
            (
                name,
                f"{reason}; {100 * agreement(self._frames[name][0]):.0f} % of the foreground right",
            )
            for name, reason in reasons
        ]

    def example(self) -> str:
        """A frame on which a change is seen: by day if there is one, much of it found."""
        return max(
            sorted(self._frames),
            key=lambda name: (
                not self._frames[name][1],
                int(np.count_nonzero(self._frames[name][0].diagonal()[1:])),
                int(self._frames[name][0].diagonal()[1:].sum()),
            ),
        )

    def total(self) -> Confusion:
        """The matrix over all frames."""
        return self._sum([counts for counts, _ in self._frames.values()])

    def summary(self) -> dict[str, Any]:
        """``frames``, ``protocols`` and ``subsets`` (``day``, ``night``, where there are any)."""
        subsets = {}
        for subset, wanted in (("day", False), ("night", True)):
            counts = [counts for counts, night in self._frames.values() if night == wanted]
            if counts:
                subsets[subset] = {
                    "frames": len(counts),
                    "protocols": all_scores(self._sum(counts), self.classes),
                }
        return {
            "frames": len(self),
            "protocols": all_scores(self.total(), self.classes),
            "subsets": subsets,
        }

    def per_frame(self) -> PerFrame:
        """The frames' matrices, sorted by name."""
        names = tuple(sorted(self._frames))
        return PerFrame(
            names,
            np.stack([self._frames[name][0] for name in names]),
            np.array([self._frames[name][1] for name in names]),
        )

    def _what_is_wrong(self, counts: Confusion) -> str:
        """The two largest errors of a frame, in words."""
        errors = []
        hits, truth = counts.diagonal(), counts.sum(axis=1)
        taken_for = counts[:, :-1].sum(axis=0)
        for info in self.classes.classes[1:]:
            k = info.id
            missed, false = int(truth[k] - hits[k]), int(taken_for[k] - hits[k])
            errors.append((missed, f"{info.name}: {100 * hits[k] / max(1, truth[k]):.0f} % found"))
            errors.append((false, f"{false:,} px taken for {info.name}"))
        errors.sort(key=lambda error: -error[0])
        return "; ".join(words for pixels, words in errors[:2] if pixels)

    def _sum(self, matrices: list[Confusion]) -> Confusion:
        size = len(self.classes)
        return sum(matrices, start=np.zeros((size, size + 1), np.int64))
