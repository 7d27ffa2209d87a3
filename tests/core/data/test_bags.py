from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.classes import MFNET
from sartm_core.compressed import encode_compressed
from sartm_core.data.bag_info import bag_info
from sartm_core.data.bag_make import (
    START_NS,
    BagOptions,
    count_images,
    make_bag_from_dataset,
    make_bag_from_sequence,
)
from sartm_core.data.bag_messages import typestore
from sartm_core.data.bags import (
    COMPRESSED_TYPE,
    FRAME_TOPIC,
    GROUND_TRUTH_TOPIC,
    IMAGE_TYPE,
    RGB_TOPIC,
    THERMAL_TOPIC,
    BagMessage,
    BagReader,
    BagWriter,
    find_topics,
    header_stamp,
    pixels_of,
    replay_order,
    with_stamp,
)
from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.synchronizer import Synchronizer, SyncParameters
from sartm_core.thermal import ThermalSpec, normalise

MS = 1_000_000
SECOND = 1000 * MS


class Frames:
    """Six frames whose pixels tell their number."""

    name, split, classes = "six", "val", MFNET
    stems = tuple(f"{i:05d}{'N' if i % 2 else 'D'}" for i in range(6))

    def __init__(self, thermal_dtype: type = np.uint8) -> None:
        self.thermal_dtype = thermal_dtype

    def read(self, stem: str) -> Sample:
        number = int(stem[:5])
        rgb = np.full((6, 8, 3), (number, 100, 200), np.uint8)
        thermal = np.full((6, 8), number, self.thermal_dtype)
        label = np.full((6, 8), number, np.uint8)
        night = stem.endswith("N")
        return Sample(stem=stem, rgb=rgb, thermal=thermal, label=label, night=night)


def read(path: Path, topic: str) -> list[BagMessage]:
    return list(BagReader(path).messages([topic]))


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "folder"])
def test_a_data_set_comes_back_from_the_bag(tmp_path, name):
    counts = make_bag_from_dataset(Frames(), tmp_path / name)
    bag = BagReader(tmp_path / name)
    assert bag.counts == counts
    assert set(counts.values()) == {6}
    rgb = list(bag.messages([RGB_TOPIC]))
    for i, message in enumerate(rgb):
        assert message.stamp_ns == message.log_ns == START_NS + i * 100 * MS
        assert pixels_of(message)[0, 0].tolist() == [i, 100, 200]
        assert message.decode().header.frame_id == "rgb_camera_optical_frame"
    for topic in (THERMAL_TOPIC, GROUND_TRUTH_TOPIC):
        assert [pixels_of(m)[0, 0] for m in bag.messages([topic])] == list(range(6))
    truth = list(bag.messages([GROUND_TRUTH_TOPIC]))
    assert [m.stamp_ns for m in truth] == [m.stamp_ns for m in rgb]
    assert truth[0].decode().header.frame_id == rgb[0].decode().header.frame_id
    frames = list(bag.messages([FRAME_TOPIC]))
    assert [m.stamp_ns for m in frames] == [m.stamp_ns for m in rgb]
    about = json.loads(frames[1].decode().data)
    assert (about["stem"], about["dataset"], about["split"]) == ("00001N", "six", "val")
    assert about["night"] is True
    assert [entry["name"] for entry in about["classes"]["classes"]] == list(MFNET.names)
    assert list(tmp_path.iterdir()) == [tmp_path / name]  # nothing is left aside


def test_thermal_has_a_rate_and_an_offset_of_its_own(tmp_path):
    options = BagOptions(rate_hz=10, thermal_rate_hz=20, offset_s=0.03)
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap", options)
    thermal = read(tmp_path / "a.mcap", THERMAL_TOPIC)
    assert len(thermal) == 12
    assert [m.stamp_ns - m.log_ns for m in thermal] == [-30 * MS] * 12
    # stamp + offset is the time that the image shows
    times = [(m.stamp_ns + 30 * MS - START_NS) / SECOND for m in thermal]
    assert [int(pixels_of(m)[0, 0]) for m in thermal] == [min(round(t * 10), 5) for t in times]


