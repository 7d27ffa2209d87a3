"""A camera faster than the model: how old the masks are, and whether every image is accounted for.

    python -m benchmarks.overload BAG [--model sartm-s] [--rate 30] [--masks 300]

Fails unless the 95th percentile of the output's age is at most two inference times + 20 ms, the
output rate at least 90 % of one per inference time, and the accounting closes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sartm_core.files import write_json_atomic

RESULT = Path(__file__).parent / "results" / "overload.json"
AGE_MARGIN_MS = 20.0
RATE_SHARE = 0.9


def judge(replay: dict[str, Any], rate_hz: float) -> dict[str, Any]:
    """The figures of a replay that matter under overload, and what they must be."""
    model_ms = replay["timing_ms"]["model"]["p50"]
    age_limit = 2 * model_ms + AGE_MARGIN_MS
    rate_limit = RATE_SHARE * 1e3 / model_ms
    age, rate = replay["timing_ms"]["output_age"]["p95"], replay["output_rate_hz"]
    checks = {
        "the model is slower than the rate": model_ms > 1e3 / rate_hz,
        "output age": age <= age_limit,
        "output rate": rate >= rate_limit,
        "accounting closes": replay["accounting"]["closes"],
    }
    return {
        "model": replay["model"],
        "rate_hz": rate_hz,
        "masks": len(replay["masks"]),
        "inference_p50_ms": model_ms,
        "output_age_p95_ms": age,
        "output_age_limit_ms": round(age_limit, 3),
        "output_rate_hz": rate,
        "output_rate_limit_hz": round(rate_limit, 3),
        "accounting": replay["accounting"],
        "timing_ms": replay["timing_ms"],
        "checks": checks,
        "passed": all(checks.values()),
        "machine": replay["machine"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bag")
    parser.add_argument("--model", default="sartm-s")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--masks", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sartm_ros.replay", options.bag, "--model", options.model]
        command += ["--pace", "realtime", "--rate", str(options.rate), "--out", folder]
        command += ["--min-masks", str(options.masks)]
        if code := subprocess.run(command).returncode:
            return code
        replay = json.loads((Path(folder) / "replay.json").read_text())
    result = judge(replay, options.rate)
    write_json_atomic(options.out, result)
    print(json.dumps({key: result[key] for key in result if key != "machine"}, indent=2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
