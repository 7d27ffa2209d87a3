"""What the diagnostics say of a pair's cameras and of their pairing, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from sartm_core.time_offset import TimeOffset
from sartm_ros.accounting import Accounts, RgbAccount, ThermalAccount
from sartm_ros.health import Health, PairHealth, Stream

NA = "n/a"
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
TOLERATED_OFFSET_S = 0.05
"""Clock offset by motion that gives no warning yet."""

Part = tuple[bytes, str, dict[str, Any]]
"""Level, words and values of a status."""

TOLERATED_SHARE = 0.1
"""Share of a period's RGB images that may lack a thermal image without a warning."""

_TRANSPORT_REMEDY = (
    "start the camera driver with FASTRTPS_DEFAULT_PROFILES_FILE set to sartm's config/fastdds.xml"
)
_STAMP_AGE_LIMIT_S = 10.0
_FIRST_IMAGES_S = 0.5
# What is dropped in good order is no fault of the camera.
_RGB_DROPS_WITHOUT_FAULT = frozenset(
    {
        "disabled",
        "overwritten",
        "rate_limit",
        "no_thermal",
        "deactivated",
        "inference_error",
        "no_model",
        "parameters_changed",
    }
)
_UNUSED_WITHOUT_FAULT = frozenset(
    {"not_needed", "late", "expired", "reset", "disabled", "deactivated", "parameters_changed"}
)
_REMEDIES = {
    "zero_stamp": "the driver sends no time stamps; have it stamp its images, or set "
    "sync.allow_zero_stamps",
    "late": "they come out of order, or their clock steps back by less than sync.reset_jump_s; see "
    "the driver, its clock and the network",
    "duplicate_stamp": "see whether two publishers share the topic, or the driver sends images "
    "twice",
}


def rgb_status(now: Health, pair: PairHealth, before: Accounts, period_s: float) -> Part:
    """Status ``rgb input``."""
    account, past, stream = pair.accounts.rgb, before.rgb, pair.streams.get("rgb")
    values = {
        **_stream_values(stream, now),
        "rate_hz": f"{(account.received - past.received) / period_s:.1f}",
        "received": account.received,
        "published": account.published,
        **_by_reason("dropped", account.dropped),
        **_by_reason("in_flight", account.in_flight),
        "lost_in_transport": NA if account.lost_in_transport is None else account.lost_in_transport,
    }
    bad = _increase(account.dropped, past.dropped, _RGB_DROPS_WITHOUT_FAULT)
    level, message = _stream_state(
        now, "RGB", stream, ERROR, bad, _lost(account, past), flat="rgb" in pair.seen.flat
    )
    return level, message, values


def thermal_status(now: Health, pair: PairHealth, before: Accounts, period_s: float) -> Part:
    """Status ``thermal input``."""
    account, past, stream = pair.accounts.thermal, before.thermal, pair.streams.get("thermal")
    values = {
        **_stream_values(stream, now),
        "rate_hz": f"{(account.received - past.received) / period_s:.1f}",
        "received": account.received,
        "used": account.used,
        **_by_reason("unused", account.unused),
        "buffered": account.buffered,
        "lost_in_transport": NA if account.lost_in_transport is None else account.lost_in_transport,
        "published_alone": account.published_alone,
        **_by_reason("dropped_alone", account.dropped_alone),
        "contract": pair.seen.contract or NA,
        "hint": " | ".join(pair.seen.hints),
        "registration": pair.parameters.registration.file or NA,
        "shift_px": f"{NA}: {pair.seen.shift_unsure_because}"
        if pair.seen.shift is None
        else "{:.1f} right, {:.1f} down".format(*pair.seen.shift),
    }
    silence = ERROR if pair.parameters.sync.missing_thermal == "drop" else WARN
    bad = _increase(account.unused, past.unused, _UNUSED_WITHOUT_FAULT)
    level, message = _stream_state(
        now, "thermal", stream, silence, bad, _lost(account, past), flat="thermal" in pair.seen.flat
    )
    shift = pair.seen.shift
    if level == OK and shift is not None and math.hypot(*shift) > pair.seen.shift_limit_px:
        return WARN, _beside(shift), values
    return level, message, values