def test_jitter_drops_and_loops(tmp_path):
    options = BagOptions(jitter_s=0.02, drop=0.3, loops=20, seed=1)
    counts = make_bag_from_dataset(Frames(), tmp_path / "a.mcap", options)
    assert 0.6 * 120 < counts[RGB_TOPIC] == counts[FRAME_TOPIC] < 0.8 * 120
    assert counts[THERMAL_TOPIC] != counts[RGB_TOPIC]
    assert counts[RGB_TOPIC] + counts[THERMAL_TOPIC] == count_images(options, 12.0)
    stamps = [m.stamp_ns for m in read(tmp_path / "a.mcap", RGB_TOPIC)]
    off_grid = [(s - START_NS) % (100 * MS) for s in stamps]
    assert len(set(off_grid)) > 50
    assert all(min(off, 100 * MS - off) <= 20 * MS for off in off_grid)
    stems = [json.loads(m.decode().data)["stem"] for m in read(tmp_path / "a.mcap", FRAME_TOPIC)]
    assert len(set(stems)) == len(stems)
    assert stems[-1].endswith("-lap20")
    again = make_bag_from_dataset(Frames(), tmp_path / "b.mcap", options)
    assert again == counts
    assert [m.raw for m in BagReader(tmp_path / "b.mcap").messages()] == [
        m.raw for m in BagReader(tmp_path / "a.mcap").messages()
    ]


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
@pytest.mark.parametrize(
    ("dtype", "thermal"), [(np.uint8, "mono8"), (np.uint16, "mono16"), (np.float32, "32FC1")]
)
def test_encodings(tmp_path, encoding, dtype, thermal):
    path = tmp_path / "a.mcap"
    make_bag_from_dataset(Frames(dtype), path, BagOptions(encoding=encoding))
    (image, *_), (heat, *_) = read(path, RGB_TOPIC), read(path, THERMAL_TOPIC)
    assert image.decode().encoding == encoding
    assert pixels_of(image)[0, 0].tolist() == [0, 100, 200]
    assert heat.decode().encoding == thermal
    assert pixels_of(heat).dtype == dtype


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
@pytest.mark.parametrize(
    ("dtype", "thermal", "format"),
    [
        (np.uint8, "jpeg", "mono8; jpeg compressed mono8"),
        (np.uint8, "png", "mono8; png compressed "),
        (np.uint16, "png", "mono16; png compressed "),
        (np.uint16, "png16", "mono16; png compressed "),
    ],
)
def test_compressed_topics(tmp_path, encoding, dtype, thermal, format):
    path = tmp_path / "a.mcap"
    options = BagOptions(encoding=encoding, thermal_encoding=thermal)
    counts = make_bag_from_dataset(Frames(dtype), path, options)
    rgb_topic, thermal_topic = f"{RGB_TOPIC}/compressed", f"{THERMAL_TOPIC}/compressed"
    assert set(counts) == {rgb_topic, thermal_topic, GROUND_TRUTH_TOPIC, FRAME_TOPIC}
    assert set(counts.values()) == {6}
    found = find_topics(BagReader(path))
    assert (found.rgb, found.thermal) == (rgb_topic, thermal_topic)
    rgb, heat = read(path, rgb_topic), read(path, thermal_topic)
    assert (rgb[0].msgtype, rgb[0].stamp_ns) == (COMPRESSED_TYPE, START_NS)
    assert rgb[0].decode().format == f"rgb8; {encoding} compressed bgr8"
    assert heat[0].decode().format == format
    assert heat[0].decode().header.frame_id == "thermal_camera_optical_frame"
    for number in range(6):
        difference = pixels_of(rgb[number])[0, 0].astype(int) - [number, 100, 200]
        assert np.abs(difference).max() <= (2 if encoding == "jpeg" else 0)
        assert pixels_of(heat[number]).dtype == dtype
        assert abs(int(pixels_of(heat[number])[0, 0]) - number) <= (thermal == "jpeg")
    info = bag_info(path)["topics"]
    assert info[thermal_topic]["encodings"] == [format]
    assert info[thermal_topic]["sizes"] == ["8x6"]
    assert info[thermal_topic]["refused"] == {}


