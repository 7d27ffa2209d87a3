"""Masks for a bag, and their score against the bag's ground truth: what `sartm bag eval` does.

Offline and through the node, the masks go to PNG files first and are scored from there by the same
functions as `sartm evaluate`, so equal masks give equal metrics.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sartm_core.classes import ClassTable
from sartm_core.data.bag_dataset import BagDataset
from sartm_core.data.bags import BagMessage, BagReader, pixels_of, replay_order
from sartm_core.data.images import read_ids, write_png
from sartm_core.errors import BadImageError, SartmError
from sartm_core.evaluation.evaluate import (
    MASKS,
    PER_FRAME,
    Predictor,
    describe_run,
    fit_to_label,
    id_map,
    picture,
    timing_section,
)
from sartm_core.evaluation.report import Picture
from sartm_core.evaluation.tally import Tally
from sartm_core.synchronizer import Pair, Synchronizer, SyncParameters

Run = dict[str, Any]
"""What segmenting a bag gives: ``masks`` [{stem, stamp_ns, pass, file relative to the folder}],
``accounting`` {stream: counts} and ``timing_ms``."""


def segment_bag(
    dataset: BagDataset,
    predictor: Predictor,
    params: SyncParameters,
    out: Path,
    *,
    advance: Callable[[], None],
) -> Run:
    """Pair and segment a bag in this process, as a node in lockstep does.

    Time stands still: each RGB image finds the thermal images that may pair with it already there,
    so the result does not depend on the speed of the machine. RGB is never silent then.

    Args:
        dataset: the bag.
        predictor: the model.
        params: rules of pairing.
        out: folder for masks/.
        advance: called after each RGB image.

    Raises:
        SartmError: the bag is damaged, or the masks cannot be written.
    """
    run = _OfflineRun(dataset, predictor, params, out)
    topics = dataset.topics
    for message in replay_order(
        dataset.bag.messages([topics.rgb, topics.thermal]),
        rgb_topic=topics.rgb,
        slop_s=params.slop_s,
        thermal_offset_s=params.thermal_offset_s,
    ):
        run.take(message)
        if message.topic == topics.rgb:
            advance()
    return run.result()


class _OfflineRun:
    def __init__(
        self, dataset: BagDataset, predictor: Predictor, params: SyncParameters, out: Path
    ) -> None:
        self._dataset = dataset
        self._predictor = predictor
        self._out = out
        self._synchronizer = Synchronizer(params)
        self._bad: dict[str, Counter[str]] = {"rgb": Counter(), "thermal": Counter()}
        self._passes: Counter[str] = Counter()
        self._masks: list[dict[str, Any]] = []
        self._timings: list[dict[str, float]] = []

    def take(self, message: BagMessage) -> None:
        camera = "rgb" if message.topic == self._dataset.topics.rgb else "thermal"
        try:
            pixels = pixels_of(message)
            if (pixels.ndim == 3) != (camera == "rgb"):
                raise BadImageError("wrong_encoding", f"{message.topic} is no {camera} camera")
        except BadImageError as error:
            self._bad[camera][error.reason] += 1
            return
        add = self._synchronizer.add_rgb if camera == "rgb" else self._synchronizer.add_thermal
        pairs = add(message.stamp_ns, pixels, 0)
        if camera == "rgb":
            pairs += self._synchronizer.flush(0)
        for pair in pairs:
            self._segment(pair)

    def _segment(self, pair: Pair) -> None:
        try:
            result = self._predictor(pair.rgb, pair.thermal)
        except BadImageError as error:
            self._bad["rgb"][error.reason] += 1
            return
        assert pair.rgb_stamp_ns is not None
        stem = self._dataset.names[pair.rgb_stamp_ns]
        self._passes[stem] += 1
        number = self._passes[stem]
        file = f"{MASKS}/{stem}.png" if number == 1 else f"{MASKS}/pass_{number}/{stem}.png"
        write_png(self._out / file, result.mask)
        self._timings.append(result.timings)
        self._masks.append(
            {"stem": stem, "stamp_ns": pair.rgb_stamp_ns, "pass": number, "file": file}
        )

    def result(self) -> Run:
        counters = self._synchronizer.counters
        undecoded = Counter(self._bad["thermal"])
        return {
            "masks": self._masks,
            "accounting": {
                "rgb": {
                    "received": counters.rgb_received + self._undecoded_rgb(),
                    "published": len(self._masks),
                    "without_thermal": counters.rgb_single,
                    "dropped": dict(Counter(counters.rgb_dropped) + self._bad["rgb"]),
                    "in_flight": counters.rgb_waiting,
                },
                "thermal": {
                    "received": counters.thermal_received + undecoded.total(),
                    "used": counters.thermal_used,
                    "unused": dict(Counter(counters.thermal_unused) + undecoded),
                    "buffered": counters.thermal_buffered,
                },
            },
            "timing_ms": timing_section(self._timings) if all(self._timings) else {},
        }
