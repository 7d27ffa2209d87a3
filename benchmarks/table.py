"""Write the result files of the benchmarks as tables into docs/benchmarks.md.

python -m benchmarks.table
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sartm_core.page import write_part
from sartm_core.timing import describe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN = "<!-- results: written by `python -m benchmarks.table` -->"
END = "<!-- end of results -->"


def transport(result: dict[str, Any]) -> Iterator[str]:
    yield "| best effort, RGB | DDS profile | seconds | sent | received | lost |"
    yield "|---|---|---|---|---|---|"
    for row in result["runs"]:
        rgb = row["rgb"]
        profile = "shipped" if row["profile"] else "none"
        yield (
            f"| {row['width']}x{row['height']} at {row['rate_hz']:g} Hz | {profile} "
            f"| {row['seconds']:g} | {rgb['sent']} | {rgb['received']} "
            f"| {rgb['lost_percent']:.2f} % |"
        )


def overload(result: dict[str, Any]) -> Iterator[str]:
    yield f"| {result['model']}, images at {result['rate_hz']:g} Hz | measured | limit |"
    yield "|---|---|---|"
    yield f"| inference, p50 | {result['inference_p50_ms']:.1f} ms | |"
    age, limit = result["output_age_p95_ms"], result["output_age_limit_ms"]
    yield f"| output age, p95 | {age:.1f} ms | {limit:.1f} ms |"
    rate, limit = result["output_rate_hz"], result["output_rate_limit_hz"]
    yield f"| output rate | {rate:.2f} Hz | {limit:.2f} Hz |"
    account = result["accounting"]
    dropped = sum(account["dropped"].values())
    closes = "closes" if account["closes"] else "does not close"
    yield (
        f"| accounting | {account['sent']} sent, {account['published']} published, "
        f"{dropped} dropped, {account['lost_in_transport']} lost: {closes} | closes |"
    )


def startup(result: dict[str, Any]) -> Iterator[str]:
    yield f"| {result['model']}, {len(result['first_mask_s'])} starts | measured | limit |"
    yield "|---|---|---|"
    yield f"| first mask, slowest | {max(result['first_mask_s']):.2f} s | 3 s |"
    yield f"| peak resident memory | {result['resident_peak_mib']:.0f} MiB | 400 MB |"


def overhead(result: dict[str, Any]) -> Iterator[str]:
    yield f"| {result['model']}, medians | measured | limit |"
    yield "|---|---|---|"
    yield f"| bare session | {result['session_ms']:.1f} ms | |"
    for name, check in result["checks"].items():
        unit = check["unit"]
        yield f"| {name} | {check['measured']:.2f} {unit} | {check['limit']:.2f} {unit} |"


def soak(result: dict[str, Any]) -> Iterator[str]:
    calls, loads = result["calls"]["at"][-1], result["loads"]["at"][-1]
    yield f"| {result['model']}, {calls:,} calls, {loads} loads | measured | limit |"
    yield "|---|---|---|"
    for name, check in result["checks"].items():
        yield f"| {name} | {check['measured']:g} | {check['limit']} |"


def bench(result: dict[str, Any]) -> Iterator[str]:
    input_size = "x".join(map(str, result["input"]))
    yield (
        f"| {result['model']}, {result['runtime']} {result['precision']}, input {input_size} "
        f"| {'x'.join(map(str, result['camera']))} |"
    )
    yield "|---|---|"
    yield f"| model | {describe(result['model_ms'])} |"
    yield f"| end to end | {describe(result['end_to_end_ms'])} |"
    yield f"| peak memory | {result['peak_memory_mib']:.0f} MiB |"
    if node := result.get("node"):
        limit = node["limit_ms"]
        yield f"| node, own time (p50 at most {limit:.1f} ms) | {describe(node['internal_ms'])} |"
        yield f"| publish to mask | {describe(node['publish_to_mask_ms'])} |"
        yield f"| echo node | {describe(node['echo_ms'])} |"
        rest = node["publish_to_mask_minus_model_minus_echo_ms"]
        name = f"publish to mask - model - echo node (p50 at most {limit:.1f} ms)"
        yield f"| {name} | {describe(rest)} |"


def agreement(result: dict[str, Any]) -> Iterator[str]:
    yield (
        f"| masks of {result['model']} against those of onnxruntime, fp32 | frames "
        "| mean IoU | equal pixels | least of a class |"
    )
    yield "|---|---|---|---|---|"
    for row in result["rows"]:
        name, least = min(row["classes"].items(), key=lambda item: item[1])
        yield (
            f"| {row['dataset']} {result['split'] or ''}: {row['runtime']} {row['precision']} "
            f"| {row['frames']} | {row['agreement']:.4f} | {row['pixels']:.4f} "
            f"| {name} {least:.3f} |"
        )


def pairing(result: dict[str, Any]) -> Iterator[str]:
    scenario = result["scenario"]
    seconds = scenario["seconds"] * scenario["seeds"]
    yield (
        f"| RGB 30 Hz + thermal 9 Hz, {seconds} s, max_wait_s {result['wait_ms'] / 1e3:g} | pairs "
        "| mean offset | lost by a bag loop "
        f"| pairs with thermal {result['late_ms']} ms late |"
    )
    yield "|---|---|---|---|---|"
    filters = result["message_filters"] or {}
    rows = {
        "mode match: the optimum": result["match"]["optimum"],
        "mode match: sartm": result["match"]["sartm"],
        "message_filters as it comes, queue 10": filters.get("bare"),
        "mode match, sync.policy message_filters": filters.get("policy"),
        "mode reuse: the optimum": result["reuse"]["optimum"],
        "mode reuse: sartm": result["reuse"]["sartm"],
    }
    for name, row in rows.items():
        if row is not None:
            lost, late = row.get("loop_lost", ""), row.get("late_pairs", "")
            yield f"| {name} | {row['pairs']} | {row['offset_ms']:.1f} ms | {lost} | {late} |"
    yield ""
    yield (
        "| max_wait_s | reuse: with partner | mean offset | added, mean (p95) "
        "| match: with partner | mean offset | added, mean (p95) |"
    )
    yield "|---|---|---|---|---|---|---|"
    points: dict[int, list[str]] = {}
    for point in result["curve"]:
        points.setdefault(point["max_wait_ms"], []).append(
            f"{point['share']:.0%} | {point['offset_ms']:.1f} ms "
            f"| {point['added_ms']:.1f} ({point['added_p95_ms']:.0f}) ms |"
        )
    for wait_ms, cells in points.items():
        yield f"| {wait_ms / 1e3:g} | {' '.join(cells)}"


def pairs(result: dict[str, Any]) -> Iterator[str]:
    yield f"| {result['model']}, {result['input_hz']:g} Hz in over four pairs | masks per second |"
    yield "|---|---|"
    yield f"| one pair alone | {result['one_pair_hz']:g} |"
    for name, rate in result["pairs_hz"].items():
        yield f"| {name} | {rate:g} |"


TABLES = {
    "pairing": pairing,
    "bench": bench,
    "bench_1080p": bench,
    "overload": overload,
    "transport": transport,
    "startup": startup,
    "overhead": overhead,
    "pairs": pairs,
    "soak": soak,
    "agreement": agreement,
}


def tables(results: Path) -> str:
    """Markdown of every result file that is there."""
    parts = []
    for name, lines in TABLES.items():
        file = results / f"{name}.json"
        if file.is_file():
            result = json.loads(file.read_text())
            machine = result["machine"]
            versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
            where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB"
            parts.append("\n".join(lines(result)) + f"\n\n{where}; {versions}.")
    return "\n\n".join(parts)


def main() -> int:
    write_part(PAGE, BEGIN, END, tables(RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
