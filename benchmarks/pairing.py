"""How well RGB and thermal images are paired, set beside the optimum and message_filters.

    python -m benchmarks.pairing [--seeds 10] [--plot docs/images/pairing.png]

RGB at 30 Hz and thermal at 9 Hz, 40 ms out of step, with jitter in stamps and delivery; time is
simulated. The optimum knows all stamps beforehand: in mode reuse the nearest thermal image of each
RGB image, in mode match the most pairs and of those the least offset. message_filters is measured
where it is installed; else the figures in the result file stay.

Writes results/pairing.json and, if asked, the plot; exit code 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.pairing_plot import draw
from sartm_core.errors import SartmError
from sartm_core.files import write_json_atomic
from sartm_core.machine import describe_machine
from sartm_core.matching import optimal_pairs
from sartm_core.progress import console, progress
from sartm_core.synchronizer import NANO, Pair, Synchronizer, SyncParameters

RESULT = Path(__file__).parent / "results" / "pairing.json"
MS = NANO // 1000
SECONDS = 20
# Rate [Hz], first stamp [ms], jitter of the stamps [ms], delivery from .. to [ms].
CAMERAS = {"rgb": (30.0, 1000, 5, 10, 20), "thermal": (9.0, 1040, 10, 10, 20)}
WAITS_MS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 150)
WAIT_MS = 120
LATE_MS = 450
QUEUE = 10  # what nearly everybody gives to message_filters
LEAST_SHARE, MOST_OFFSET, MOST_LOST = 0.98, 1.05, 1
MODES = ("reuse", "match")

Message = tuple[int, str, int]
"""Arrival [ns], stream, stamp [ns]."""
Way = Callable[[list[Message], int], list[int]]
"""Messages and the longest wait [ms] in, offsets of the pairs [ns] out."""


@dataclass(frozen=True)
class Outcome:
    """What became of a stream.

    Attributes:
        offsets: |thermal stamp - RGB stamp| of the pairs, ns.
        waits: from the arrival of each RGB image until it went on, ns.
    """

    offsets: list[int]
    waits: list[int]


def cameras(seed: int, *, late_ms: int = 0) -> list[Message]:
    """All messages of ``SECONDS``, by arrival; thermal ``late_ms`` later than usual."""
    rng = random.Random(seed)
    messages = []
    for name, (rate, first, jitter, soonest, latest) in CAMERAS.items():
        extra = late_ms if name == "thermal" else 0
        for i in range(int(SECONDS * rate)):
            stamp = round((first + 1e3 * i / rate + rng.uniform(-jitter, jitter)) * MS)
            arrival = stamp + round((rng.uniform(soonest, latest) + extra) * MS)
            messages.append((arrival, name, stamp))
    return sorted(messages)


def twice(messages: Sequence[Message]) -> list[Message]:
    """A bag played twice without a pause: the stamps of the second lap jump back."""
    again = [(arrival + SECONDS * NANO, name, stamp) for arrival, name, stamp in messages]
    return sorted([*messages, *again])


def play(synchronizer: Synchronizer, messages: Iterable[Message]) -> Outcome:
    """Give the messages to a synchroniser as they come, and poll it when it wants to be."""
    outcome = Outcome([], [])

    def take(pairs: Iterable[Pair], now: int) -> None:
        for pair in pairs:
            if pair.rgb_stamp_ns is not None:
                outcome.waits.append(now - pair.arrival_ns)
            if pair.offset_ns is not None:
                outcome.offsets.append(abs(pair.offset_ns))

    now = 0
    for arrival, name, stamp in messages:
        while (due := synchronizer.next_deadline_ns()) is not None and due < arrival:
            now = max(now, due)
            take(synchronizer.poll(now), now)
        now = arrival
        add = synchronizer.add_rgb if name == "rgb" else synchronizer.add_thermal
        take(add(stamp, stamp, now), now)
    take(synchronizer.flush(now), now)
    return outcome


def optimum(messages: Iterable[Message], params: SyncParameters) -> list[int]:
    """Offsets of the best pairs that all stamps together allow, ns."""
    stamps: dict[str, list[int]] = {"rgb": [], "thermal": []}
    for _, name, stamp in messages:
        stamps[name].append(stamp)
    rgb, thermal = (sorted(stamps[name]) for name in ("rgb", "thermal"))
    slop = round(params.slop_s * NANO)
    if params.mode == "match":
        return [abs(rgb[i] - thermal[j]) for i, j in optimal_pairs(rgb, thermal, slop)]
    nearest = np.abs(np.subtract.outer(rgb, thermal)).min(axis=1)
    return [int(offset) for offset in nearest if offset <= slop]


def bare_message_filters(messages: Iterable[Message], queue: int) -> list[int]:
    """Offsets of the pairs of message_filters' class as it comes, ns."""
    from message_filters import ApproximateTimeSynchronizer, SimpleFilter
    from rclpy.time import Time

    inputs = {name: SimpleFilter() for name in CAMERAS}
    offsets: list[int] = []
    synchronizer = ApproximateTimeSynchronizer(
        list(inputs.values()), queue, SyncParameters().slop_s
    )
    synchronizer.registerCallback(lambda *pair: offsets.append(abs(pair[0].ns - pair[1].ns)))
    for _, name, stamp in messages:
        header = SimpleNamespace(stamp=Time(nanoseconds=stamp))
        inputs[name].signalMessage(SimpleNamespace(header=header, ns=stamp))
    return offsets