@pytest.mark.parametrize(("encoding", "suffix"), [("mono16", ""), ("png16", "/compressed")])
def test_grey_levels_play_a_radiometric_camera(tmp_path, encoding, suffix):
    path = tmp_path / "a.mcap"
    make_bag_from_dataset(Frames(), path, BagOptions(thermal_encoding=encoding))
    spec = ThermalSpec("raw16", scale=0.01, window=(273.15, 324.15))
    for number, message in enumerate(read(path, THERMAL_TOPIC + suffix)):
        counts = pixels_of(message)
        assert (counts.dtype, counts[0, 0]) == (np.uint16, 27315 + 20 * number)
        assert (normalise(counts, spec) == number).all()


def test_kelvin_become_hundredths(tmp_path):
    path = tmp_path / "a.mcap"
    make_bag_from_dataset(Frames(np.float32), path, BagOptions(thermal_encoding="mono16"))
    assert [int(pixels_of(m)[0, 0]) for m in read(path, THERMAL_TOPIC)] == list(range(0, 600, 100))


def test_kelvin_do_not_fit_a_png(tmp_path):
    with pytest.raises(SartmError, match="float32"):
        make_bag_from_dataset(
            Frames(np.float32), tmp_path / "a.mcap", BagOptions(thermal_encoding="png")
        )
    assert not list(tmp_path.iterdir())


