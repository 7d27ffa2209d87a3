"""Masks for a bag, and their score against the bag's ground truth: what `sartm bag eval` does.

Offline and through the node, the masks go to PNG files first and are scored from there by the same
functions as `sartm evaluate`, so equal masks give equal metrics.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sartm_core.camera_messages import decode_rgb, decode_thermal
from sartm_core.classes import ClassTable
from sartm_core.data.bag_dataset import BagDataset
from sartm_core.data.bags import BagMessage, BagReader, replay_order
from sartm_core.data.images import read_ids, write_png
from sartm_core.errors import BadImageError, SartmError
from sartm_core.evaluation.detail import Detail
from sartm_core.evaluation.evaluate import (
    MASKS,
    PER_FRAME,
    SCHEMA_VERSION,
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
        self._undecoded: dict[str, Counter[str]] = {"rgb": Counter(), "thermal": Counter()}
        self._refused: Counter[str] = Counter()
        self._passes: Counter[str] = Counter()
        self._masks: list[dict[str, Any]] = []
        self._timings: list[dict[str, float]] = []

    def take(self, message: BagMessage) -> None:
        camera = "rgb" if message.topic == self._dataset.topics.rgb else "thermal"
        try:
            decode = decode_rgb if camera == "rgb" else decode_thermal
            pixels = decode(message.decode())
        except BadImageError as error:
            self._undecoded[camera][error.reason] += 1
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
            self._refused[error.reason] += 1
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
        rgb, thermal = self._undecoded["rgb"], self._undecoded["thermal"]
        return {
            "masks": self._masks,
            "accounting": {
                "rgb": {
                    "received": counters.rgb_received + rgb.total(),
                    "published": len(self._masks),
                    "dropped": dict(Counter(counters.rgb_dropped) + rgb + self._refused),
                    "in_flight": counters.rgb_waiting,
                    "without_thermal": counters.rgb_single,
                },
                "thermal": {
                    "received": counters.thermal_received + thermal.total(),
                    "used": counters.thermal_used,
                    "unused": dict(Counter(counters.thermal_unused) + thermal),
                    "buffered": counters.thermal_buffered,
                },
            },
            "timing_ms": timing_section(self._timings) if self._timings else {},
        }


def replay_through_node(bag: BagReader, model: str, out: Path, options: Sequence[str]) -> Run:
    """Segment a bag with the real ROS 2 node, in processes of its own.

    Args:
        bag: the bag.
        model: bundle folder or shipped name.
        out: folder for masks/ and replay.json.
        options: more words for ``python -m sartm_ros.replay``.

    Raises:
        SartmError: ROS 2 is not there, or the replay failed; why, stands on stderr.
    """
    if find_spec("rclpy") is None:
        raise SartmError(
            "the bag cannot go through the node",
            got="no rclpy",
            expected="ROS 2",
            remedy="source a ROS 2 installation or run `make setup`; "
            "without --through-node no ROS is needed",
        )
    command = [sys.executable, "-m", "sartm_ros.replay", str(bag.path)]
    command += ["--model", model, "--out", str(out), *options]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen(command, env=environment, stdout=sys.stderr) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()  # it ends its node first, so it is not killed
            raise
    if code != 0:
        raise SartmError(
            "the replay through the node failed",
            got=f"exit code {code}",
            remedy=f"read the lines above and {out / 'node.log'}",
        )
    run: Run = json.loads((out / "replay.json").read_text())
    timing = run["timing_ms"]
    stages = {name: values for name, values in timing.items() if values}
    return {
        "masks": run["masks"],
        "accounting": {"rgb": run["accounting"]},
        "timing_ms": {**stages["latency"], "stages": stages} if "latency" in stages else {},
    }


def score_run(
    dataset: BagDataset,
    run: Run,
    out: Path,
    *,
    model: str,
    classes: ClassTable,
    pictures: int = 6,
) -> tuple[dict[str, Any], list[Picture]]:
    """Score the masks of a run against the bag's ground truth.

    Args:
        dataset: the bag.
        run: its masks lie in ``out``.
        out: folder for per_frame.npz.
        model: how metrics.json calls the model.
        classes: what the masks' ids mean; matched to the bag's by name.
        pictures: how many frames the report shows.

    Returns:
        metrics.json without ``provenance``, and the pictures for the report. A bag without ground
        truth gives no scores, only accounting and timing.

    Raises:
        SartmError: classes that the bag does not have, or no mask at all.
    """
    if not run["masks"]:
        raise SartmError(
            f"no mask for {dataset.bag.path}", got=_reasons(run), remedy="see `sartm bag info`"
        )
    files: dict[str, list[Path]] = defaultdict(list)
    for row in run["masks"]:
        files[row["stem"]].append(out / row["file"])
    ids = id_map(classes, dataset.classes)
    tally, detail = Tally(dataset.classes), Detail(dataset.classes)
    scored: dict[str, tuple[str, Path]] = {}
    for stem, label in dataset.labels():
        for number, file in enumerate(files[stem], start=1):
            name = stem if number == 1 else f"{stem}@{number}"
            mask = fit_to_label(ids[read_ids(file)], label)
            tally.add(name, label, mask, night=stem in dataset.nights)
            detail.add(label, mask)
            scored[name] = (stem, file)
    metrics: dict[str, Any] = {"bag": str(dataset.bag.path), "masks": MASKS}
    shown: list[Picture] = []
    if len(tally):
        metrics = {**describe_run(dataset, model, tally, detail), **metrics, "per_frame": PER_FRAME}
        metrics["without_mask"] = sum(not files[stem] for stem in dataset.stems)
        tally.per_frame().write(out / PER_FRAME)
        for name, note in tally.showcase(pictures):
            stem, file = scored[name]
            shown.append(picture(dataset.read(stem), dataset, ids[read_ids(file)], note))
    else:
        scored_nothing = {"schema_version": SCHEMA_VERSION, "dataset": dataset.name, "model": model}
        metrics = {**scored_nothing, "frames": len(run["masks"]), **metrics}
    metrics["accounting"] = run["accounting"]
    metrics["drops"] = run["accounting"]["rgb"]["dropped"]
    if run["timing_ms"]:
        metrics["timing_ms"] = run["timing_ms"]
    return metrics, shown


def _reasons(run: Run) -> str:
    account = run["accounting"]["rgb"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in account["dropped"].items())
    return f"{account['received']} RGB images, dropped: {dropped or 'none'}"