def measure(seeds: int) -> dict[str, Any]:
    """Everything but message_filters."""
    drives = [cameras(seed) for seed in range(seeds)]
    sizes = sum(name == "rgb" for drive in drives for _, name, _ in drive)
    result: dict[str, Any] = {"curve": []}
    with progress("pairing", len(MODES) * (len(WAITS_MS) + 1)) as bar:
        for mode in MODES:
            rules = SyncParameters(mode=mode)
            best = [optimum(drive, rules) for drive in drives]
            result[mode] = {"optimum": _summary(best), "sartm": measure_way(_ours(mode), seeds)}
            bar.advance()
            for wait_ms in WAITS_MS:
                waiting = replace(rules, max_wait_s=wait_ms / 1e3)
                outcomes = [play(Synchronizer(waiting), drive) for drive in drives]
                waits = [wait / MS for outcome in outcomes for wait in outcome.waits]
                summary = _summary([outcome.offsets for outcome in outcomes])
                result["curve"].append(
                    {
                        "mode": mode,
                        "max_wait_ms": wait_ms,
                        **summary,
                        "share": round(summary["pairs"] / sizes, 4),
                        "added_ms": round(float(np.mean(waits)), 3),
                        "added_p95_ms": round(float(np.percentile(waits, 95)), 3),
                    }
                )
                bar.advance()
    return result


def measure_message_filters(seeds: int) -> dict[str, Any] | None:
    """The class as it comes, and as sync.policy; None where it is not installed."""
    try:
        import message_filters  # noqa: F401

        from sartm_ros.approximate_time import ApproximateTime
    except ImportError:
        return None
    rules = SyncParameters(mode="match", policy="message_filters")

    def guarded(messages: list[Message], wait_ms: int) -> list[int]:
        waiting = replace(rules, max_wait_s=wait_ms / 1e3)
        return play(Synchronizer(waiting, ApproximateTime(rules.slop_s)), messages).offsets

    return {
        "bare": measure_way(lambda messages, _: bare_message_filters(messages, QUEUE), seeds),
        "policy": measure_way(guarded, seeds),
    }


def measure_way(pair: Way, seeds: int) -> dict[str, Any]:
    """Pairs and mean offset; pairs lost by a bag loop (the worst seed); pairs of late thermal."""
    drives = [cameras(seed) for seed in range(seeds)]
    once = [pair(drive, WAIT_MS) for drive in drives]
    looped = [pair(twice(drive), WAIT_MS) for drive in drives]
    late = [pair(cameras(seed, late_ms=LATE_MS), LATE_MS + WAIT_MS) for seed in range(seeds)]
    return {
        **_summary(once),
        "loop_lost": max(2 * len(a) - len(b) for a, b in zip(once, looped, strict=True)),
        "late_pairs": sum(map(len, late)),
    }


def judge(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each bound: what was measured, the limit, whether it holds."""
    checks = {}
    for mode in MODES:
        best, ours = result[mode]["optimum"], result[mode]["sartm"]
        share, ratio = ours["pairs"] / best["pairs"], ours["offset_ms"] / best["offset_ms"]
        checks |= {
            f"{mode}: share of the optimum's pairs": (share, LEAST_SHARE, share >= LEAST_SHARE),
            f"{mode}: mean offset / the optimum's": (ratio, MOST_OFFSET, ratio <= MOST_OFFSET),
            f"{mode}: pairs lost by a bag loop": (
                ours["loop_lost"],
                MOST_LOST,
                ours["loop_lost"] <= MOST_LOST,
            ),
        }
    return {
        name: {"measured": round(measured, 4), "limit": limit, "ok": ok}
        for name, (measured, limit, ok) in checks.items()
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="how many pairs of streams")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--plot", type=Path, help="draw the curve into this file (matplotlib)")
    options = parser.parse_args(words)
    scenario = {"cameras": CAMERAS, "seconds": SECONDS, "seeds": options.seeds}
    scenario = json.loads(json.dumps(scenario))
    earlier = json.loads(options.out.read_text()) if options.out.is_file() else {}
    known = earlier.get("message_filters") if earlier.get("scenario") == scenario else None
    result = measure(options.seeds)
    checks = judge(result)
    result |= {
        "scenario": scenario,
        "wait_ms": WAIT_MS,
        "late_ms": LATE_MS,
        "message_filters": measure_message_filters(options.seeds) or known,
        "checks": checks,
        "passed": all(check["ok"] for check in checks.values()),
        "machine": describe_machine(),
    }
    write_json_atomic(options.out, result)
    for name, check in checks.items():
        verdict = "ok" if check["ok"] else "--"
        print(f"{verdict} {name}: {check['measured']:g} (limit {check['limit']:g})")
    for point in result["curve"]:
        print(
            f"{point['mode']}, max_wait {point['max_wait_ms']:3d} ms: mean offset "
            f"{point['offset_ms']:4.1f} ms, with partner {point['share']:4.0%}, added "
            f"{point['added_ms']:4.1f} ms (p95 {point['added_p95_ms']:5.1f})"
        )
    try:
        if options.plot is not None:
            draw(result, options.plot)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(f"written to {options.out}")
    return 0 if result["passed"] else 1


def _ours(mode: str) -> Way:
    def pair(messages: list[Message], wait_ms: int) -> list[int]:
        rules = SyncParameters(mode=mode, max_wait_s=wait_ms / 1e3)
        return play(Synchronizer(rules), messages).offsets

    return pair


def _summary(runs: Sequence[Sequence[int]]) -> dict[str, Any]:
    offsets = [offset / MS for run in runs for offset in run]
    return {"pairs": len(offsets), "offset_ms": round(float(np.mean(offsets)), 3)}


if __name__ == "__main__":
    sys.exit(main())
