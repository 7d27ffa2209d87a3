"""The table of runtimes: what is measured, and that the page is that of the result file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runtimes
from sartm_core.bundle import load_bundle


@pytest.fixture
def bundle_with_sample(tiny_bundle: Path, tmp_path: Path) -> Path:
    path = shutil.copytree(tiny_bundle, tmp_path / "tiny")
    planes = np.zeros((8, 96, 128), np.uint8)
    np.savez(
        path / "sample.npz",
        rgb=np.zeros((8, 96, 128, 3), np.uint8),
        thermal=planes,
        thermal_valid=planes + 1,
        mask=planes,
    )
    return path


def test_what_works_is_timed_and_the_rest_has_a_reason(
    bundle_with_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "RUNTIMES", ("onnxruntime", "torch"))
    result = runtimes.measure(load_bundle(bundle_with_sample), threads=1, rounds=1)
    (row,) = result["rows"]
    assert (row["runtime"], row["precision"], row["device"]) == ("onnxruntime", "fp32", "cpu")
    assert (row["ratio"], row["interval"], row["agreement"]) == (1.0, None, 1.0)
    assert row["ms"]["p50"] > 0
    assert "no weights" in result["missing"]["torch fp32"]
    assert "Not measured here: `torch`." in runtimes.markdown(result)


def test_a_row_tells_ratio_and_interval() -> None:
    row = {
        "runtime": "openvino",
        "device": "cpu",
        "precision": "int8cpu",
        "ms": {"p50": 40.04, "p95": 50.0, "p99": 60.0},
        "ratio": 0.4004,
        "interval": [0.39, 0.41],
        "agreement": 0.98,
        "start_s": 0.7,
    }
    machine = {"cpu": "CPU", "versions": {"openvino": "1"}}
    result = {"model": "m", "input": [480, 640], "threads": 2, "rounds": 20, "load": 0.1}
    text = runtimes.markdown({**result, "machine": machine, "rows": [row], "missing": {}})
    assert "| `openvino` on cpu | int8cpu | 40.0 | 50.0 | 0.400 | 0.390 to 0.410 " in text
    assert text.endswith("CPU, 2 threads, 20 rounds, load 0.1 when it began; openvino 1.")


def test_the_page_is_that_of_the_result_file() -> None:
    page = runtimes.PAGE.read_text()
    assert page.index(runtimes.BEGIN) < page.index(runtimes.END)
    if runtimes.RESULT.is_file():
        assert runtimes.markdown(json.loads(runtimes.RESULT.read_text())) in page
