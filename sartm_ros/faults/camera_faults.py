"""Faults of the cameras, their clocks, drivers and topics; every live node can be put to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from sensor_msgs.msg import Image

from sartm_ros.faults import alterations as alter
from sartm_ros.faults.alterations import MakeAlteration, Shot
from sartm_ros.faults.cameras import profile, wait_until_matched
from sartm_ros.faults.description import Expected, Fault, Harmless, Told
from sartm_ros.faults.rig import Rig

RGB, THERMAL, BOTH = ("rgb",), ("thermal",), ("rgb", "thermal")
RGB_INPUT, THERMAL_INPUT, PAIRING = "rgb input", "thermal input", "pairing"
_SECOND_CAMERA_NS = 7_000_000


def _images(
    name: str, does: str, cameras: tuple[str, ...], make: MakeAlteration, expected: Expected
) -> Fault:
    """A fault that alters these cameras' images."""

    def inject(rig: Rig) -> AbstractContextManager[None]:
        return rig.cameras.altered(make, *cameras)

    return Fault(name=name, does=does, cameras=cameras, expected=expected, inject=inject)


def _dropped(stream: str, reason: str) -> Told:
    return Told(f"{stream} input", "WARN", f"dropped since the last report: {reason}")


@contextmanager
def _publisher_dies(rig: Rig) -> Iterator[None]:
    with rig.cameras.unplugged("rgb"):
        yield


@contextmanager
def _second_publisher(rig: Rig) -> Iterator[None]:
    camera = rig.cameras.rgb
    other = rig.node.create_publisher(Image, camera.topic, profile(reliable=True))

    def both(shot: Shot) -> Iterable[alter.Delivery]:
        camera.publish(shot.message())
        other.publish(replace(shot, stamp_ns=shot.stamp_ns + _SECOND_CAMERA_NS).message())
        return []

    try:
        wait_until_matched(other)
        with rig.cameras.altered(lambda: both, "rgb"):
            yield
    finally:
        rig.node.destroy_publisher(other)


