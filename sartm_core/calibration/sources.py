"""Frames of a data set or a bag to refine a registration on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.frames import Image
from sartm_core.thermal import normalise

FRAMES = 40
"""So many frames, spread over the recording, are used at most."""

_BAG_SUFFIXES = (".mcap", ".db3", ".bag")


@dataclass(frozen=True)
class FrameSource:
    """Frames of a recording, by name.

    Attributes:
        names: of at most FRAMES frames, spread evenly over the recording.
        read_sample: loads one.
    """

    names: tuple[str, ...]
    read_sample: Callable[[str], Sample]

    def read(self, name: str) -> tuple[Image, Image]:
        """One frame: HxWx3 uint8 RGB and hxw uint8 normalised thermal."""
        sample = self.read_sample(name)
        return sample.rgb, normalise(sample.thermal, valid=sample.thermal_valid)

    def frames(self, advance: Callable[[], None]) -> Iterator[tuple[Image, Image]]:
        """All of them; ``advance`` is called after each."""
        for name in self.names:
            yield self.read(name)
            advance()


def open_frames(
    spec: str, split: str | None, rgb_topic: str | None = None, thermal_topic: str | None = None
) -> FrameSource:
    """The frames of ``KIND:PATH``, or of a bag, where each RGB image goes with the nearest thermal.

    Raises:
        SartmError: neither, or it cannot be read.
    """
    if _is_bag(Path(spec)):
        if split is not None:
            raise SartmError("a bag has no lists", got=f"--split {split}")
        return _open_bag(Path(spec), rgb_topic, thermal_topic)
    if rgb_topic or thermal_topic:
        raise SartmError(f"{spec} is no bag", remedy="leave out --rgb-topic and --thermal-topic")
    from sartm_core.data.datasets import open_dataset

    dataset = open_dataset(spec, split)
    return FrameSource(_spread(dataset.stems), dataset.read)


def _is_bag(path: Path) -> bool:
    return path.suffix in _BAG_SUFFIXES or (path / "metadata.yaml").is_file()


def _open_bag(path: Path, rgb_topic: str | None, thermal_topic: str | None) -> FrameSource:
    from sartm_core.classes import class_table
    from sartm_core.data.bag_dataset import BagDataset
    from sartm_core.data.bags import BagReader, find_topics

    bag = BagReader(path)
    topics = find_topics(bag, rgb=rgb_topic, thermal=thermal_topic)
    dataset = BagDataset.open(bag, topics, class_table("mfnet"))
    return FrameSource(_spread(tuple(dataset.names.values())), dataset.read)


def _spread(names: tuple[str, ...]) -> tuple[str, ...]:
    places = np.linspace(0, len(names) - 1, min(FRAMES, len(names))).round().astype(int)
    return tuple(names[place] for place in places)