def pairing_status(pair: PairHealth, before: Accounts, period_s: float) -> Part:
    """Status ``pairing``."""
    sync, past, params = pair.accounts.sync, before.sync, pair.parameters.sync
    if sync is None:
        return OK, NA, {}
    values: dict[str, Any] = {
        "mode": params.mode,
        "paired": sync.rgb_paired,
        "held": sync.rgb_held,
        "single": sync.rgb_single,
        "thermal_only": sync.thermal_only,
        "waiting": sync.rgb_waiting,
        "resets": sync.resets,
    }
    delay = _extra_delay(pair)
    values["thermal_extra_delay_s"] = NA if delay is None else f"{delay:.3f}"
    offset = pair.seen.offset
    values["thermal_offset_by_motion_s"] = (
        f"{offset.offset_s:.3f} ({offset.low_s:.3f} to {offset.high_s:.3f})"
        if offset is not None
        else f"{NA}: {pair.seen.unsure_because}"
    )
    open_s = min((stream.open_s for stream in pair.streams.values()), default=0.0)
    # Just after the subscription the first partner may have gone by unseen.
    if past is not None and open_s - period_s > params.max_wait_s + _FIRST_IMAGES_S:
        if sync.resets > past.resets:
            return WARN, "stamps jumped back: the buffers were emptied", values
        fresh = sync.rgb_paired - sync.rgb_held - (past.rgb_paired - past.rgb_held)
        without = sync.rgb_single + sync.rgb_held + sync.rgb_dropped.get("no_thermal", 0)
        without -= past.rgb_single + past.rgb_held + past.rgb_dropped.get("no_thermal", 0)
        if without > TOLERATED_SHARE * (without + fresh):
            return WARN, _without_thermal(without, without + fresh, delay, pair), values
    if offset is not None and abs(offset.offset_s - params.thermal_offset_s) > TOLERATED_OFFSET_S:
        return WARN, _clocks_apart(offset, params.thermal_offset_s), values
    return OK, "pairing" if sync.rgb_paired else NA, values


def _beside(shift: tuple[float, float]) -> str:
    right, down = shift
    return (
        f"by their outlines, thermal lies {right:.0f} pixels to the right of and {down:.0f} below "
        "RGB; remedy: register it anew (`sartm calibrate`), at the distance that matters"
    )


def _without_thermal(without: int, of: int, delay: float | None, pair: PairHealth) -> str:
    params = pair.parameters.sync
    text = (
        f"{without} of {of} RGB images found no thermal image within {params.slop_s:g} s "
        f"({params.missing_thermal})"
    )
    thermal = pair.streams.get("thermal")
    if thermal is not None and not thermal.ever:
        return f"{text}: there is none at all, see thermal input"
    if delay is None or abs(delay) <= params.slop_s:
        return (
            f"{text}; remedy: compare both rates, and give RGB more time with sync.max_wait_s "
            f"(now {params.max_wait_s:g}) or more room with sync.slop_s"
        )
    if delay < 0:
        return (
            f"{text}: thermal stamps are {-delay:.2f} s ahead of RGB's; remedy: synchronise the "
            f"clocks, or set sync.thermal_offset_s to about {params.thermal_offset_s + delay:.2f}"
        )
    return (
        f"{text}: thermal images come {delay:.2f} s later after their stamps than RGB images; "
        f"remedy: if they are delivered late, set sync.max_wait_s to {delay + 0.05:.2f} or "
        "sync.missing_thermal to hold; if the camera's clock is behind, set sync.thermal_offset_s "
        f"to about {params.thermal_offset_s + delay:.2f}"
    )


def _clocks_apart(offset: TimeOffset, now_s: float) -> str:
    error_s = offset.offset_s - now_s
    side = "behind" if error_s > 0 else "ahead of"
    return (
        f"by the motion that both cameras see, thermal stamps are {abs(error_s):.2f} s {side} "
        "RGB's; remedy: synchronise the clocks, or set sync.thermal_offset_s to "
        f"{offset.offset_s:.2f}"
    )


