"""`python -m benchmarks.models` on a sweep of two tiny networks."""

import importlib.util
import json

import pytest

from benchmarks.models import SWEEP, describe, main, measure
from benchmarks.models_page import BEGIN, END
from sartm_core.training.sweep_file import load_sweep
from tests.sweeps import write_sweep

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("segmentation_models_pytorch") is None,
    reason="needs segmentation_models_pytorch: pip install -r requirements/bench.txt",
)

ROWS = """
  - {name: both}
  - {name: again, after: both, overrides: [train.lr_decoder=0.001]}
  - {name: peer, after: both, overrides: [model.architecture=smp_fpn, model.encoder=mobilenet_v2]}
"""


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_sweep(tmp_path, rows=ROWS)


def test_every_network_is_timed_from_images_to_the_mask(sweep_file, tmp_path):
    speed = measure(load_sweep(sweep_file), tmp_path / "onnx", threads=1, rounds=2)
    assert speed["input"] == [96, 64]
    networks = speed["networks"]
    assert list(networks) == ["both", "again", "peer"]
    assert networks["again"] == networks["both"]  # the same network is timed once
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == ["both.onnx", "peer.onnx"]
    for network in networks.values():
        assert 0 < network["ms"]["fp32"]["fastest"] <= network["ms"]["fp32"]["p50"]
        assert network["parameters"] > 100_000
        assert network["multiply_adds"] > 1_000_000


def test_the_command_grows_one_result_file(sweep_file, tmp_path, capsys):
    page = tmp_path / "models.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    places = ["--sweep", sweep_file, "--out", tmp_path / "models.json", "--page", page]
    places += ["--files", tmp_path / "onnx"]

    def call(*words):
        assert main([str(word) for word in (*places, *words)]) == 0
        capsys.readouterr()
        return json.loads((tmp_path / "models.json").read_text())

    trained = call("--train-only", "--only", "peer")
    assert "speed" not in trained
    scores = {row["row"]: row["scores"] for row in trained["accuracy"]["rows"]}
    assert set(scores["peer"]) == {"rgb+thermal", "rgb", "thermal", "mean"}
    assert scores["both"] == {}
    timed = call("--time-only", "--rounds", "1", "--threads", "1")
    assert timed["accuracy"] == trained["accuracy"]
    assert call("--table-only") == timed
    assert "| peer |" in page.read_text()


def test_a_sweep_that_does_not_exist_is_refused_in_one_line(tmp_path, capsys):
    assert main(["--sweep", str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().err.startswith("error: no such sweep file")


@pytest.mark.data
def test_peers_are_set_beside_ours_of_the_same_start():
    rows = {row["row"]: row for row in describe(load_sweep(SWEEP))}
    for row in rows.values():
        if not row["ours"]:
            beside = rows[row["beside"]]
            assert beside["ours"]
            assert beside["imagenet"] == row["imagenet"]
