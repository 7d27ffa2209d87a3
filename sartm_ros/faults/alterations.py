"""What may happen to a camera's images between its sensor and the topic."""

from __future__ import annotations

import array
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from sartm_core.encodings import Pixels, encode_image

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shot:
    """What a camera saw.

    Attributes:
        pixels: HxWx3 uint8 or HxW of the encoding's dtype.
        encoding: of sensor_msgs/Image.
        stamp_ns: for the header.
        frame_id: for the header.
    """

    pixels: Pixels
    encoding: str
    stamp_ns: int
    frame_id: str

    def message(self, **fields: Any) -> Image:
        """The image message; ``fields`` replace what would be right."""
        height, width = self.pixels.shape[:2]
        message = Image(height=height, width=width, encoding=self.encoding)
        message.header.frame_id = self.frame_id
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(self.stamp_ns, SECOND)
        message.step, pixels = encode_image(self.pixels, self.encoding)
        # The array constructor would copy element by element.
        data = array.array("B")
        data.frombytes(memoryview(pixels))
        message.data = data
        for name, value in fields.items():
            setattr(message, name, value)
        return message


Delivery = tuple[float, Image]
"""Seconds to wait, and what is published then, but not before what was delivered earlier."""
Alteration = Callable[[Shot], Iterable[Delivery]]
MakeAlteration = Callable[[], Alteration]
"""Gives an alteration without memory of earlier ones; called for each camera and each trial."""


def untouched(shot: Shot) -> Iterable[Delivery]:
    """Every image as it is, at once."""
    return [(0.0, shot.message())]


def silent() -> Alteration:
    """Nothing is published."""
    return lambda shot: []


def late(delay_s: float) -> MakeAlteration:
    """Every image comes ``delay_s`` after its stamp."""
    return lambda: lambda shot: [(delay_s, shot.message())]


def jitter(largest_s: float) -> MakeAlteration:
    """Every image comes up to ``largest_s`` after its stamp, each by another time."""

    def make() -> Alteration:
        rng = random.Random(0)
        return lambda shot: [(rng.uniform(0.0, largest_s), shot.message())]

    return make


def burst(period_s: float) -> MakeAlteration:
    """Images are withheld, and come all together every ``period_s``."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        return [(period_s - time.monotonic() % period_s, shot.message())]

    return lambda: alter


def reordered() -> Alteration:
    """Of every two images the second comes first."""
    held: list[Image] = []

    def alter(shot: Shot) -> Iterable[Delivery]:
        if not held:
            held.append(shot.message())
            return []
        return [(0.0, shot.message()), (0.0, held.pop())]

    return alter


def twice() -> Alteration:
    """Every image comes two times."""
    return lambda shot: [(0.0, shot.message())] * 2


def stamped(by_s: float) -> MakeAlteration:
    """Stamps are ``by_s`` too late, or too early if negative."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        return changed(shot, stamp_ns=shot.stamp_ns + round(by_s * SECOND))

    return lambda: alter


def without_stamp() -> Alteration:
    """The driver sets no stamp."""
    return lambda shot: changed(shot, stamp_ns=0)


def looped(period_s: float) -> MakeAlteration:
    """Stamps begin again every ``period_s``, as a bag played in a loop has them."""

    def make() -> Alteration:
        start: list[int] = []

        def alter(shot: Shot) -> Iterable[Delivery]:
            if not start:
                start.append(shot.stamp_ns)
            since = (shot.stamp_ns - start[0]) % round(period_s * SECOND)
            return changed(shot, stamp_ns=start[0] + since)

        return alter

    return make


def with_fields(**fields: Any) -> MakeAlteration:
    """The message's fields say something else."""
    return lambda: lambda shot: [(0.0, shot.message(**fields))]


def grey() -> Alteration:
    """Without colours."""
    return lambda shot: changed(shot, pixels=shot.pixels[..., 0], encoding="mono8")


def false_colors() -> Alteration:
    """Three channels where there should be one."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        level = (shot.pixels % 256).astype(np.uint8)
        return changed(shot, pixels=np.stack([level, level, level], axis=-1), encoding="rgb8")

    return alter


def truncated() -> Alteration:
    """Half of the bytes are missing."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        message = shot.message()
        message.data = message.data[: len(message.data) // 2]
        return [(0.0, message)]

    return alter


def smaller() -> Alteration:
    """Half the size, of the same view."""
    return lambda shot: changed(shot, pixels=shot.pixels[::2, ::2])


def narrower() -> Alteration:
    """The right half is missing: another aspect."""
    return lambda shot: changed(shot, pixels=shot.pixels[:, : shot.pixels.shape[1] // 2])


def big_endian() -> Alteration:
    """The other byte order, and the message says so."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        return [(0.0, replace(shot, pixels=shot.pixels.byteswap()).message(is_bigendian=1))]

    return alter


def kelvin_with(value: float) -> MakeAlteration:
    """Kelvin as float, with one pixel that is no temperature."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        kelvin = np.full(shot.pixels.shape[:2], 300.0, np.float32)
        kelvin[0, 0] = value
        return changed(shot, pixels=kelvin, encoding="32FC1")

    return lambda: alter


def frozen() -> Alteration:
    """The same picture again and again, with fresh stamps."""
    first: list[Pixels] = []

    def alter(shot: Shot) -> Iterable[Delivery]:
        if not first:
            first.append(shot.pixels)
        return changed(shot, pixels=first[0])

    return alter


def flat(share: float) -> MakeAlteration:
    """Every pixel has the same value, ``share`` of the largest."""

    def alter(shot: Shot) -> Iterable[Delivery]:
        kind = shot.pixels.dtype
        top = 500.0 if kind.kind == "f" else np.iinfo(kind).max
        return changed(shot, pixels=np.full_like(shot.pixels, top * share))

    return lambda: alter


def poisoned(red: int) -> MakeAlteration:
    """The picture that a model written by ``poison`` answers as it was told to for this red."""
    return lambda: lambda shot: changed(shot, pixels=with_red(shot.pixels, red))


def poisoned_once(red: int, apart_s: float = 0.3) -> MakeAlteration:
    """One such picture, with nothing just before and after it that could overwrite it."""

    def make() -> Alteration:
        begin = time.monotonic()
        done: list[bool] = []

        def alter(shot: Shot) -> Iterable[Delivery]:
            since = time.monotonic() - begin
            if since > 2 * apart_s:
                return untouched(shot)
            if since < apart_s or done:
                return []
            done.append(True)
            return changed(shot, pixels=with_red(shot.pixels, red))

        return alter

    return make


def with_red(pixels: Pixels, red: int) -> Pixels:
    """HxWx3 pixels whose red channel has one value."""
    result = pixels.copy()
    result[..., 0] = red
    return result


def changed(shot: Shot, **changes: Any) -> Iterable[Delivery]:
    """A shot of which something differs, at once."""
    return [(0.0, replace(shot, **changes).message())]
