"""A small bag through the real node in its own process, over DDS, from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from sartm_core.data.bags import (
    FRAME_TOPIC,
    RGB_TOPIC,
    SECOND,
    THERMAL_TOPIC,
    BagReader,
    BagWriter,
    pixels_of,
)
from sartm_core.data.images import read_ids
from sartm_core.segmenter import load
from sartm_ros.replay.player import timeline

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parents[2]
START = 1_700_000_000 * SECOND
FRAMES = 12


def rgb_pixels(number):
    """A red area that grows with the number: class car."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, : 5 * (number + 1), 0] = 250
    return pixels


def thermal_pixels(number):
    """A hot stripe that moves with the number: class person."""
    pixels = np.zeros((60, 80), np.uint8)
    pixels[5 * number : 5 * number + 4] = 250
    return pixels


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """RGB at 20 Hz with frame names, thermal with the same number 5 ms later."""
    path = tmp_path_factory.mktemp("bag") / "small.mcap"
    with BagWriter(path) as writer:
        for number in range(FRAMES):
            stamp = START + number * 50_000_000
            writer.text(FRAME_TOPIC, stamp, json.dumps({"stem": f"frame_{number:02d}"}))
            writer.image(RGB_TOPIC, stamp, "rgb", rgb_pixels(number), "rgb8")
            later = stamp + 5_000_000
            writer.image(THERMAL_TOPIC, later, "thermal", thermal_pixels(number), "mono8")
    return path


def start_replay(bag, bundle, out, *more):
    command = [sys.executable, "-m", "sartm_ros.replay", str(bag), "--model", str(bundle)]
    command += ["--out", str(out), *more]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def replay(bag, bundle, out, *more):
    with start_replay(bag, bundle, out, *more) as process:
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    return json.loads((out / "replay.json").read_text())


def child_of(pid, within_s=20.0):
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.05)
    raise AssertionError("the node was never started")


def wait_until(condition, within_s=30.0):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def lockstep(bag, tiny_bundle, tmp_path_factory):
    """The folder and the result of one replay in lockstep."""
    out = tmp_path_factory.mktemp("lockstep")
    return out, replay(bag, tiny_bundle, out)


def test_lockstep_masks_are_those_of_the_segmenter(lockstep, tiny_bundle):
    out, result = lockstep
    with load(tiny_bundle) as segmenter:
        for number in range(FRAMES):
            mask = read_ids(out / "masks" / f"frame_{number:02d}.png")
            offline = segmenter(rgb_pixels(number), thermal_pixels(number)).mask
            np.testing.assert_array_equal(mask, offline)
    assert [row["stem"] for row in result["masks"]] == [f"frame_{n:02d}" for n in range(FRAMES)]
    assert result["accounting"] == {
        "sent": FRAMES,
        "received": FRAMES,
        "lost_in_transport": 0,
        "published": FRAMES,
        "dropped": {},
        "in_flight": 0,
        "published_alone": 0,
        "recorded": FRAMES,
        "closes": True,
    }
    for name in ("latency", "model", "output_age", "node_internal"):
        assert 0 < result["timing_ms"][name]["p50"] <= result["timing_ms"][name]["p99"]
    assert len(result["timing_ms"]["latency"]["samples"]) == FRAMES


def test_a_compressed_bag_gives_the_same_masks(lockstep, tiny_bundle, tmp_path):
    path = tmp_path / "compressed.mcap"
    with BagWriter(path) as writer:
        for number in range(FRAMES):
            stamp = START + number * 50_000_000
            writer.text(FRAME_TOPIC, stamp, json.dumps({"stem": f"frame_{number:02d}"}))
            for topic, frame, pixels in (
                (RGB_TOPIC, "rgb", rgb_pixels(number)),
                (THERMAL_TOPIC, "thermal", thermal_pixels(number)),
            ):
                writer.compressed(f"{topic}/compressed", stamp, frame, pixels, "png")
    replay(path, tiny_bundle, tmp_path / "out")
    for number in range(FRAMES):
        name = f"masks/frame_{number:02d}.png"
        np.testing.assert_array_equal(
            read_ids(tmp_path / "out" / name), read_ids(lockstep[0] / name)
        )


def test_masks_are_the_recorded_messages_byte_for_byte(lockstep):
    out, result = lockstep
    rows = result["masks"]
    recorded = list(BagReader(out / "recorded").messages(["/sartm_eval/segment/mask"]))
    assert [message.stamp_ns for message in recorded] == [row["stamp_ns"] for row in rows]
    for message, row in zip(recorded, rows, strict=True):
        assert read_ids(out / row["file"]).tobytes() == pixels_of(message).tobytes()
        assert message.decode().header.frame_id == "rgb"


