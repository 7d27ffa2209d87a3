"""The messages of a replay on disk: first as a bag, then the masks in it as PNG files."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from sartm_core.data.bags import BagReader, pixels_of, typestore
from sartm_core.data.images import write_png


class Recording:
    """A rosbag2 bag (mcap) that is written as messages come, from any thread.

    Args:
        folder: of the bag; one that exists is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> Recording:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._writer = Writer(self.folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._writer.close()

    def write(self, topic: str, kind: str, raw: bytes) -> None:
        """Append one message.

        Args:
            topic: its full name.
            kind: message type, e.g. ``sensor_msgs/msg/Image``.
            raw: its CDR bytes.
        """
        with self._lock:
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, kind, typestore=typestore()
                )
            self._writer.write(self._connections[topic], time.time_ns(), raw)


def write_masks(
    recording: Path, topic: str, out: Path, names: Iterable[tuple[str, int]]
) -> list[dict[str, Any]]:
    """Write every recorded mask as a grey PNG whose pixels are the message's bytes.

    Args:
        recording: the bag.
        topic: of the masks in it.
        out: folder for masks/STEM.png; masks of later passes go to masks/pass_2/STEM.png, ...
        names: stem and pass (from 1) of each mask, in the order of the recording.

    Returns:
        For each mask: stem, stamp_ns, pass and file, relative to ``out``.
    """
    shutil.rmtree(out / "masks", ignore_errors=True)
    (out / "masks").mkdir(parents=True)
    rows = []
    for message, (stem, number) in zip(BagReader(recording).messages([topic]), names, strict=True):
        file = f"masks/{stem}.png" if number == 1 else f"masks/pass_{number}/{stem}.png"
        write_png(out / file, np.asarray(pixels_of(message), np.uint8))
        rows.append({"stem": stem, "stamp_ns": message.stamp_ns, "pass": number, "file": file})
    return rows
