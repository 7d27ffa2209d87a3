from __future__ import annotations

import random
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sartm_core.errors import SartmError
from sartm_core.matching import StampHistory, optimal_pairs
from sartm_core.synchronizer import Pair, SyncCounters, Synchronizer, SyncParameters

MS = 1_000_000
SECOND = 1000 * MS


def sync(**params: object) -> Synchronizer:
    return Synchronizer(SyncParameters(**params))


def feed(synchronizer: Synchronizer, messages: list[tuple[int, str, int]]) -> list[Pair]:
    """Play (arrival, stream, stamp) in order, polling at every deadline on the way, and flush."""
    pairs: list[Pair] = []
    now = 0
    for index, (arrival, stream, stamp) in enumerate(messages):
        while (due := synchronizer.next_deadline_ns()) is not None and due < arrival:
            now = max(now, due)
            pairs += synchronizer.poll(now)
        now = arrival
        add = synchronizer.add_rgb if stream == "rgb" else synchronizer.add_thermal
        pairs += add(stamp, (index, stamp), now)
        assert_accounted(synchronizer.counters)
    pairs += synchronizer.flush(now + 10 * SECOND)
    assert_accounted(synchronizer.counters)
    return pairs


def assert_accounted(counters: SyncCounters) -> None:
    assert counters.rgb_received == (
        counters.rgb_paired
        + counters.rgb_single
        + sum(counters.rgb_dropped.values())
        + counters.rgb_waiting
    )
    assert counters.thermal_received == (
        counters.thermal_used + sum(counters.thermal_unused.values()) + counters.thermal_buffered
    )


def camera(rate: float, seconds: float, jitter_ms: float, rng: random.Random, start: float = 1.0):
    """Stamps of a camera, ascending."""
    count = int(seconds * rate)
    stamps = {
        int((start + i / rate) * SECOND + rng.uniform(-jitter_ms, jitter_ms) * MS)
        for i in range(count)
    }
    return sorted(stamps)


def stream(rgb: list[int], thermal: list[int], delay_rgb: int = 0, delay_thermal: int = 0):
    """Messages that arrive a fixed time after their stamp."""
    messages = [(s + delay_rgb, "rgb", s) for s in rgb]
    messages += [(s + delay_thermal, "thermal", s) for s in thermal]
    return sorted(messages)


def both(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.rgb is not None and pair.thermal is not None]


# Streams that two free-running cameras could send, and worse: any stamps in any order, a step
# back, the same stamp again, no stamp.
arrivals = st.lists(
    st.tuples(
        st.integers(0, 60 * MS),
        st.sampled_from(["rgb", "thermal"]),
        st.one_of(st.just(0), st.integers(1 * SECOND, 1 * SECOND + 300 * MS)),
        st.sampled_from([0, 0, 0, 5 * SECOND]),
    ),
    max_size=40,
)
parameters = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["reuse", "match"]),
        "slop_s": st.sampled_from([0.0, 0.01, 0.06]),
        "thermal_offset_s": st.sampled_from([0.0, -0.04, 0.03]),
        "max_wait_s": st.sampled_from([0.0, 0.02, 0.12]),
        "missing_thermal": st.sampled_from(["hold", "single", "drop"]),
        "missing_rgb": st.sampled_from(["single", "drop"]),
        "allow_zero_stamps": st.booleans(),
    }
)


def at_arrival_times(drawn: list[tuple[int, str, int, int]]) -> list[tuple[int, str, int]]:
    now, messages = 1 * SECOND, []
    for gap, name, stamp, jump in drawn:
        now += gap
        messages.append((now, name, stamp + jump if stamp else 0))
    return messages


@settings(max_examples=300, deadline=None)
@given(arrivals, parameters)
def test_whatever_arrives_is_accounted_for_and_pairs_keep_the_rules(drawn, params):
    synchronizer = sync(**params)
    pairs = feed(synchronizer, at_arrival_times(drawn))  # checks the account after each message
    counters = synchronizer.counters

    slop = round(params["slop_s"] * SECOND)
    offset = round(params["thermal_offset_s"] * SECOND)
    for pair in both(pairs):
        assert pair.offset_ns == pair.thermal_stamp_ns + offset - pair.rgb_stamp_ns
        limit = 500 * MS if pair.degraded == "held_thermal" else slop
        assert abs(pair.offset_ns) <= limit
    if params["mode"] == "match":
        fresh = [pair.thermal for pair in pairs if pair.thermal and pair.degraded != "held_thermal"]
        assert len(fresh) == len(set(fresh))
    assert counters.rgb_waiting == 0
    assert len(both(pairs)) == counters.rgb_paired
    assert len([p for p in pairs if p.rgb is not None]) == counters.rgb_paired + counters.rgb_single
    assert len([p for p in pairs if p.rgb is None]) == counters.thermal_only
    if params["missing_thermal"] == "drop":
        assert not any(pair.degraded == "no_thermal" for pair in pairs)
    if counters.resets == 0:
        stamps = [pair.rgb_stamp_ns for pair in pairs if pair.rgb is not None]
        assert stamps == sorted(set(stamps))


