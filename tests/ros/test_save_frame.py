"""~/save_frame: what the cameras saw and the model said, as a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from std_srvs.srv import Trigger

from sartm_core.data.datasets import open_dataset
from tests.bundles import CAR, PERSON
from tests.ros.probe import Probe, image, rgb_image, wait_for

pytestmark = pytest.mark.ros

MakeNode = Callable[..., Any]
START = 1_700_000_000_000_000_007


def save(probe: Probe) -> Any:
    return probe.call(Trigger, "save_frame", Trigger.Request())


def test_the_last_pair_becomes_a_frame_of_a_data_set(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, tmp_path: Path
) -> None:
    make_node(model__path=str(tiny_bundle), output__save_folder=str(tmp_path / "kept"))
    probe.wait_until_connected()
    answer = save(probe)
    assert not answer.success
    assert "no frame of both cameras yet" in answer.message

    probe.send(START)
    wait_for(lambda: probe.masks, "a mask")
    answer = save(probe)
    assert answer.success, answer.message
    frames = open_dataset(f"folder:{tmp_path / 'kept'}")
    assert frames.stems == ("1700000000_000000007",)
    sample = frames.read(frames.stems[0])
    assert (sample.rgb[..., 0] == 200).all()
    assert set(np.unique(sample.label)) == {PERSON, CAR}
    assert sample.thermal[0, 0] == 250
    assert frames.classes.names[PERSON] == "person"


def test_kelvin_are_kept_in_hundredths(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, tmp_path: Path
) -> None:
    make_node(model__path=str(tiny_bundle), output__save_folder=str(tmp_path))
    probe.wait_until_connected()
    kelvin = np.linspace(290, 310, 60 * 80, dtype=np.float32).reshape(60, 80)
    probe.thermal.publish(image(kelvin, "32FC1", START))
    probe.rgb.publish(rgb_image(START))
    wait_for(lambda: probe.masks, "a mask")
    assert save(probe).success
    frames = open_dataset(f"folder:{tmp_path}")
    kept = frames.read(frames.stems[0]).thermal
    assert np.abs(kept * 0.01 - kelvin).max() < 0.006


def test_a_folder_that_cannot_be_written_is_told(
    make_node: MakeNode, probe: Probe, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    make_node(model__path=str(tiny_bundle), output__save_folder=str(tmp_path / "file"))
    probe.wait_until_connected()
    probe.send(START)
    wait_for(lambda: probe.masks, "a mask")
    answer = save(probe)
    assert not answer.success
    assert "cannot be saved" in answer.message
    probe.send(START + 100_000_000)
    wait_for(lambda: len(probe.masks) == 2, "a mask after that")
