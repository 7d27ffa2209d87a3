"""A bag's labelled frames as a data set: what masks of the bag are scored against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.classes import ClassTable, read_table
from sartm_core.data.bags import BagReader, BagTopics, frame_about, pixels_of
from sartm_core.data.sample import Sample, is_night
from sartm_core.errors import SartmError
from sartm_core.frames import Image


@dataclass(frozen=True, kw_only=True)
class BagDataset:
    """The RGB images of a bag that have ground truth of the same stamp.

    A frame's name is the stem that ``/frame`` gives its stamp, else the stamp in nanoseconds.
    """

    bag: BagReader
    topics: BagTopics
    name: str
    split: str | None
    classes: ClassTable
    stems: tuple[str, ...]
    names: dict[int, str]
    """RGB stamp -> frame name, also of frames without ground truth."""
    nights: frozenset[str]
    _places: dict[tuple[str, int], int]

    @classmethod
    def open(cls, bag: BagReader, topics: BagTopics, classes: ClassTable) -> BagDataset:
        """Index a bag.

        Args:
            bag: the bag.
            topics: which of its topics is what.
            classes: what the ground truth means where the bag itself does not say.

        Raises:
            SartmError: the bag is damaged, or its ``/frame`` messages contradict each other.
        """
        places: dict[tuple[str, int], int] = {}
        about: dict[int, dict[str, Any]] = {}
        for message in bag.messages():
            places.setdefault((message.topic, message.stamp_ns), message.log_ns)
            if message.topic == topics.frame:
                about.setdefault(message.stamp_ns, frame_about(message))
        stamps = [stamp for topic, stamp in places if topic == topics.rgb]
        names = {s: str(about[s]["stem"]) if s in about else str(s) for s in stamps}
        if len(set(names.values())) < len(names):
            raise SartmError(
                f"{bag.path} gives the same name to several frames",
                expected="one stem for each RGB stamp",
            )
        first = next(iter(about.values()), {})
        return cls(
            bag=bag,
            topics=topics,
            name=str(first.get("dataset") or bag.path.stem),
            split=first.get("split"),
            classes=_class_table(first["classes"], bag.path) if "classes" in first else classes,
            stems=tuple(names[s] for s in stamps if (topics.ground_truth, s) in places),
            names=names,
            nights=frozenset(
                name
                for stamp, name in names.items()
                if about.get(stamp, {}).get("night", is_night(name))
            ),
            _places=places,
        )

    def labels(self) -> Iterator[tuple[str, Image]]:
        """(name, HxW uint8 class ids) of each frame of ``stems``, in one pass over the bag."""
        seen = set()
        for message in self.bag.messages([self.topics.ground_truth or ""]):
            name = self.names.get(message.stamp_ns)
            if name is not None and name not in seen:
                seen.add(name)
                yield name, _ids(pixels_of(message), name)

    def read(self, stem: str) -> Sample:
        """One frame with its label and the thermal image nearest in time."""
        stamp = next((s for s, name in self.names.items() if name == stem), None)
        if stamp is None:
            raise SartmError(f"{self.bag.path} has no frame '{stem}'")
        heat = min(
            (s for topic, s in self._places if topic == self.topics.thermal),
            key=lambda s: abs(s - stamp),
        )
        truth = self.topics.ground_truth
        labelled = truth is not None and (truth, stamp) in self._places
        return Sample(
            stem=stem,
            rgb=np.asarray(self._pixels(self.topics.rgb, stamp), np.uint8),
            thermal=self._pixels(self.topics.thermal, heat),
            label=_ids(self._pixels(truth, stamp), stem) if truth and labelled else None,
            night=stem in self.nights,
        )

    def _pixels(self, topic: str, stamp_ns: int) -> Any:
        log_ns = self._places[topic, stamp_ns]
        found = self.bag.messages([topic], start_ns=log_ns, stop_ns=log_ns + 1)
        return pixels_of(next(m for m in found if m.stamp_ns == stamp_ns))


def _ids(pixels: Any, name: str) -> Image:
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise SartmError(
            f"the ground truth of frame '{name}' is no mask of class ids",
            got=f"{pixels.shape} {pixels.dtype}",
            expected="encoding mono8",
        )
    return np.asarray(pixels, np.uint8)


def _class_table(entry: Any, path: Path) -> ClassTable:
    try:
        return read_table(entry["name"], entry["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise SartmError(
            f"{path} holds a class table that cannot be read",
            got=f"{type(error).__name__}: {error}",
            expected='{"name": ..., "classes": [{"id", "name", "color", "words"}, ...]}',
        ) from error