cameras = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "rgb_rate": st.sampled_from([5, 10, 30]),
        "thermal_rate": st.sampled_from([9, 10, 30, 60]),
        "jitter_ms": st.sampled_from([0.0, 3.0, 20.0]),
        "drop": st.sampled_from([0.0, 0.1, 0.5]),
        "delay_ms": st.sampled_from([0, 10, 80, 350]),
    }
)


@settings(max_examples=60, deadline=None)
@given(cameras, parameters)
def test_two_cameras_are_paired_by_the_rules(shape, params):
    rng = random.Random(shape["seed"])
    streams = [
        [s for s in camera(rate, 2, shape["jitter_ms"], rng) if rng.random() >= shape["drop"]]
        for rate in (shape["rgb_rate"], shape["thermal_rate"])
    ]
    synchronizer = sync(**params)
    pairs = feed(synchronizer, stream(*streams, delay_thermal=shape["delay_ms"] * MS))
    fresh = [pair for pair in both(pairs) if not pair.degraded]
    assert all(abs(pair.offset_ns) <= round(params["slop_s"] * SECOND) for pair in fresh)
    if params["mode"] == "match":
        thermals = [pair.thermal for pair in fresh]
        thermals += [pair.thermal for pair in pairs if pair.rgb is None]
        assert len(thermals) == len(set(thermals))
    stamps = [pair.rgb_stamp_ns for pair in pairs if pair.rgb is not None]
    assert stamps == sorted(set(stamps))
    if params["missing_thermal"] != "drop":
        assert stamps == streams[0]  # every RGB image goes out


ordered_stamps = st.lists(st.integers(1, 400), min_size=1, max_size=20, unique=True).map(
    lambda values: [SECOND + value * MS for value in sorted(values)]
)


@settings(max_examples=200, deadline=None)
@given(ordered_stamps, ordered_stamps, st.sampled_from(["reuse", "match"]))
def test_in_match_mode_no_message_is_used_twice_and_reuse_takes_the_nearest(rgb, thermal, mode):
    # Everything arrives within max_wait, so everything is known when it is decided.
    synchronizer = sync(mode=mode, max_wait_s=10.0)
    messages = [(SECOND, "thermal", s) for s in thermal] + [(SECOND, "rgb", s) for s in rgb]
    pairs = [p for p in feed(synchronizer, messages) if p.rgb is not None]
    assert [pair.rgb_stamp_ns for pair in pairs] == rgb
    if mode == "match":
        used = [pair.thermal for pair in both(pairs)]
        assert len(used) == len(set(used))
        expected = scipy_optimum(rgb, thermal, 60 * MS)
        assert (len(used), sum(abs(p.offset_ns) for p in both(pairs))) == expected
    else:
        for pair in pairs:
            nearest = min(abs(s - pair.rgb_stamp_ns) for s in thermal)
            assert (abs(pair.offset_ns) if pair.thermal else None) == (
                nearest if nearest <= 60 * MS else None
            )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_pairs_do_not_depend_on_the_order_of_arrival(data):
    """Messages that arrive in any order within max_wait give the same pairs.

    Both streams have shown their periods before; odd nanoseconds make all offsets differ.
    An RGB image that a newer one has overtaken beyond recall is counted as late, never mispaired.
    """
    mode = data.draw(st.sampled_from(["reuse", "match"]))
    period = data.draw(st.sampled_from([33 * MS, 50 * MS, 111 * MS]))
    warm_up = [SECOND + i * period for i in range(8)]
    begin = warm_up[-1]
    gaps = data.draw(st.lists(st.integers(period, 3 * period), min_size=1, max_size=6))
    thermal = [begin + sum(gaps[: i + 1]) + 17 * i for i in range(len(gaps))]
    thermal = [stamp for stamp in thermal if stamp < begin + 900 * MS]  # what the buffer holds
    count = data.draw(st.integers(1, 12))
    first = data.draw(st.integers(0, 40 * MS))
    rgb = [begin + first + i * 33 * MS + 3 * i * i + 1 for i in range(count)]
    batch = [("rgb", s) for s in rgb] + [("thermal", s) for s in thermal]
    now = begin + SECOND

    def run(order):
        synchronizer = sync(mode=mode, max_wait_s=0.1, missing_rgb="drop")
        feed(synchronizer, stream([begin - i * 33 * MS for i in range(8, 0, -1)], warm_up))
        pairs = []
        for name, stamp in order:
            add = synchronizer.add_rgb if name == "rgb" else synchronizer.add_thermal
            pairs += add(stamp, stamp, now)
        pairs += synchronizer.poll(now + 100 * MS)
        assert_accounted(synchronizer.counters)
        late = synchronizer.counters.rgb_dropped.get("late", 0)
        return {p.rgb: p.thermal for p in pairs if p.rgb is not None}, late

    in_order, late = run(sorted(batch, key=lambda message: message[1]))
    assert late == 0
    permuted, late = run(data.draw(st.permutations(batch)))
    assert len(permuted) == len(in_order) - late
    if mode == "reuse" or late == 0:
        assert permuted == {stamp: in_order[stamp] for stamp in permuted}


