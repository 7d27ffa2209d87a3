from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from sartm_core.errors import SartmError
from sartm_core.matching import StampHistory
from sartm_core.synchronizer import Pair, SyncCounters, Synchronizer, SyncParameters
from tests.streams import MS, SECOND, assert_accounted, both, camera, feed, stream, sync


def test_reuse_lets_a_thermal_image_serve_several_rgb_images():
    pairs = feed(sync(), [(0, "thermal", SECOND)] + [(0, "rgb", SECOND + i * MS) for i in range(3)])
    assert [pair.thermal for pair in pairs] == [(0, SECOND)] * 3
    assert not any(pair.degraded for pair in pairs)


def test_equal_stamps_pair_at_once():
    synchronizer = sync()
    synchronizer.add_thermal(SECOND, "t", 0)
    (pair,) = synchronizer.add_rgb(SECOND, "r", 0)
    assert (pair.rgb, pair.thermal, pair.offset_ns, pair.degraded) == ("r", "t", 0, "")


def test_a_nearer_thermal_image_that_comes_within_max_wait_is_taken():
    synchronizer = sync(max_wait_s=0.02)
    synchronizer.add_thermal(SECOND - 30 * MS, "old", 0)
    assert synchronizer.add_rgb(SECOND, "r", 10 * MS) == []
    assert synchronizer.next_deadline_ns() == 30 * MS
    synchronizer.add_thermal(SECOND + 5 * MS, "new", 15 * MS)
    (pair,) = synchronizer.poll(30 * MS)
    assert pair.thermal == "new"
    assert pair.arrival_ns == 10 * MS


@pytest.mark.parametrize(
    ("phase_ms", "waits"),
    [(10, False), (90, True)],  # the thermal image before, or the one to come, is nearer
)
def test_the_thermal_period_decides_whether_waiting_can_help(phase_ms, waits):
    synchronizer = sync(slop_s=0.06)
    for i in range(10):
        synchronizer.add_thermal(SECOND + i * 111 * MS, i, SECOND + i * 111 * MS)
    stamp = SECOND + 9 * 111 * MS + phase_ms * MS
    pairs = synchronizer.add_rgb(stamp, "r", stamp)
    assert (pairs == []) == waits


def test_thermal_offset_is_added_to_the_thermal_stamp():
    late_by = 200 * MS
    pairs = feed(
        sync(thermal_offset_s=-0.2),
        [(0, "thermal", SECOND + late_by), (0, "rgb", SECOND)],
    )
    assert pairs[0].thermal == (0, SECOND + late_by)
    assert pairs[0].thermal_stamp_ns == SECOND + late_by
    assert pairs[0].offset_ns == 0


def silent_thermal(policy: str) -> tuple[list[Pair], SyncCounters]:
    rgb = [SECOND + i * 100 * MS for i in range(10)]
    synchronizer = sync(missing_thermal=policy, max_hold_s=0.5)
    return feed(synchronizer, stream(rgb, [SECOND])), synchronizer.counters


def test_silent_thermal_single_gives_rgb_alone():
    pairs, counters = silent_thermal("single")
    assert [pair.degraded for pair in pairs] == [""] + ["no_thermal"] * 9
    assert (counters.rgb_paired, counters.rgb_single) == (1, 9)


def test_silent_thermal_hold_reuses_the_last_image_up_to_max_hold():
    pairs, counters = silent_thermal("hold")
    assert [p.degraded for p in pairs] == [""] + ["held_thermal"] * 5 + ["no_thermal"] * 4
    assert all(pair.thermal_stamp_ns == SECOND for pair in pairs[:6])
    assert (counters.rgb_paired, counters.rgb_held, counters.rgb_single) == (6, 5, 4)


def test_silent_thermal_drop_counts_the_reason():
    pairs, counters = silent_thermal("drop")
    assert len(pairs) == 1
    assert counters.rgb_dropped == {"no_thermal": 9}


def test_thermal_that_returns_is_paired_again():
    rgb = [SECOND + i * 100 * MS for i in range(30)]
    thermal = [s for s in rgb if not 2 * SECOND < s < 3 * SECOND]
    pairs = feed(sync(), stream(rgb, thermal))
    assert [pair.degraded == "" for pair in pairs] == [s in thermal for s in rgb]


