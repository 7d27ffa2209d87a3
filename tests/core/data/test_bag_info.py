"""The clock offset and the pairing forecast of bags whose offset was planted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartm_core.cli import main
from sartm_core.data.bag_info import bag_info
from sartm_core.data.bag_make import BagOptions, make_bag_from_sequence
from sartm_core.data.bags import BagWriter
from sartm_core.data.pairing_forecast import SLOPS_S, WAITS_S, Arrival, forecast, suggest
from sartm_core.synchronizer import SyncParameters
from tests.shaky_camera import SECOND, START_NS, ShakyCamera
from tests.streams import camera, feed, stream, sync


def shaky_bag(path: Path, offset_s: float, *, seconds: float = 11.0, **options: float) -> Path:
    make_bag_from_sequence(
        ShakyCamera(4),  # type: ignore[arg-type]  # renders as a SceneSequence does
        path,
        seconds,
        BagOptions(rate_hz=30, thermal_rate_hz=9, offset_s=offset_s, jitter_s=0.003, **options),  # type: ignore[arg-type]
    )
    return path


@pytest.mark.parametrize("offset_s", [-0.12, 0.0, 0.04, 0.25])
def test_info_finds_the_offset_and_names_the_parameter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_s: float
) -> None:
    bag = shaky_bag(tmp_path / "a.mcap", offset_s, drop=0.03)
    assert main(["bag", "info", str(bag), "--json"]) == 0
    pairing = json.loads(capsys.readouterr().out)["pairing"]
    clock = pairing["time_offset"]
    assert abs(clock["offset_s"] - offset_s) < 0.01
    assert clock["low_s"] < offset_s < clock["high_s"]
    suggested = pairing["suggested"].get("sync.thermal_offset_s")
    assert suggested == (None if offset_s == 0 else round(clock["offset_s"], 3))

    # With what it suggests the cameras pair, and there is nothing left to set.
    words = {name.split(".")[1]: value for name, value in pairing["suggested"].items()}
    again = bag_info(bag, SyncParameters(**words))["pairing"]
    assert again["counters"]["rgb_paired"] > 0.95 * again["counters"]["rgb_received"]
    assert abs(again["offset_ms"]["mean"]) < 12
    assert again["suggested"] == {}


def test_what_a_person_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = shaky_bag(tmp_path / "a.mcap", 0.04)
    assert main(["bag", "info", str(bag)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith("clock offset by motion: sync.thermal_offset_s 0.0") for line in lines
    )
    assert sum(line.startswith("  0") for line in lines) == len(WAITS_S)
    assert lines[-1].startswith("set: -p sync.thermal_offset_s:=0.0")
    assert "-p sync.max_wait_s:=0.06" in lines[-1]


@pytest.mark.parametrize("offset_s", [-0.12, 0.25])
def test_from_a_folder_of_frames_through_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_s: float
) -> None:
    """Each thermal image is the nearest frame of a 20 Hz recording: up to 25 ms off."""
    frames = tmp_path / "frames"
    shaky = ShakyCamera(7)
    for number in range(240):
        picture = shaky.render(number / 20)
        for name in ("rgb", "thermal"):
            (frames / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(frames / name / f"{number:04d}.png"), getattr(picture, name))
    bag = tmp_path / "a.mcap"
    make = ["bag", "make", "--data", f"folder:{frames}", "--rate", "20"]
    assert main([*make, "--thermal-rate", "9", "--offset", str(offset_s), str(bag)]) == 0
    capsys.readouterr()
    assert main(["bag", "info", str(bag), "--json"]) == 0
    clock = json.loads(capsys.readouterr().out)["pairing"]["time_offset"]
    assert abs(clock["offset_s"] - offset_s) < 0.02


@pytest.mark.slow
def test_a_synthetic_drive_by_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped scenes rock by a tenth of a pixel only: 20 ms is what can be had there."""
    bag = tmp_path / "drive.mcap"
    make = ["bag", "make", "--data", "synthetic:0", "--duration", "16", "--offset", "0.25"]
    size = ["--width", "160", "--height", "120", "--rate", "20", "--thermal-rate", "9"]
    assert main([*make, *size, "--jitter", "0.004", str(bag)]) == 0
    capsys.readouterr()
    assert main(["bag", "info", str(bag), "--json"]) == 0
    clock = json.loads(capsys.readouterr().out)["pairing"]["time_offset"]
    assert abs(clock["offset_s"] - 0.25) < 0.02


