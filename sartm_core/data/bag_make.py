"""Bags made from a labelled data set or from a synthetic drive, with the faults of real cameras."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sartm_core.classes import MFNET, ClassTable, class_rows
from sartm_core.data.bags import (
    FRAME_TOPIC,
    GROUND_TRUTH_TOPIC,
    RGB_TOPIC,
    SECOND,
    THERMAL_TOPIC,
    TRANSPORT,
    BagWriter,
)
from sartm_core.encodings import ENCODABLE_COLORS, Pixels
from sartm_core.errors import SartmError
from sartm_core.frames import Image, ThermalImage

if TYPE_CHECKING:
    from sartm_core.data.sample import Dataset
    from sartm_core.data.synthetic import SceneSequence

START_NS = 1_700_000_000 * SECOND
RGB_FRAME_ID = "rgb_camera_optical_frame"
THERMAL_FRAME_ID = "thermal_camera_optical_frame"
RGB_CHOICES = (*ENCODABLE_COLORS, "jpeg", "png")
THERMAL_CHOICES = ("auto", "jpeg", "png", "mono16", "png16")
GREY_KELVIN = (273.15, 0.2)
"""Kelvin of grey level 0, and per level, where 8-bit data play a radiometric camera: with
thermal.scale 0.01 and thermal.window [273.15, 324.15] the levels come back."""

_RAW_ENCODINGS = {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}
_CODECS: dict[str, Literal["jpeg", "png"]] = {"jpeg": "jpeg", "png": "png", "png16": "png"}


@dataclass(frozen=True, kw_only=True)
class BagOptions:
    """How the two cameras of a made bag run.

    Attributes:
        rate_hz, thermal_rate_hz: images per second; thermal None = as RGB.
        offset_s: what has to be added to thermal stamps, as ``sync.thermal_offset_s``: thermal
            images show the scene at their stamp + offset.
        jitter_s: images are taken up to this much earlier or later, each on its own.
        drop: share of the images of each camera that are missing.
        encoding: of the RGB images, one of ``RGB_CHOICES``; jpeg and png go to TOPIC/compressed.
        thermal_encoding: of the thermal images: auto = raw, as the data are; jpeg (8 bit only),
            png; mono16, png16 = hundredths of a kelvin (16-bit data as they are).
        loops: how often a data set is repeated; stamps go on.
        seed: of jitter and drops.
    """

    rate_hz: float = 10.0
    thermal_rate_hz: float | None = None
    offset_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0
    encoding: str = "rgb8"
    thermal_encoding: str = "auto"
    loops: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        rates = (self.rate_hz, self.thermal_rate_hz or self.rate_hz)
        if not all(0 < rate <= 1000 for rate in rates):
            raise SartmError("bad rate", got=rates, expected="above 0, at most 1000 images/s")
        if not 0 <= self.jitter_s < 0.5 / max(rates):
            raise SartmError(
                "jitter would change the order of images",
                got=f"{self.jitter_s} s",
                expected=f"0 to below {0.5 / max(rates):.4f} s, half an image interval",
            )
        if not 0 <= self.drop < 1:
            raise SartmError("bad share of dropped images", got=self.drop, expected="0 to below 1")
        if self.encoding not in RGB_CHOICES:
            raise SartmError("bad RGB encoding", got=self.encoding, expected=", ".join(RGB_CHOICES))
        if self.thermal_encoding not in THERMAL_CHOICES:
            raise SartmError(
                "bad thermal encoding",
                got=self.thermal_encoding,
                expected=", ".join(THERMAL_CHOICES),
            )
        if self.loops < 1:
            raise SartmError("bad number of loops", got=self.loops, expected="at least 1")


@dataclass(frozen=True, slots=True)
class _Rgb:
    pixels: Image
    label: Image | None
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Shot:
    """One image to take: which camera, when (seconds from the start), its running number."""

    time_s: float
    camera: Literal["thermal", "rgb"]
    number: int


def make_bag_from_dataset(
    dataset: Dataset,
    out: Path,
    options: BagOptions | None = None,
    *,
    overwrite: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Play a data set's frames, in order, as two cameras.

    With a thermal rate of its own, each thermal image is the one of the frame nearest in time.

    Args:
        dataset: the frames; labels become ground truth where there are any.
        out: see ``BagWriter``.
        options: how the cameras run; None = the defaults.
        overwrite: replace ``out`` if it exists.
        advance: called after each image.

    Returns:
        topic -> number of messages.

    Raises:
        SartmError: the data set is empty or broken, or ``out`` cannot be written.
    """
    options = options or BagOptions()
    stems = dataset.stems
    total = len(stems) * options.loops
    read = lru_cache(maxsize=4)(dataset.read)
    names = _class_entry(dataset.classes)

    def rgb(number: int, _: float) -> _Rgb:
        sample = read(stems[number % len(stems)])
        lap = number // len(stems)
        stem = f"{sample.stem}-lap{lap + 1}" if lap else sample.stem
        about = {"stem": stem, "dataset": dataset.name, "split": dataset.split}
        return _Rgb(sample.rgb, sample.label, {**about, "night": sample.night, "classes": names})

    def thermal(time_s: float) -> ThermalImage:
        number = min(max(round(time_s * options.rate_hz), 0), total - 1)
        return read(stems[number % len(stems)]).thermal

    return _write(out, options, total / options.rate_hz, rgb, thermal, overwrite, advance)