def test_silent_rgb_lets_thermal_out_alone_and_returns():
    rgb = [SECOND + i * 33 * MS for i in range(90)]
    rgb = [s for s in rgb if not 2 * SECOND < s < 3 * SECOND]
    thermal = [SECOND + i * 100 * MS + MS for i in range(30)]
    synchronizer = sync()
    pairs = feed(synchronizer, stream(rgb, thermal))
    alone = [pair.thermal_stamp_ns for pair in pairs if pair.rgb is None]
    assert alone == [s for s in thermal if 2050 * MS < s < 3 * SECOND]
    assert all(pair.degraded == "no_rgb" for pair in pairs if pair.rgb is None)
    assert synchronizer.counters.thermal_only == len(alone)
    assert sum(pair.rgb is not None for pair in pairs) == len(rgb)
    assert feed(sync(missing_rgb="drop"), stream(rgb, thermal)) == [p for p in pairs if p.rgb]


def test_thermal_alone_from_the_start_waits_for_max_hold():
    synchronizer = sync(max_hold_s=0.5)
    thermal = [SECOND + i * 100 * MS for i in range(10)]
    pairs = feed(synchronizer, stream([], thermal))
    assert len(pairs) == synchronizer.counters.thermal_only == 10
    early = sync(max_hold_s=0.5)
    for stamp in thermal[:5]:
        assert early.add_thermal(stamp, stamp, stamp) == []
    assert early.next_deadline_ns() == thermal[0] + 500 * MS


@pytest.mark.parametrize("rgb_rate", [1, 10, 30])
def test_unused_thermal_images_are_no_thermal_only_pairs_while_rgb_flows(rgb_rate):
    rng = random.Random(3)
    synchronizer = sync()
    # Before the third image the rate of RGB is unknown.
    rgb, thermal = camera(rgb_rate, 25, 3, rng), camera(60, 20, 1, rng)
    thermal = [stamp for stamp in thermal if stamp > rgb[2]]
    for arrival, name, stamp in stream(rgb, thermal):
        add = synchronizer.add_rgb if name == "rgb" else synchronizer.add_thermal
        add(stamp, stamp, arrival)
        synchronizer.poll(arrival)
    counters = synchronizer.counters
    assert counters.thermal_only == 0
    assert counters.rgb_received > counters.rgb_paired > 0.7 * len(rgb)
    assert sum(counters.thermal_unused.values()) > 100


@pytest.mark.parametrize("mode", ["reuse", "match"])
@pytest.mark.parametrize("seed", range(4))
def test_a_bag_loop_costs_at_most_one_pair(mode, seed):
    rng = random.Random(seed)
    rgb, thermal = camera(10, 10, 3, rng), camera(10, 10, 3, rng)
    lap = stream(rgb, thermal, delay_rgb=rng.randrange(20 * MS), delay_thermal=5 * MS)
    synchronizer = sync(mode=mode)
    messages = [(at + n * 10 * SECOND, name, stamp) for n in range(3) for at, name, stamp in lap]
    # The last messages of a lap may arrive after the first of the next.
    pairs = both(feed(synchronizer, sorted(messages)))
    counters = synchronizer.counters
    alone = len(both(feed(sync(mode=mode), lap)))
    assert alone >= 98
    assert len(pairs) >= 3 * alone - 2
    assert counters.resets == 4  # two streams, two jumps
    assert counters.rgb_received == 3 * len(rgb) == counters.rgb_paired + counters.rgb_single


@pytest.mark.parametrize("first", ["rgb", "thermal"])
def test_stragglers_of_the_old_lap_do_not_disturb_the_new_one(first):
    old, new = 20 * SECOND, SECOND
    other = "thermal" if first == "rgb" else "rgb"
    messages = []
    for i in range(10):
        messages += [(i, "thermal", old + i * 100 * MS), (i, "rgb", old + i * 100 * MS)]
    messages += [(20, first, new), (21, other, old + SECOND), (22, other, new)]
    for i in range(1, 10):
        messages += [(30 + i, "thermal", new + i * 100 * MS), (30 + i, "rgb", new + i * 100 * MS)]
    pairs = feed(sync(), messages)
    assert len([p for p in both(pairs) if p.rgb_stamp_ns < old]) == 10
    assert len(both(pairs)) == 20


def test_a_smaller_step_back_is_reordering():
    synchronizer = sync(max_wait_s=0.1)
    stamps = [SECOND + i * 50 * MS for i in range(6)]
    order = [0, 2, 1, 4, 3, 5]
    messages = [(0, "rgb", stamps[i]) for i in order] + [(1, "thermal", stamps[i]) for i in order]
    pairs = feed(synchronizer, messages)
    assert [pair.rgb_stamp_ns for pair in pairs] == stamps
    assert all(pair.offset_ns == 0 for pair in pairs)
    assert synchronizer.counters.resets == 0