def test_a_robot_that_stands_still_gives_no_offset(tmp_path: Path) -> None:
    make_bag_from_sequence(
        ShakyCamera(4, shake=0),  # type: ignore[arg-type]
        tmp_path / "a.mcap",
        8.0,
        BagOptions(rate_hz=20, thermal_rate_hz=9),
    )
    pairing = bag_info(tmp_path / "a.mcap")["pairing"]
    assert "no motion that both cameras see" in pairing["time_offset"]["unsure"]
    assert "sync.thermal_offset_s" not in pairing["suggested"]
    json.dumps(pairing)


def test_pictures_that_cannot_be_decoded_do_not_stop_it(tmp_path: Path) -> None:
    grey = np.zeros((4, 4), np.uint8)
    with BagWriter(tmp_path / "a.mcap") as bag:
        for number in range(3):
            stamp = START_NS + number * SECOND // 10
            bag.image("/thermal/image_raw", stamp, "t", grey, "mono8")
            bag.image("/rgb/image_raw", stamp, "r", np.zeros((4, 4, 3), np.uint8), "rgb8")
    raw = (tmp_path / "a.mcap").read_bytes().replace(b"mono8\0", b"blue8\0")
    (tmp_path / "b.mcap").write_bytes(raw)
    pairing = bag_info(tmp_path / "b.mcap")["pairing"]
    assert pairing["counters"]["rgb_paired"] == 3
    assert "too few usable images" in pairing["time_offset"]["unsure"]
    assert "blue8" in pairing["time_offset"]["unsure"]


@given(
    seed=st.integers(0, 10_000),
    rates=st.sampled_from([(30.0, 9.0), (10.0, 10.0), (10.0, 25.0)]),
    delay_ms=st.integers(0, 80),
)
@settings(max_examples=15, deadline=None)
def test_the_forecast_is_what_the_synchroniser_does(
    seed: int, rates: tuple[float, float], delay_ms: int
) -> None:
    """Every entry against a run of the synchroniser with its settings."""
    rng = random.Random(seed)
    rgb, thermal = camera(rates[0], 4, 3, rng), camera(rates[1], 4, 3, rng)
    messages = stream(rgb, thermal, delay_thermal=delay_ms * 1_000_000)
    arrivals = [Arrival(name == "rgb", stamp, arrival) for arrival, name, stamp in messages]
    entries = forecast(arrivals, SyncParameters())
    assert [(e["max_wait_s"], e["slop_s"]) for e in entries] == [
        (wait, slop) for wait in WAITS_S for slop in SLOPS_S
    ]
    for entry in (entries[0], entries[7], entries[-1]):
        run = sync(max_wait_s=entry["max_wait_s"], slop_s=entry["slop_s"])
        pairs = [pair for pair in feed(run, messages) if pair.rgb_stamp_ns is not None]
        offsets = [abs(pair.offset_ns) / 1e6 for pair in pairs if pair.offset_ns is not None]
        assert entry["share"] == round(len(offsets) / len(rgb), 4)
        if offsets:
            assert entry["mean_offset_ms"] == pytest.approx(np.mean(offsets), abs=0.01)
        assert 0 <= entry["mean_wait_ms"] <= 1e3 * entry["max_wait_s"] + 0.01


def test_a_suggestion_is_the_least_that_does() -> None:
    def entry(wait: float, slop: float, share: float) -> dict[str, float]:
        return {"max_wait_s": wait, "slop_s": slop, "share": share}

    entries = [entry(0.0, 0.03, 0.3), entry(0.02, 0.06, 0.7), entry(0.06, 0.06, 0.98),
               entry(0.12, 0.06, 0.99), entry(0.0, 0.12, 0.99)]  # fmt: skip
    assert suggest(entries, SyncParameters()) == {"sync.max_wait_s": 0.06}
    assert suggest(entries, SyncParameters(max_wait_s=0.06)) == {}
    assert suggest(entries, SyncParameters(slop_s=0.1)) == {
        "sync.max_wait_s": 0.0,
        "sync.slop_s": 0.12,
    }
    assert suggest([entry(0.0, 0.06, 0.0)], SyncParameters()) == {}
