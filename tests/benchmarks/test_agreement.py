"""Agreement between runtimes: the same masks give 1, others their share, by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement
from benchmarks.table import agreement as table
from sartm_core.bundle import load_bundle
from sartm_core.data.datasets import open_dataset


def test_runtimes_are_compared_on_each_data_set(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "RUNTIMES", ("onnxruntime", "openvino", "torch"))
    scenes = open_dataset("synthetic:3?frames=2")
    result = agreement.measure(load_bundle(tiny_bundle), [scenes, scenes], threads=1)
    assert [row["runtime"] for row in result["rows"]] == ["openvino", "openvino"]
    assert all(row["agreement"] > 0.99 and row["frames"] == 2 for row in result["rows"])
    assert "no weights" in result["missing"]["torch fp32"]
    text = "\n".join(table({**result, "split": None}))
    assert "openvino fp32 | 2 | " in text


def test_a_class_that_is_lost_counts(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0] = 1
    found = agreement.compare(bundle, [mask], [np.zeros_like(mask)])
    names = [info.name for info in bundle.classes.classes]
    assert found["classes"] == {names[0]: 0.9375, names[1]: 0.0}
    assert (found["agreement"], found["pixels"]) == (0.46875, 0.9375)