def test_a_ros_1_bag(tmp_path):
    """With the header's seq of ROS 1, a compressed camera, and a type that ROS 2 does not have."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("std_msgs/Header header\nint32 gain", "mine/msg/Gain"))
    pixels = np.full((6, 8), 30_000, np.uint16)
    path = tmp_path / "old.bag"
    with Writer(path) as bag:
        for number, (topic, kind) in enumerate(
            [
                ("/thermal/compressed", "sensor_msgs/msg/CompressedImage"),
                ("/rgb/image_raw", "sensor_msgs/msg/Image"),
                ("/gain", "mine/msg/Gain"),
            ]
        ):
            stamp = store.types["builtin_interfaces/msg/Time"](7, number)
            header = store.types["std_msgs/msg/Header"](99, stamp, "camera")
            png = encode_compressed(pixels, "png")
            fields = {
                "/thermal/compressed": png,
                "/rgb/image_raw": (2, 2, "rgb8", 0, 6, np.arange(12, dtype=np.uint8)),
                "/gain": (5,),
            }[topic]
            message = store.types[kind](header, *fields)
            connection = bag.add_connection(topic, kind, typestore=store)
            bag.write(connection, 8 * SECOND + number, store.serialize_ros1(message, kind))
    bag = BagReader(path)
    assert bag.topics["/thermal/compressed"] == COMPRESSED_TYPE
    found = find_topics(bag)
    assert (found.rgb, found.thermal) == ("/rgb/image_raw", "/thermal/compressed")
    thermal, rgb, gain = bag.messages()
    assert (thermal.stamp_ns, thermal.log_ns) == (7 * SECOND, 8 * SECOND)
    np.testing.assert_array_equal(pixels_of(thermal), pixels)
    assert rgb.stamp_ns == 7 * SECOND + 1
    assert rgb.decode().header.frame_id == "camera"
    assert pixels_of(rgb).ravel().tolist() == list(range(12))
    assert gain.stamp_ns == gain.log_ns == 8 * SECOND + 2
    info = bag_info(path)
    assert info["messages"] == 3
    assert info["topics"]["/rgb/image_raw"]["sizes"] == ["2x2"]


def test_a_synthetic_drive_shows_each_camera_its_own_moment(tmp_path):
    from sartm_core.data.synthetic import SceneSequence

    drive = SceneSequence(3, width=64, height=48)
    options = BagOptions(rate_hz=5, thermal_rate_hz=4, offset_s=-0.02)
    counts = make_bag_from_sequence(drive, tmp_path / "a.mcap", 1.0, options)
    assert (counts[RGB_TOPIC], counts[THERMAL_TOPIC], counts[GROUND_TRUTH_TOPIC]) == (5, 4, 5)
    rgb, thermal = (read(tmp_path / "a.mcap", topic)[2] for topic in (RGB_TOPIC, THERMAL_TOPIC))
    np.testing.assert_array_equal(pixels_of(rgb), drive.render(0.4).rgb)
    np.testing.assert_array_equal(pixels_of(thermal), drive.render(0.5).thermal)
    assert thermal.stamp_ns == START_NS + 520 * MS


@pytest.mark.parametrize(
    "options",
    [
        {"rate_hz": 0},
        {"thermal_rate_hz": -1},
        {"jitter_s": 0.05},
        {"drop": 1.0},
        {"encoding": "mono8"},
        {"encoding": "nv12"},
        {"thermal_encoding": "rgb8"},
        {"loops": 0},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(SartmError, match=r"got .*expected"):
        BagOptions(**options)


def test_an_existing_bag_is_kept_unless_told_otherwise(tmp_path):
    for name in ("a.mcap", "folder"):
        path = tmp_path / name
        make_bag_from_dataset(Frames(), path)
        with pytest.raises(SartmError, match="overwrite"):
            make_bag_from_dataset(Frames(), path)
        make_bag_from_dataset(Frames(), path, BagOptions(loops=2), overwrite=True)
        assert BagReader(path).counts[RGB_TOPIC] == 12


def test_a_failure_leaves_the_old_bag_and_nothing_aside(tmp_path):
    class Broken(Frames):
        def read(self, stem: str) -> Sample:
            if stem == self.stems[3]:
                raise SartmError("a file is broken")
            return super().read(stem)

    path = tmp_path / "a.mcap"
    make_bag_from_dataset(Frames(), path)
    before = path.read_bytes()
    with pytest.raises(SartmError, match="broken"):
        make_bag_from_dataset(Broken(), path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_with_stamp_changes_the_stamp_and_nothing_else(tmp_path):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap")
    message = read(tmp_path / "a.mcap", RGB_TOPIC)[2]
    raw = with_stamp(message.raw, 12 * SECOND + 345)
    assert header_stamp(raw) == 12 * SECOND + 345
    moved = replace(message, raw=raw).decode()
    assert (moved.header.stamp.sec, moved.header.stamp.nanosec) == (12, 345)
    assert moved.header.frame_id == message.decode().header.frame_id
    np.testing.assert_array_equal(moved.data, message.decode().data)
    assert with_stamp(raw, message.stamp_ns) == message.raw


def bag_with(path: Path, topics: list[str]) -> BagReader:
    with BagWriter(path) as bag:
        for topic in topics:
            pixels = np.zeros((2, 2), np.uint8)
            if "compressed" in topic:
                bag.compressed(topic, SECOND, "", pixels, "png")
            else:
                bag.image(topic, SECOND, "", pixels, "mono8")
        bag.text("/frame", SECOND, "{}")
    return BagReader(path)


@pytest.mark.parametrize(
    ("topics", "rgb", "thermal", "truth"),
    [
        (
            [RGB_TOPIC, THERMAL_TOPIC, GROUND_TRUTH_TOPIC],
            RGB_TOPIC,
            THERMAL_TOPIC,
            "/ground_truth/mask",
        ),
        (["/flir/image_raw", "/zed/rgb/image"], "/zed/rgb/image", "/flir/image_raw", None),
        (["/camera/color/image", "/lwir", "/gt"], "/camera/color/image", "/lwir", "/gt"),
        (["/camera/image_raw", "/boson/image_raw"], "/camera/image_raw", "/boson/image_raw", None),
        (["/airship/rgb", "/airship/ir"], "/airship/rgb", "/airship/ir", None),  # "ir" is a word
        # raw before compressed, however they are ordered
        (
            ["/rgb/compressed", "/rgb", "/ir", "/ir/compressed"],
            "/rgb",
            "/ir",
            None,
        ),
        # what image_transport offers for each camera
        (
            ["/rgb/compressedDepth", "/rgb/compressed", "/ir/compressedDepth", "/ir/compressed"],
            "/rgb/compressed",
            "/ir/compressed",
            None,
        ),
        (
            ["/cam/compressedDepth", "/zed/compressed", "/flir/compressedDepth"],
            "/zed/compressed",
            "/flir/compressedDepth",
            None,
        ),
        (
            [f"{RGB_TOPIC}/compressed", "/other/rgb", f"{THERMAL_TOPIC}/compressed", "/other/ir"],
            f"{RGB_TOPIC}/compressed",
            f"{THERMAL_TOPIC}/compressed",
            None,
        ),
    ],
)
def test_topics_are_told_by_their_names(tmp_path, topics, rgb, thermal, truth):
    found = find_topics(bag_with(tmp_path / "a.mcap", topics))
    assert (found.rgb, found.thermal, found.ground_truth, found.frame) == (
        rgb, thermal, truth, FRAME_TOPIC,
    )  # fmt: skip


def test_topics_that_cannot_be_told_are_asked_for(tmp_path):
    bag = bag_with(tmp_path / "a.mcap", ["/left/rgb", "/right/rgb", "/thermal"])
    with pytest.raises(SartmError, match=r"/left/rgb.*--rgb-topic"):
        find_topics(bag)
    assert find_topics(bag, rgb="/left/rgb").rgb == "/left/rgb"
    with pytest.raises(SartmError, match=r"no topic /lwir.*/thermal"):
        find_topics(bag, rgb="/left/rgb", thermal="/lwir")


def test_what_is_no_bag_is_refused_in_one_line(tmp_path):
    good = tmp_path / "good.mcap"
    make_bag_from_dataset(Frames(), good)
    data = good.read_bytes()
    cases = {
        "absent.mcap": None,
        "empty.mcap": b"",
        "text.mcap": b"not a bag at all" * 100,
        "text.db3": b"not a bag at all" * 100,
        "cut.mcap": data[: len(data) // 2],
        "image.png": b"\x89PNG",
        "old.bag": b"#ROSBAG V2.0\n",
    }
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(SartmError) as caught:
            list(BagReader(tmp_path / name).messages())
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(SartmError, match="empty_folder"):
        BagReader(tmp_path / "empty_folder")


def test_damaged_bytes_inside_are_refused(tmp_path):
    path = tmp_path / "a.mcap"
    make_bag_from_dataset(Frames(), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    with pytest.raises(SartmError, match=r"a\.mcap"):
        list(BagReader(path).messages())


def test_a_message_that_is_too_short_is_refused():
    message = BagMessage(RGB_TOPIC, IMAGE_TYPE, 0, 0, b"\0\1\0\0" + bytes(20))
    with pytest.raises(SartmError, match=RGB_TOPIC):
        message.decode()
    with pytest.raises(SartmError, match="too short"):
        header_stamp(b"\0\1\0\0")


def message(topic: str, stamp: int, log: int) -> BagMessage:
    return BagMessage(topic, IMAGE_TYPE, stamp, log, b"")


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 9, 10, 30]),
    st.integers(-200, 500),
    st.sampled_from([0.0, 0.1, -0.05]),
)
def test_replay_order_gives_every_partner_before_its_rgb_image(seed, rate, delay_ms, offset):
    rng = random.Random(seed)
    base = 100 * SECOND
    rgb = [base + i * 100 * MS + rng.randrange(20 * MS) for i in range(30)]
    thermal = [base + int(i * SECOND / rate) + rng.randrange(MS) for i in range(3 * rate)]
    shift = round(offset * SECOND)
    recorded = [message(RGB_TOPIC, s, s) for s in rgb]
    recorded += [message(THERMAL_TOPIC, s - shift, s + delay_ms * MS) for s in thermal]
    recorded.sort(key=lambda m: m.log_ns)
    played = list(replay_order(recorded, thermal_offset_s=offset))
    assert sorted(map(id, played)) == sorted(map(id, recorded))
    assert [m.stamp_ns for m in played if m.topic == RGB_TOPIC] == rgb
    given_at = {id(m): i for i, m in enumerate(played)}
    for image in (m for m in recorded if m.topic == RGB_TOPIC):
        for heat in (m for m in recorded if m.topic == THERMAL_TOPIC):
            if heat.stamp_ns + shift <= image.stamp_ns + 60 * MS:
                assert given_at[id(heat)] < given_at[id(image)]

    # So a synchroniser without any waiting finds the nearest partner of each RGB image.
    synchronizer = Synchronizer(SyncParameters(thermal_offset_s=offset))
    pairs = []
    for m in played:
        if m.topic == RGB_TOPIC:
            pairs += synchronizer.add_rgb(m.stamp_ns, m, 0) + synchronizer.flush(0)
        else:
            pairs += synchronizer.add_thermal(m.stamp_ns, m, 0)
    assert len(pairs) == len(rgb)
    for pair in pairs:
        nearest = min(abs(s - pair.rgb_stamp_ns) for s in thermal)
        expected = nearest if nearest <= 60 * MS else None
        assert (None if pair.offset_ns is None else abs(pair.offset_ns)) == expected


def test_replay_order_keeps_a_jump_back_in_its_place():
    lap = [
        message(topic, SECOND + i * 100 * MS, 0)
        for i in range(20)
        for topic in (THERMAL_TOPIC, RGB_TOPIC)
    ]
    recorded = [
        replace(m, log_ns=m.stamp_ns + lap_number * 2 * SECOND)
        for lap_number in range(3)
        for m in lap
    ]
    played = list(replay_order(recorded))
    assert len(played) == len(recorded)
    rgb = [m.stamp_ns for m in played if m.topic == RGB_TOPIC]
    assert rgb == [m.stamp_ns for m in lap if m.topic == RGB_TOPIC] * 3
    synchronizer = Synchronizer(SyncParameters())
    for m in played:
        if m.topic == RGB_TOPIC:
            synchronizer.add_rgb(m.stamp_ns, m, 0)
            synchronizer.flush(0)
        else:
            synchronizer.add_thermal(m.stamp_ns, m, 0)
    assert synchronizer.counters.rgb_paired == 60


def test_info_tells_rates_sizes_and_pairing(tmp_path):
    options = BagOptions(rate_hz=10, thermal_rate_hz=9, offset_s=0.02, loops=10)
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap", options)
    info = bag_info(tmp_path / "a.mcap")
    assert info["duration_s"] == pytest.approx(5.9)
    assert info["messages"] == 3 * 60 + 54
    rgb, thermal = info["topics"][RGB_TOPIC], info["topics"][THERMAL_TOPIC]
    assert (rgb["type"], rgb["count"], rgb["rate_hz"]) == (IMAGE_TYPE, 60, 10.0)
    assert (rgb["encodings"], rgb["sizes"]) == (["rgb8"], ["8x6"])
    assert thermal["rate_hz"] == pytest.approx(9.0)
    pairing = info["pairing"]
    counters = pairing["counters"]
    assert counters["rgb_received"] == 60 == counters["rgb_paired"] + counters["rgb_single"]
    offsets = pairing["offset_ms"]
    assert offsets["pairs"] == counters["rgb_paired"] == sum(offsets["histogram"]["counts"])
    assert offsets["largest_absolute"] <= 60
    corrected = bag_info(tmp_path / "a.mcap", SyncParameters(thermal_offset_s=0.02))
    assert abs(corrected["pairing"]["offset_ms"]["mean"]) < abs(offsets["mean"])
    json.dumps(info)


def test_info_counts_images_that_would_be_refused(tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer

    types = typestore().types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](1, 0), "")
    with Writer(tmp_path / "a", version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection("/rgb/compressed", COMPRESSED_TYPE, typestore=typestore())
        for format, data in (encode_compressed(np.zeros((2, 2, 3), np.uint8), "jpeg"), ("", b"")):
            message = types[COMPRESSED_TYPE](header, format, np.frombuffer(data, np.uint8))
            bag.write(connection, SECOND, typestore().serialize_cdr(message, COMPRESSED_TYPE))
    topic = bag_info(tmp_path / "a")["topics"]["/rgb/compressed"]
    assert topic["encodings"] == ["", "rgb8; jpeg compressed bgr8"]
    assert topic["sizes"] == ["2x2"]
    assert topic["refused"] == {"empty": 1}


def test_info_of_a_bag_whose_cameras_cannot_be_told(tmp_path):
    bag_with(tmp_path / "a.mcap", ["/left", "/right"])
    info = bag_info(tmp_path / "a.mcap")
    assert (
        "--thermal-topic" in info["pairing"]["error"] or "--rgb-topic" in info["pairing"]["error"]
    )
    assert info["topics"]["/left"]["count"] == 1
