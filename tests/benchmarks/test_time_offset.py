"""The benchmark of the clock offset, one run of it on real frames."""

from __future__ import annotations

import pytest

from benchmarks.time_offset import accuracy, false_claims
from sartm_core.data.datasets import open_dataset, sample_data_root

pytestmark = pytest.mark.data


def test_one_run() -> None:
    dataset = open_dataset(f"folder:{sample_data_root()}/mfnet_subset", "train")
    row = accuracy(dataset, 6.0, (30.0, 9.0), "N", runs=1)
    assert (row["runs"], row["answered"], row["in_interval"]) == (1, 1, 1)
    assert row["rms_ms"] == row["largest_ms"] < 10
    assert false_claims(dataset, runs=1) == 0
