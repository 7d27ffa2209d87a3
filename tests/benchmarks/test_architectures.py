"""The exploration's rows are what their names say; its page follows from the result file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import architectures
from benchmarks.architecture_variants import NETWORKS
from sartm_core.models import Student

TABLE = yaml.safe_load(architectures.ROWS.read_text())
BY_NAME = {name: changes for rows in TABLE.values() for name, changes in rows.items()}


def test_names_are_unique_and_the_reference_is_the_default() -> None:
    assert len(BY_NAME) == sum(len(rows) for rows in TABLE.values())
    assert architectures.settings(BY_NAME, architectures.REFERENCE) == {}


def test_a_row_starts_from_its_base_and_preset() -> None:
    preset = yaml.safe_load((architectures.ROOT / "config/train/student_s.yaml").read_text())
    row = architectures.settings(BY_NAME, "sartm-s, gated")
    assert row == {**preset["model"], "fusion": "gated"}


@pytest.mark.parametrize("name", [name for name in BY_NAME if "256x352" in name or "stem" in name])
def test_rows_build_networks_without_branches(name: str) -> None:
    network = architectures.build(architectures.settings(BY_NAME, name))
    assert not any(type(part).__name__ == "BranchedConv" for part in network.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_no_configuration_asks_for_have_logits_at_a_quarter(name: str) -> None:
    student = Student("mobilenetv4_conv_small", 9, 16)
    network = NETWORKS[name](student).eval()
    image = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    with torch.no_grad():
        logits = network(image, image[..., :1], image[..., :1], torch.ones(1, 2))
    assert logits.shape == (1, 9, 16, 24)


def test_table_of_the_page_is_that_of_the_result_file() -> None:
    result = json.loads(architectures.RESULT.read_text())
    assert architectures.markdown(result) in Path(architectures.PAGE).read_text()
    assert {row["name"] for row in result["rows"]} == set(BY_NAME)
