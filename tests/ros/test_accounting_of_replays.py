"""The arithmetic of a replay: does the accounting close, which image does a mask answer."""

import pytest

rclpy = pytest.importorskip("rclpy")

from sartm_core.data.bags import BagTopics  # noqa: E402
from sartm_core.errors import SartmError  # noqa: E402
from sartm_ros.replay.balance import Balance  # noqa: E402
from sartm_ros.replay.journal import Journal, rate_hz  # noqa: E402
from sartm_ros.replay.player import Outgoing, Survey  # noqa: E402
from sartm_ros.replay.recorder import Arrival, Info  # noqa: E402

pytestmark = pytest.mark.ros

RGB = {
    "received": "9",
    "published": "7",
    "dropped": "1",
    "dropped.overwritten": "1",
    "in_flight": "1",
    "in_flight.model": "1",
    "lost_in_transport": "1",
}


def balance(recorded=7, alone="0", **rgb):
    diagnostics = {"rgb input": RGB | rgb, "thermal input": {"published_alone": alone}}
    return Balance.of(10, recorded, diagnostics)


def test_the_books_close():
    assert balance().closes
    assert balance().as_json()["dropped"] == {"overwritten": 1}


def test_masks_of_thermal_alone_are_recorded_too():
    assert not balance(recorded=8).closes
    assert balance(recorded=8, alone="1").closes


def test_a_middleware_that_cannot_count_losses_counts_none():
    assert balance(lost_in_transport="n/a", received="9").mismatches == [
        "sent 10 != received 9 + lost in transport 0"
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"received": "8"}, "sent 10 != received 8 + lost in transport 1"),
        ({"in_flight": "2"}, "received 9 != published 7 + dropped 1 + in flight 2"),
        ({"recorded": 6}, "recorded 6 != published 7 + published alone 0"),
    ],
)
def test_each_mismatch_is_named(change, words):
    assert words in balance(**change).mismatches


def test_the_table_has_every_count():
    table = balance().table()
    assert [int(line.split()[-1]) for line in table.splitlines()] == [10, 1, 9, 1, 1, 7, 0, 7]


def image(stamp, loop=0, raw=b"bytes"):
    return Outgoing(0, "/rgb", stamp, raw, 100, loop)


def test_a_mask_answers_the_latest_image_with_its_stamp():
    journal = Journal()
    journal.add(image(5), sent_ns=10, due_ns=9)
    journal.add(image(5, loop=1), sent_ns=20, due_ns=20)
    assert journal.source(Arrival(5, 19)).message.loop == 0
    assert journal.source(Arrival(5, 21)).message.loop == 1
    assert journal.source(Arrival(5, 21)).message.raw == b""
    with pytest.raises(SartmError, match="no image had"):
        journal.source(Arrival(6, 30))


def test_durations_are_measured_from_sending_and_from_being_due():
    journal = Journal()
    journal.add(image(5), sent_ns=4_000_000, due_ns=1_000_000)
    info = Info(5, {"time_infer_ms": "2.0", "time_total_ms": "2.5", "modalities": "rgb"})
    timing = journal.timing_ms([Arrival(5, 7_000_000)], [info])
    assert timing["latency"]["p50"] == pytest.approx(3)
    assert timing["output_age"]["p50"] == pytest.approx(6)
    assert timing["model"]["p99"] == pytest.approx(2)
    assert timing["node_internal"]["p95"] == pytest.approx(0.5)


def test_the_rate_is_that_between_the_first_and_the_last_mask():
    assert rate_hz([Arrival(i, i * 100_000_000) for i in range(11)]) == pytest.approx(10)
    assert rate_hz([Arrival(1, 1)]) is None


def test_a_wanted_rate_becomes_a_factor():
    recorded = Survey(
        BagTopics(rgb="/rgb", thermal="/thermal"),
        tuple(range(0, 1_000_000_001, 100_000_000)),
        {"/rgb": "raw", "/thermal": "raw"},
        {100: "a"},
    )
    assert recorded.rate_factor(30) == pytest.approx(3)
    assert recorded.rate_factor(None) == 1
    assert (recorded.stem(100), recorded.stem(200)) == ("a", "200")