def _extra_delay(pair: PairHealth) -> float | None:
    """By how much more thermal images arrive behind their corrected stamps than RGB images do."""
    rgb, thermal = pair.streams.get("rgb"), pair.streams.get("thermal")
    if rgb is None or thermal is None or rgb.delay_s is None or thermal.delay_s is None:
        return None
    return thermal.delay_s - pair.parameters.sync.thermal_offset_s - rgb.delay_s


def _stream_state(
    now: Health,
    camera: str,
    stream: Stream | None,
    silent_level: bytes,
    bad: Mapping[str, int],
    lost: int,
    *,
    flat: bool,
) -> tuple[bytes, str]:
    if now.state != "active" or stream is None:
        return OK, f"the node is {now.state}"
    if stream.silent_s > now.parameters.diagnostics.max_silence_s:
        return silent_level, _silence(now, camera, stream)
    if bad:
        counted = ", ".join(f"{reason} {count}" for reason, count in sorted(bad.items()))
        remedies = [_REMEDIES[reason] for reason in sorted(bad) if reason in _REMEDIES]
        known = f"remedy: {'; '.join(remedies)}" if remedies else "the log says why"
        return WARN, f"images dropped since the last report: {counted}; {known}"
    if lost > 0:
        return WARN, f"{lost} images were lost in transport; remedy: {_TRANSPORT_REMEDY}"
    if stream.publishers > 1:
        return WARN, (
            f"{stream.publishers} publishers on {stream.topic}: images of several cameras mix; "
            f"remedy: stop all but one (ros2 topic info -v {stream.topic} names them)"
        )
    if stream.frozen_s:
        return WARN, (
            f"the {camera} image has been the same for {stream.frozen_s:.1f} s: frozen; remedy: "
            "see whether the driver repeats its last image, or raise thermal.freeze_s for a camera "
            "or simulator that does so"
        )
    if flat and stream.ever:
        return WARN, (
            f"the {camera} image has the same value everywhere; remedy: see whether the lens is "
            "covered, the shutter closed or the sensor saturated"
        )
    return OK, "receiving" if stream.ever else NA


def _silence(now: Health, camera: str, stream: Stream) -> str:
    text = (
        f"no {camera} image received for {stream.silent_s:.1f} s on {stream.topic}; "
        f"{stream.publishers} publishers"
    )
    if stream.publishers == 0:
        own = "rgb" if camera == "RGB" else camera
        return f"{text}; remedy: start the camera driver, or remap {own}/image to its topic"
    if stream.mismatch:
        return f"{text}: {stream.mismatch}"
    if now.clock_stands:
        return f"{text}; /clock stands still: the simulation or the bag player is paused"
    return f"{text}; remedy: see whether the driver sends (ros2 topic hz {stream.topic})"


def _stream_values(stream: Stream | None, now: Health) -> dict[str, Any]:
    if stream is None:
        return {"topic": NA, "publishers": NA, "silent_s": NA, "stamp_age_ms": NA}
    age = None if stream.delay_s is None else stream.delay_s + now.clock_ahead_s
    # A replay's stamps say nothing about its images' age.
    known = age is not None and abs(age) < _STAMP_AGE_LIMIT_S
    return {
        "topic": stream.topic,
        "publishers": stream.publishers,
        "silent_s": f"{stream.silent_s:.1f}" if stream.ever else NA,
        "stamp_age_ms": f"{1e3 * age:.0f}" if age is not None and known else NA,
        "frozen_s": f"{stream.frozen_s:.1f}",
        "shutter_events": stream.shutter_events,
    }


def _by_reason(key: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {key: sum(counts.values()), **{f"{key}.{name}": n for name, n in counts.items()}}


def _increase(
    now: Mapping[str, int], before: Mapping[str, int], normal: frozenset[str]
) -> dict[str, int]:
    grown = {reason: count - before.get(reason, 0) for reason, count in now.items()}
    return {reason: n for reason, n in grown.items() if n > 0 and reason not in normal}


def _lost(now: RgbAccount | ThermalAccount, before: RgbAccount | ThermalAccount) -> int:
    return (now.lost_in_transport or 0) - (before.lost_in_transport or 0)
