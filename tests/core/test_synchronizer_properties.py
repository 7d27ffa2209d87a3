from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sartm_core.matching import optimal_pairs
from tests.streams import MS, SECOND, assert_accounted, both, camera, feed, stream, sync

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