def scipy_optimum(rgb: list[int], thermal: list[int], slop: int) -> tuple[int, int]:
    """(pairs, total offset) of the best one-to-one pairing, by an independent method."""
    offsets = np.abs(np.subtract.outer(np.array(rgb), np.array(thermal)))
    too_far = 1000 * slop + 1
    rows, columns = linear_sum_assignment(np.where(offsets <= slop, offsets, too_far))
    chosen = offsets[rows, columns]
    chosen = chosen[chosen <= slop]
    return len(chosen), int(chosen.sum())


@settings(max_examples=200, deadline=None)
@given(ordered_stamps, ordered_stamps, st.sampled_from([0, 5 * MS, 60 * MS]))
def test_optimal_pairs_agrees_with_the_assignment_solver(first, second, slop):
    pairs = optimal_pairs(first, second, slop)
    offsets = [abs(first[i] - second[j]) for i, j in pairs]
    assert (len(pairs), sum(offsets)) == scipy_optimum(first, second, slop)
    assert max(offsets, default=0) <= slop


@pytest.mark.parametrize("seed", range(6))
def test_match_mode_reaches_the_offline_optimum(seed):
    rng = random.Random(seed)
    rgb = camera(30, 20, 5, rng)
    thermal = camera(9, 20, 10, rng, start=1.0 + rng.random() / 9)
    rgb = [s for s in rgb if rng.random() > 0.05]
    thermal = [s for s in thermal if rng.random() > 0.05]
    messages = stream(rgb, thermal, delay_rgb=rng.randrange(15 * MS), delay_thermal=10 * MS)

    pairs = both(feed(sync(mode="match", max_wait_s=0.12), messages))
    count, total = scipy_optimum(rgb, thermal, 60 * MS)
    assert len(pairs) >= 0.98 * count
    mean = sum(abs(pair.offset_ns) for pair in pairs) / len(pairs)
    assert mean <= 1.02 * total / count


@pytest.mark.parametrize("mode", ["reuse", "match"])
def test_waiting_longer_never_exceeds_max_wait(mode):
    rng = random.Random(1)
    synchronizer = sync(mode=mode, max_wait_s=0.05)
    released: dict[int, int] = {}
    now = 0
    for arrival, name, stamp in stream(camera(30, 5, 4, rng), camera(9, 5, 4, rng)):
        while (due := synchronizer.next_deadline_ns()) is not None and due < arrival:
            now = max(now, due)
            released |= {p.rgb: now - p.arrival_ns for p in synchronizer.poll(now) if p.rgb}
        now = arrival
        add = synchronizer.add_rgb if name == "rgb" else synchronizer.add_thermal
        released |= {p.rgb: now - p.arrival_ns for p in add(stamp, stamp, now) if p.rgb}
    assert len(released) >= 140  # the last ones still wait
    assert max(released.values()) <= 50 * MS
    at_once = sum(wait == 0 for wait in released.values())
    assert at_once >= 0.3 * len(released)  # the next thermal image cannot be nearer for these


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
