"""A short run of the fuzzer; `python -m benchmarks.fuzz_images` is the long one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: the ros-jazzy wheels or a ROS 2")

from benchmarks import fuzz_images
from sartm_core.errors import BadImageError

pytestmark = pytest.mark.ros


def test_broken_messages_are_refused_with_a_reason() -> None:
    report = fuzz_images.fuzz(1500, seed=1)
    assert not report.faults
    # every reason is met, so the mutations reach what they should
    reasons = {"decoded", "wrong_encoding", "bad_step", "zero_size", "odd_size", "too_large",
               "truncated", "trailing_data", "wrong_magic", "undecodable"}  # fmt: skip
    assert reasons <= set(report.outcomes)
    assert report.outcomes["decoded"] > 200


def test_the_same_seed_gives_the_same_mutations() -> None:
    assert fuzz_images.fuzz(60, 5).outcomes == fuzz_images.fuzz(60, 5).outcomes


@pytest.mark.parametrize(
    "broken",
    [
        lambda message: 1 / 0,
        # a decoder that changes the messages behind its back
        lambda message: np.zeros((1, 1, 3), np.uint8),
    ],
)
def test_what_must_not_happen_is_told(
    broken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check, _, dimensions = fuzz_images.CAMERAS["rgb"]
    monkeypatch.setitem(fuzz_images.CAMERAS, "rgb", (check, broken, dimensions))
    monkeypatch.setattr(sys, "argv", ["fuzz_images", "--mutations", "30"])
    assert fuzz_images.main() == 1
    assert "--seed 0, mutation" in capsys.readouterr().err


def test_a_check_that_lets_bad_images_pass_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _, decode, dimensions = fuzz_images.CAMERAS["thermal"]
    monkeypatch.setitem(fuzz_images.CAMERAS, "thermal", (lambda message: None, decode, dimensions))
    faults = fuzz_images.fuzz(60, 0).faults
    assert any("checked: good, decoded: wrong_encoding" in fault for fault in faults)


def test_good_messages_are_all_accepted() -> None:
    for message in fuzz_images.good_messages():
        decoded = 0
        for check, decode, _ in fuzz_images.CAMERAS.values():
            try:
                check(message)
            except BadImageError:
                continue
            decode(message)
            decoded += 1
        assert decoded == 1  # by one camera, and only by that