def test_realtime_loops_until_there_are_enough_masks(bag, tiny_bundle, tmp_path):
    wanted = ("--pace", "realtime", "--rate", "60", "--min-masks", "20")
    result = replay(bag, tiny_bundle, tmp_path, *wanted)
    assert result["accounting"]["closes"]
    assert result["accounting"]["recorded"] == len(result["masks"]) >= 20
    assert result["masks"][-1]["pass"] >= 2
    assert result["masks"][-1]["file"].startswith("masks/pass_")
    stamps = [row["stamp_ns"] for row in result["masks"]]
    assert stamps == sorted(set(stamps)), "later passes continue the stamps of the first"


def test_a_replay_that_jumps_back_in_time_still_closes(bag, tiny_bundle, tmp_path):
    wanted = ("--pace", "realtime", "--loop", "2", "--keep-stamps", "-p", "sync.reset_jump_s:=0.2")
    result = replay(bag, tiny_bundle, tmp_path, *wanted)
    assert result["accounting"]["closes"]
    assert result["accounting"]["sent"] == 2 * FRAMES
    assert {row["pass"] for row in result["masks"]} == {1, 2}


def test_a_node_that_cannot_start_is_reported_at_once(bag, tmp_path):
    with start_replay(bag, tmp_path / "no_bundle", tmp_path / "out") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.count("error:") == 1
    assert "no such model bundle" in errors
    assert "Traceback" not in errors


def test_a_node_that_dies_is_reported_with_its_log(bag, tiny_bundle, tmp_path):
    endless = ("--pace", "realtime", "--loop", "1000")
    with start_replay(bag, tiny_bundle, tmp_path, *endless) as process:
        node = child_of(process.pid)
        wait_until(lambda: (tmp_path / "node.log").read_text().count("images expected") == 2)
        os.kill(node, signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the node ended early; got signal SIGKILL" in errors
    assert "images expected on" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_replay_takes_its_node_along(bag, tiny_bundle, tmp_path, number, code):
    endless = ("--pace", "realtime", "--loop", "1000")
    with start_replay(bag, tiny_bundle, tmp_path, *endless) as process:
        node = child_of(process.pid)
        wait_until(lambda: (tmp_path / "node.log").read_text().count("images expected") == 2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert not Path(f"/proc/{node}").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rgb-topic", "/nowhere"], "no topic /nowhere"),
        (["-p", "model.threads=2"], "NAME:=VALUE"),
    ],
)
def test_wrong_wishes_are_refused_before_a_node_starts(bag, tiny_bundle, tmp_path, words, message):
    with start_replay(bag, tiny_bundle, tmp_path, *words) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert message in errors
    assert not (tmp_path / "node.log").exists()


class TestTimeline:
    def played(self, bag, **options):
        return list(timeline(lambda: BagReader(bag).messages([RGB_TOPIC]), **options))

    def test_one_pass_is_the_bag_itself(self, bag):
        original = list(BagReader(bag).messages([RGB_TOPIC]))
        played = self.played(bag)
        assert [message.raw for message in played] == [message.raw for message in original]
        assert [message.due_ns for message in played] == [n * 50_000_000 for n in range(FRAMES)]

    def test_later_passes_go_on_where_the_first_ended(self, bag):
        played = self.played(bag, loops=3)
        steps = np.diff([message.stamp_ns for message in played])
        assert set(steps) == {50_000_000}
        assert {message.loop for message in played} == {0, 1, 2}
        assert {message.source_ns for message in played[FRAMES:]} == {
            message.stamp_ns for message in played[:FRAMES]
        }

    def test_stamps_can_jump_back_while_the_clock_goes_on(self, bag):
        played = self.played(bag, loops=2, keep_stamps=True)
        assert played[FRAMES].stamp_ns == played[0].stamp_ns
        assert played[FRAMES].due_ns == FRAMES * 50_000_000

    def test_a_factor_changes_times_and_not_stamps(self, bag):
        slow, fast = self.played(bag), self.played(bag, rate_factor=2)
        assert [message.due_ns for message in fast] == [message.due_ns // 2 for message in slow]
        assert [message.stamp_ns for message in fast] == [message.stamp_ns for message in slow]

    def test_an_empty_bag_ends_an_endless_replay(self):
        assert list(timeline(list, loops=None)) == []
