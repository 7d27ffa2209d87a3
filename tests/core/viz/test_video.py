"""Videos decode to what was put in: count, rate, size, colours."""

import numpy as np
import pytest

from sartm_core.errors import SartmError
from sartm_core.viz.video import caption, side_by_side, write_video

av = pytest.importorskip("av")


def flat(color, height=48, width=64):
    return np.full((height, width, 3), color, np.uint8)


def test_every_picture_comes_back_at_its_place_and_time(tmp_path):
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (200, 200, 200)]
    written = write_video(tmp_path / "v.mp4", (flat(c) for c in colors), rate_hz=10)
    assert written == 4
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.duration * stream.time_base) == pytest.approx(0.4)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 4
    for picture, color in zip(decoded, colors, strict=True):
        assert np.abs(picture.mean(axis=(0, 1)) - color).max() < 12


def test_odd_sizes_lose_a_row_and_a_column(tmp_path):
    write_video(tmp_path / "v.mp4", [flat((1, 2, 3), 49, 65)], rate_hz=10)
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (48, 64)


@pytest.mark.parametrize(
    "pictures",
    [
        [],  # nothing to show
        [flat((0, 0, 0)), flat((0, 0, 0), 32, 32)],  # the size changes
        [np.zeros((4, 4), np.uint8)],  # grey
    ],
)
def test_a_refused_video_leaves_the_old_file(tmp_path, pictures):
    (tmp_path / "v.mp4").write_bytes(b"old")
    with pytest.raises(SartmError):
        write_video(tmp_path / "v.mp4", pictures, rate_hz=10)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    assert (tmp_path / "v.mp4").read_bytes() == b"old"


def test_panels_take_the_first_height():
    joined = side_by_side([flat((1, 1, 1), 40, 60), flat((2, 2, 2), 20, 30)])
    assert joined.shape == (40, 120, 3)
    assert (joined[:, 60:] == 2).all()


def test_a_caption_leaves_the_given_picture_alone():
    picture = flat((100, 100, 100), 480, 640)
    captioned = caption(picture, "RGB")
    assert (picture == 100).all()
    assert (captioned[30:] == 100).all()
    assert captioned[:30].max() > 200