def make_bag_from_sequence(
    sequence: SceneSequence,
    out: Path,
    duration_s: float,
    options: BagOptions | None = None,
    *,
    name: str = "synthetic",
    overwrite: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Drive through a synthetic world; each image shows the moment at which it is taken.

    Arguments and result as for ``make_bag_from_dataset``; ``name`` stands for the data set's.
    """
    options = options or BagOptions()
    names = _class_entry(MFNET)

    def rgb(number: int, time_s: float) -> _Rgb:
        scene = sequence.render(time_s)
        about = {"stem": f"{number:05d}", "dataset": name, "split": None, "night": scene.night}
        return _Rgb(scene.rgb, scene.label, {**about, "classes": names})

    def thermal(time_s: float) -> ThermalImage:
        return sequence.render(time_s).thermal

    return _write(out, options, duration_s, rgb, thermal, overwrite, advance)


def count_images(options: BagOptions, duration_s: float) -> int:
    """How often ``advance`` is called for a bag of this length."""
    return sum(1 for _ in _shots(options, duration_s))


def _write(
    out: Path,
    options: BagOptions,
    duration_s: float,
    rgb: Callable[[int, float], _Rgb],
    thermal: Callable[[float], ThermalImage],
    overwrite: bool,
    advance: Callable[[], None],
) -> dict[str, int]:
    rgb_topic = RGB_TOPIC + (TRANSPORT if options.encoding in _CODECS else "")
    thermal_topic = THERMAL_TOPIC + (TRANSPORT if options.thermal_encoding in _CODECS else "")
    counts = dict.fromkeys((rgb_topic, thermal_topic, GROUND_TRUTH_TOPIC, FRAME_TOPIC), 0)
    with BagWriter(out, overwrite=overwrite) as bag:

        def image(
            topic: str, stamp_ns: int, frame_id: str, pixels: Pixels, encoding: str, log_ns: int
        ) -> None:
            if (codec := _CODECS.get(encoding)) is not None:
                bag.compressed(topic, stamp_ns, frame_id, pixels, codec, log_ns)
            else:
                bag.image(topic, stamp_ns, frame_id, pixels, encoding, log_ns)
            counts[topic] += 1

        for shot in _shots(options, duration_s):
            time = START_NS + round(shot.time_s * SECOND)
            if shot.camera == "thermal":
                encoding = options.thermal_encoding
                pixels = thermal(shot.time_s)
                if encoding in ("mono16", "png16"):
                    pixels = _centikelvin(pixels)
                elif encoding == "auto":
                    encoding = _RAW_ENCODINGS[pixels.dtype.name]
                stamp = time - round(options.offset_s * SECOND)
                image(thermal_topic, stamp, THERMAL_FRAME_ID, pixels, encoding, time)
            else:
                frame = rgb(shot.number, shot.time_s)
                bag.text(FRAME_TOPIC, time, json.dumps(frame.about))
                counts[FRAME_TOPIC] += 1
                if frame.label is not None:
                    image(GROUND_TRUTH_TOPIC, time, RGB_FRAME_ID, frame.label, "mono8", time)
                image(rgb_topic, time, RGB_FRAME_ID, frame.pixels, options.encoding, time)
            advance()
    return counts


def _centikelvin(pixels: ThermalImage) -> ThermalImage:
    """HxW uint16, hundredths of a kelvin; 16-bit counts stay what they are."""
    if pixels.dtype == np.uint16:
        return pixels
    kelvin = pixels.astype(np.float64)
    if pixels.dtype == np.uint8:
        kelvin = GREY_KELVIN[0] + GREY_KELVIN[1] * kelvin
    return np.rint(100 * kelvin).clip(0, 65535).astype(np.uint16)


def _shots(options: BagOptions, duration_s: float) -> Iterator[_Shot]:
    """Every image of both cameras in the order of time; thermal first where they coincide."""
    if not 0 < duration_s < float("inf"):
        raise SartmError("bad length of a bag", got=f"{duration_s} s", expected="above 0 s")
    rng = random.Random(options.seed)
    shots = []
    cameras: tuple[tuple[Literal["thermal", "rgb"], float], ...] = (
        ("thermal", options.thermal_rate_hz or options.rate_hz),
        ("rgb", options.rate_hz),
    )
    for order, (camera, rate) in enumerate(cameras):
        for number in range(max(1, round(duration_s * rate))):
            time = number / rate + rng.uniform(-options.jitter_s, options.jitter_s)
            if rng.random() >= options.drop:
                shots.append((max(time, 0.0), order, _Shot(max(time, 0.0), camera, number)))
    yield from (shot for _, _, shot in sorted(shots, key=lambda entry: entry[:2]))


def _class_entry(table: ClassTable) -> dict[str, Any]:
    return {"name": table.name, "classes": class_rows(table)}
