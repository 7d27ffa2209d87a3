"""When a replay under overload passes."""

import pytest

from benchmarks.overload import judge


def replay(model=100.0, age=219.0, rate=9.1, closes=True):
    return {
        "model": "m",
        "masks": [{}] * 300,
        "timing_ms": {"model": {"p50": model}, "output_age": {"p95": age}},
        "output_rate_hz": rate,
        "accounting": {"closes": closes},
        "machine": {},
    }


def test_two_inference_times_and_nine_tenths_of_the_rate_pass():
    assert judge(replay(), 30.0)["passed"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"age": 221.0}, "output age"),  # two inference times and 20 ms are 220
        ({"rate": 8.9}, "output rate"),  # nine tenths of 10 Hz are 9
        ({"closes": False}, "accounting closes"),
        ({"model": 30.0, "age": 50.0, "rate": 31.0}, "the model is slower than the rate"),
    ],
)
def test_each_figure_can_fail_it(change, check):
    result = judge(replay(**change), 30.0)
    assert not result["passed"]
    assert [name for name, good in result["checks"].items() if not good] == [check]