FAULTS = (
    _images(
        "rgb_silent",
        "no RGB image comes",
        RGB,
        alter.silent,
        Told(RGB_INPUT, "ERROR", "no RGB image received"),
    ),
    _images(
        "thermal_silent",
        "no thermal image comes",
        THERMAL,
        alter.silent,
        Told(THERMAL_INPUT, "WARN", "no thermal image received"),
    ),
    _images(
        "both_silent",
        "no image of either camera comes",
        BOTH,
        alter.silent,
        Told(RGB_INPUT, "ERROR", "see whether the driver sends"),
    ),
    Fault(
        name="publisher_dies",
        does="the RGB camera's publisher goes, and comes back in the end",
        cameras=RGB,
        expected=Told(RGB_INPUT, "ERROR", "0 publishers; remedy: start the camera driver"),
        inject=_publisher_dies,
        reconnects=True,
    ),
    Fault(
        name="second_publisher",
        does="a second camera publishes on the RGB topic",
        cameras=RGB,
        expected=Told(RGB_INPUT, "WARN", "2 publishers on"),
        inject=_second_publisher,
        reconnects=True,
    ),
    _images(
        "rgb_frozen",
        "the RGB camera repeats one picture, with fresh stamps",
        RGB,
        alter.frozen,
        Told(RGB_INPUT, "WARN", "frozen"),
    ),
    _images(
        "thermal_frozen",
        "the thermal camera repeats one picture, with fresh stamps",
        THERMAL,
        alter.frozen,
        Told(THERMAL_INPUT, "WARN", "frozen"),
    ),
    _images(
        "rgb_all_zero",
        "every RGB pixel is 0",
        RGB,
        alter.flat(0.0),
        Told(RGB_INPUT, "WARN", "same value everywhere"),
    ),
    _images(
        "thermal_all_zero",
        "every thermal pixel is 0",
        THERMAL,
        alter.flat(0.0),
        Told(THERMAL_INPUT, "WARN", "same value everywhere"),
    ),
    _images(
        "thermal_saturated",
        "every thermal pixel has the largest value",
        THERMAL,
        alter.flat(1.0),
        Told(THERMAL_INPUT, "WARN", "same value everywhere"),
    ),
    _images(
        "thermal_late",
        "thermal images come 0.5 s after their stamps",
        THERMAL,
        alter.late(0.5),
        Told(PAIRING, "WARN", "later after their stamps than RGB images"),
    ),
    _images(
        "rgb_late", "RGB images come 0.5 s after their stamps", RGB, alter.late(0.5), Harmless()
    ),
    _images(
        "jitter",
        "images come up to 15 ms after their stamps, each by another time",
        BOTH,
        alter.jitter(0.015),
        Harmless(),
    ),
    _images(
        "burst",
        "RGB images are withheld, and come all together every 0.3 s",
        RGB,
        alter.burst(0.3),
        Harmless(),
    ),
    _images(
        "rgb_reordered",
        "of every two RGB images the second comes first",
        RGB,
        alter.reordered,
        _dropped("rgb", "late"),
    ),
    _images(
        "thermal_reordered",
        "of every two thermal images the second comes first",
        THERMAL,
        alter.reordered,
        Told(PAIRING, "WARN", "RGB images found no thermal image"),
    ),
    _images(
        "rgb_duplicates",
        "every RGB image comes twice",
        RGB,
        alter.twice,
        _dropped("rgb", "duplicate_stamp"),
    ),
    _images(
        "thermal_duplicates",
        "every thermal image comes twice",
        THERMAL,
        alter.twice,
        _dropped("thermal", "duplicate_stamp"),
    ),
    _images(
        "rgb_zero_stamps",
        "RGB images have no stamp",
        RGB,
        alter.without_stamp,
        _dropped("rgb", "zero_stamp"),
    ),
    _images(
        "thermal_zero_stamps",
        "thermal images have no stamp",
        THERMAL,
        alter.without_stamp,
        _dropped("thermal", "zero_stamp"),
    ),
    _images(
        "jump_back",
        "both cameras' stamps jump back by 10 s",
        BOTH,
        alter.stamped(-10.0),
        Told(PAIRING, "WARN", "stamps jumped back"),
    ),
    _images(
        "jump_forward",
        "both cameras' stamps jump forward by 10 s, and back in the end",
        BOTH,
        alter.stamped(10.0),
        Harmless(),
    ),
    _images(
        "rgb_jump_forward",
        "RGB stamps jump forward by 10 s, and back in the end",
        RGB,
        alter.stamped(10.0),
        Told(PAIRING, "WARN", "10.00 s later after their stamps than RGB images"),
    ),
    _images(
        "thermal_jump_back",
        "thermal stamps jump back by 10 s",
        THERMAL,
        alter.stamped(-10.0),
        Told(PAIRING, "WARN", "10.00 s later after their stamps than RGB images"),
    ),
    _images(
        "bag_loop",
        "stamps begin again every 1.5 s, as those of a bag in a loop",
        BOTH,
        alter.looped(1.5),
        Told(PAIRING, "WARN", "stamps jumped back"),
    ),
    _images(
        "rgb_wrong_encoding",
        "RGB images are grey (mono8)",
        RGB,
        alter.grey,
        _dropped("rgb", "wrong_encoding"),
    ),
    _images(
        "thermal_wrong_encoding",
        "thermal images have false colours (rgb8)",
        THERMAL,
        alter.false_colors,
        _dropped("thermal", "wrong_encoding"),
    ),
    _images(
        "rgb_bad_step",
        "the step of RGB images is shorter than a row",
        RGB,
        alter.with_fields(step=10),
        _dropped("rgb", "bad_step"),
    ),
    _images(
        "thermal_bad_step",
        "the step of thermal images is shorter than a row",
        THERMAL,
        alter.with_fields(step=10),
        _dropped("thermal", "bad_step"),
    ),
    _images(
        "rgb_truncated",
        "half of the bytes of RGB images are missing",
        RGB,
        alter.truncated,
        _dropped("rgb", "truncated"),
    ),
    _images(
        "thermal_truncated",
        "half of the bytes of thermal images are missing",
        THERMAL,
        alter.truncated,
        _dropped("thermal", "truncated"),
    ),
    _images(
        "rgb_zero_size",
        "RGB images have no rows",
        RGB,
        alter.with_fields(height=0),
        _dropped("rgb", "zero_size"),
    ),
    _images(
        "thermal_zero_size",
        "thermal images have no columns",
        THERMAL,
        alter.with_fields(width=0),
        _dropped("thermal", "zero_size"),
    ),
    _images(
        "size_change",
        "both cameras go on at half the size",
        BOTH,
        alter.smaller,
        Harmless(),
    ),
    _images(
        "aspect_change",
        "thermal images lose their right half",
        THERMAL,
        alter.narrower,
        _dropped("rgb", "wrong_aspect"),
    ),
    _images(
        "big_endian",
        "thermal images come in the other byte order, and say so",
        THERMAL,
        alter.big_endian,
        Harmless(),
    ),
    _images(
        "thermal_nan",
        "thermal images in kelvin have a pixel that is NaN",
        THERMAL,
        alter.kelvin_with(math.nan),
        _dropped("thermal", "non_finite"),
    ),
    _images(
        "thermal_infinite",
        "thermal images in kelvin have a pixel that is infinite",
        THERMAL,
        alter.kelvin_with(math.inf),
        _dropped("thermal", "non_finite"),
    ),
)
