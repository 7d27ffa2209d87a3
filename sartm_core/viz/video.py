"""MP4 files that every browser plays: H.264, 4:2:0, header first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from sartm_core.errors import SartmError
from sartm_core.files import atomic_path
from sartm_core.frames import Image


def write_video(path: Path | str, pictures: Iterable[Image], rate_hz: float) -> int:
    """Encode pictures of one size as H.264 / yuv420p with a constant frame rate.

    Args:
        path: the .mp4 to write; an older one stays until the new one is complete.
        pictures: HxWx3 uint8 RGB, all of one size. An odd last row or column is left out: 4:2:0
            stores colour for blocks of 2x2 pixels.
        rate_hz: pictures per second.

    Returns:
        The number of pictures written.

    Raises:
        SartmError: no picture, or one of another size or type.
    """
    import av

    frames = 0
    with (
        atomic_path(Path(path).with_suffix(".mp4")) as aside,
        av.open(str(aside), "w", options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream(
            "libx264",
            rate=Fraction(rate_hz).limit_denominator(1001),
            options={"preset": "veryfast", "crf": "20"},
        )
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise SartmError(
                    "cannot put a picture into a video",
                    got=f"{picture.dtype} {list(picture.shape)}",
                    expected="uint8 [H, W, 3]",
                )
            even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
            if frames == 0:
                stream.height, stream.width = even.shape[:2]
            elif even.shape[:2] != (stream.height, stream.width):
                raise SartmError(
                    "cannot put a picture into a video",
                    got=f"{even.shape[1]}x{even.shape[0]} as picture {frames}",
                    expected=f"{stream.width}x{stream.height} like the first",
                )
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            frame.pts = frames
            container.mux(stream.encode(frame))
            frames += 1
        if frames == 0:
            raise SartmError(f"no picture for {path}", expected="at least one")
        container.mux(stream.encode())
    return frames


def side_by_side(panels: Sequence[Image]) -> Image:
    """Put pictures next to each other, each brought to the height of the first.

    Args:
        panels: HxWx3 uint8 RGB, any sizes.

    Returns:
        HxWx3 uint8 RGB with the height of the first panel.
    """
    import cv2

    height = panels[0].shape[0]
    scaled = [
        panel
        if panel.shape[0] == height
        else cv2.resize(panel, (round(panel.shape[1] * height / panel.shape[0]), height))
        for panel in panels
    ]
    return np.ascontiguousarray(np.concatenate(scaled, axis=1), dtype=np.uint8)


def caption(picture: Image, text: str, color: tuple[int, int, int] = (255, 255, 255)) -> Image:
    """A copy of the picture with one line of text on a dark bar at its top.

    Args:
        picture: HxWx3 uint8 RGB.
        text: ASCII text.
        color: of the text, RGB.
    """
    import cv2

    labelled = picture.copy()
    bar = max(16, picture.shape[0] // 16)
    labelled[:bar] //= 4
    place = (bar // 4, round(bar * 0.72))
    cv2.putText(labelled, text, place, cv2.FONT_HERSHEY_SIMPLEX, bar / 50, color, 1, cv2.LINE_AA)
    return labelled