def test_duplicates_and_zero_stamps_are_counted_and_dropped():
    synchronizer = sync()
    messages = [(0, name, stamp) for stamp in (SECOND, SECOND, 0) for name in ("thermal", "rgb")]
    pairs = feed(synchronizer, messages)
    assert len(pairs) == 1
    expected = {"duplicate_stamp": 1, "zero_stamp": 1}
    assert synchronizer.counters.rgb_dropped == expected
    assert synchronizer.counters.thermal_unused == expected


def test_zero_stamps_take_the_time_of_arrival_where_allowed():
    synchronizer = sync(allow_zero_stamps=True)
    pairs = feed(synchronizer, [(SECOND, "thermal", 0), (SECOND + 5 * MS, "rgb", 0)])
    assert (pairs[0].rgb_stamp_ns, pairs[0].offset_ns) == (SECOND + 5 * MS, -5 * MS)


class OldestFirst:
    """A matcher that pairs the oldest images there are, however far apart."""

    def certain(self, rgbs, thermals):
        return (0, 0) if rgbs and thermals else None

    def best(self, rgbs, thermals):
        return []


def test_match_mode_goes_by_another_matcher():
    synchronizer = Synchronizer(SyncParameters(mode="match", max_wait_s=0.1), OldestFirst())
    thermal = [SECOND + i * 111 * MS for i in range(18)]
    rgb = [SECOND + i * 33 * MS for i in range(60)]
    pairs = feed(synchronizer, stream(rgb, thermal, delay_thermal=50 * MS))
    assert [pair.rgb for pair in pairs] == sorted(pair.rgb for pair in pairs)
    assert [pair.thermal_stamp_ns for pair in both(pairs)] == thermal
    assert max(abs(pair.offset_ns) for pair in both(pairs)) > 33 * MS, "nearer ones were there"


def test_message_filters_needs_its_matcher():
    params = SyncParameters(mode="match", policy="message_filters")
    with pytest.raises(SartmError, match="leave message_filters to the ROS node"):
        Synchronizer(params)
    Synchronizer(params, OldestFirst())


def test_buffers_stay_bounded():
    synchronizer = sync(mode="match", max_wait_s=10, reset_jump_s=3600)
    for i in range(1000):
        synchronizer.add_thermal(SECOND + i, i, 0)
        synchronizer.add_rgb(100 * SECOND + i, i, 0)
    counters = synchronizer.counters
    assert counters.thermal_buffered <= 128
    assert counters.rgb_waiting <= 128
    assert_accounted(counters)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mode": "both"}, "sync.mode.*'both'.*reuse or match"),
        ({"slop_s": -1.0}, "sync.slop_s.*-1.0.*0.0 to 10.0"),
        ({"slop_s": float("nan")}, "sync.slop_s"),
        ({"missing_rgb": "hold"}, "single or drop"),
        ({"policy": "message_filters"}, "sync.mode:=match"),
    ],
)
def test_bad_parameters_are_refused_with_the_reason(params, message):
    with pytest.raises(SartmError, match=message):
        SyncParameters(**params)


def test_parameters_have_the_documented_defaults():
    assert asdict(SyncParameters()) == {
        "mode": "reuse",
        "policy": "nearest",
        "slop_s": 0.06,
        "thermal_offset_s": 0.0,
        "max_wait_s": 0.02,
        "missing_thermal": "single",
        "max_hold_s": 0.5,
        "missing_rgb": "single",
        "reset_jump_s": 1.0,
        "allow_zero_stamps": False,
    }


@pytest.mark.parametrize(
    ("centre", "radius", "possible"),
    [
        (405, 5, False),  # the next one lies at 500 at the earliest
        (405, 95, True),
        (480, 20, True),  # the next one may be that near
        (150, 49, False),  # no room between 100 and 200
        (200, 99, False),  # the same stamp does not come twice
        (20, 10, False),  # before the first one there is room, but not that near
    ],
)
def test_what_may_still_come_keeps_the_shortest_gap(centre, radius, possible):
    history = StampHistory()
    for stamp in (0, 100, 200, 300, 400):
        history.add(stamp, stamp)
    assert history.may_still_come(centre, radius) == possible
