"""What the synchroniser takes and gives: its parameters, the pairs and the counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sartm_core.errors import SartmError


def _param(default: Any, description: str, **limits: Any) -> Any:
    return field(default=default, metadata={"description": description, **limits})


@dataclass(frozen=True, kw_only=True)
class SyncParameters:
    """Rules of pairing; each field is the node's parameter ``sync.NAME``.

    The metadata of each field holds its ``description`` and, where it has limits, ``range``
    (lowest, highest) or ``choices``.

    Raises:
        SartmError: a value outside its range or choices, or message_filters with mode reuse.
    """

    mode: str = _param(
        "reuse",
        "reuse: every RGB image takes the nearest thermal image; match: one to one",
        choices=("reuse", "match"),
    )
    policy: str = _param(
        "nearest",
        "nearest: sartm's own pairing; message_filters: ApproximateTimeSynchronizer (mode match)",
        choices=("nearest", "message_filters"),
    )
    slop_s: float = _param(
        0.06, "largest time offset between the two images of a pair [s]", range=(0.0, 10.0)
    )
    thermal_offset_s: float = _param(
        0.0,
        "added to thermal stamps before they are compared with RGB stamps [s]; "
        "negative for a thermal camera that stamps too late",
        range=(-60.0, 60.0),
    )
    max_wait_s: float = _param(
        0.02,
        "longest time an RGB image waits for a nearer thermal image [s]",
        range=(0.0, 10.0),
    )
    missing_thermal: str = _param(
        "single",
        "without a thermal image: hold = reuse the last one up to max_hold_s, "
        "single = RGB alone, drop",
        choices=("hold", "single", "drop"),
    )
    max_hold_s: float = _param(
        0.5,
        "oldest thermal image that hold reuses [s]; also how long RGB may be silent at the start "
        "before thermal goes out alone",
        range=(0.0, 60.0),
    )
    missing_rgb: str = _param(
        "single",
        "when RGB is silent for three of its periods: single = thermal alone, drop",
        choices=("single", "drop"),
    )
    reset_jump_s: float = _param(
        1.0,
        "a step back in time larger than this empties the buffers; a smaller one is reordering [s]",
        range=(0.001, 3600.0),
    )
    allow_zero_stamps: bool = _param(
        False, "accept messages without a stamp; the time of arrival is used instead"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value, limits = getattr(self, item.name), item.metadata
            if "choices" in limits and value not in limits["choices"]:
                raise SartmError(
                    f"sync.{item.name} is unknown",
                    got=repr(value),
                    expected=" or ".join(limits["choices"]),
                )
            if "range" in limits and not limits["range"][0] <= value <= limits["range"][1]:
                low, high = limits["range"]
                raise SartmError(
                    f"sync.{item.name} is out of range", got=value, expected=f"{low} to {high}"
                )
        if self.policy == "message_filters" and self.mode != "match":
            raise SartmError(
                "sync.policy message_filters pairs one to one",
                got=f"sync.mode {self.mode}",
                expected="sync.mode match",
                remedy="set sync.mode:=match, or sync.policy:=nearest",
            )


@dataclass(frozen=True, slots=True)
class Pair:
    """What goes on to the model.

    Attributes:
        rgb, thermal: the items given to the synchroniser; one of them may be None.
        rgb_stamp_ns: the RGB stamp used, or None.
        thermal_stamp_ns: the thermal stamp as it came, without ``thermal_offset_s``, or None.
        offset_ns: corrected thermal stamp - RGB stamp, or None unless both are there.
        degraded: why this is less than a fresh pair: ``no_thermal``, ``held_thermal``, ``no_rgb``;
            empty for a fresh pair.
        arrival_ns: steady arrival time of the RGB item, or of the thermal item alone.
    """

    rgb: Any
    thermal: Any
    rgb_stamp_ns: int | None
    thermal_stamp_ns: int | None
    offset_ns: int | None
    degraded: str
    arrival_ns: int


@dataclass(frozen=True)
class SyncCounters:
    """Where every message went.

    ``rgb_received = rgb_paired + rgb_single + sum(rgb_dropped) + rgb_waiting`` and
    ``thermal_received = thermal_used + sum(thermal_unused) + thermal_buffered`` at any moment.
    ``rgb_held`` is the part of rgb_paired with a held thermal image, ``thermal_used`` counts images
    used at least once, ``thermal_only`` the pairs without RGB among them, ``resets`` the jumps back
    in time of either stream.

    Reasons for RGB: ``no_thermal`` (policy drop), ``late`` (a newer one has gone out),
    ``duplicate_stamp``, ``zero_stamp``. For thermal: ``not_needed`` (RGB has moved on), ``late``
    (the same, on arrival), ``expired`` (no RGB came), ``reset``, ``duplicate_stamp``,
    ``zero_stamp``.
    """

    rgb_received: int
    rgb_paired: int
    rgb_held: int
    rgb_single: int
    rgb_dropped: Mapping[str, int]
    rgb_waiting: int
    thermal_received: int
    thermal_used: int
    thermal_unused: Mapping[str, int]
    thermal_buffered: int
    thermal_only: int
    resets: int
