from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from sartm_core.bundle import load_bundle
from sartm_core.classes import MFNET
from sartm_core.cli import main
from sartm_core.data.bag_dataset import BagDataset
from sartm_core.data.bag_make import BagOptions, make_bag_from_dataset
from sartm_core.data.bags import (
    FRAME_TOPIC,
    GROUND_TRUTH_TOPIC,
    RGB_TOPIC,
    SECOND,
    THERMAL_TOPIC,
    BagReader,
    BagWriter,
    find_topics,
)
from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.data.images import read_ids
from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError
from sartm_core.evaluation.bag import replay_through_node, score_run, segment_bag
from sartm_core.evaluation.evaluate import Plan, evaluate
from sartm_core.segmenter import load
from sartm_core.synchronizer import SyncParameters

SIZE = (48, 64)
EQUAL_METRICS = ("dataset", "split", "frames", "protocols", "confusion", "subsets")


class Frames:
    """Frames with a car, a person and labels that the tiny bundle gets partly wrong."""

    name, split, classes = "toy", "val", MFNET
    stems = tuple(f"{i:05d}{'N' if i % 3 else 'D'}" for i in range(7))

    def read(self, stem: str) -> Sample:
        rng = np.random.default_rng(int(stem[:5]))
        rgb = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        thermal = rng.integers(0, 256, SIZE, np.uint8)
        label = rng.integers(0, 9, SIZE, np.uint8)
        return Sample(stem=stem, rgb=rgb, thermal=thermal, label=label, night=stem.endswith("N"))


def opened(path: Path) -> BagDataset:
    bag = BagReader(path)
    return BagDataset.open(bag, find_topics(bag), MFNET)


def run(dataset: BagDataset, bundle: Path, out: Path, **params: object):
    with load(bundle, threads=1) as segmenter:
        return segment_bag(dataset, segmenter, SyncParameters(**params), out, advance=lambda: None)


def score(dataset: BagDataset, result, out: Path):
    return score_run(dataset, result, out, model="tiny", classes=MFNET)


def test_a_bag_scores_like_the_data_set_it_was_made_of(tmp_path, tiny_bundle):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap")
    dataset = opened(tmp_path / "a.mcap")
    result = run(dataset, tiny_bundle, tmp_path / "bag")
    metrics, pictures = score(dataset, result, tmp_path / "bag")
    with load(tiny_bundle, threads=1) as segmenter:
        expected, _ = evaluate(
            segmenter,
            Frames(),
            tmp_path / "set",
            Plan(write_masks=True),
            model="tiny",
            classes=load_bundle(tiny_bundle).classes,
            advance=lambda: None,
        )
    assert {key: metrics[key] for key in EQUAL_METRICS} == {
        key: expected[key] for key in EQUAL_METRICS
    }
    frames, frames_expected = (
        np.load(tmp_path / folder / "per_frame.npz") for folder in ("bag", "set")
    )
    for key in ("names", "confusion", "night"):
        np.testing.assert_array_equal(frames[key], frames_expected[key])
    for stem in Frames.stems:
        np.testing.assert_array_equal(
            read_ids(tmp_path / "bag/masks" / f"{stem}.png"),
            read_ids(tmp_path / "set/masks" / f"{stem}.png"),
        )
    assert metrics["accounting"]["rgb"] == {
        "received": 7,
        "published": 7,
        "dropped": {},
        "in_flight": 0,
        "without_thermal": 0,
    }
    assert metrics["without_mask"] == 0
    assert {"p50", "p95", "stages"} <= metrics["timing_ms"].keys()
    assert len(pictures) == 6
    assert pictures[0].truth is not None


def test_the_thermal_offset_decides_which_images_pair(tmp_path, tiny_bundle):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap", BagOptions(offset_s=0.1))
    make_bag_from_dataset(Frames(), tmp_path / "b.mcap")
    late, straight = opened(tmp_path / "a.mcap"), opened(tmp_path / "b.mcap")
    right = run(late, tiny_bundle, tmp_path / "right", thermal_offset_s=0.1)
    run(late, tiny_bundle, tmp_path / "wrong")
    run(straight, tiny_bundle, tmp_path / "straight")
    masks = {
        name: np.stack([read_ids(tmp_path / name / row["file"]) for row in right["masks"]])
        for name in ("right", "wrong", "straight")
    }
    np.testing.assert_array_equal(masks["right"], masks["straight"])
    assert (masks["wrong"] != masks["straight"]).any()


def test_thermal_that_is_missing_and_images_that_are_bad_are_accounted_for(tmp_path, tiny_bundle):
    with BagWriter(tmp_path / "a.mcap") as bag:
        for i in range(6):
            rgb = np.full((*SIZE, 3), 200, np.uint8)
            heat = np.full(SIZE, 300 + i, np.float32)
            if i == 2:
                heat[0, 0] = np.nan
            stamp = (100 + i) * SECOND
            if i != 1:
                bag.image(THERMAL_TOPIC, stamp, "thermal", heat, "32FC1")
            if i == 3:
                bag.image(RGB_TOPIC, stamp, "rgb", rgb[..., 0], "mono8")
            else:
                bag.image(RGB_TOPIC, stamp, "rgb", rgb, "rgb8")
    dataset = opened(tmp_path / "a.mcap")
    result = run(dataset, tiny_bundle, tmp_path)
    rgb_account = result["accounting"]["rgb"]
    assert rgb_account["received"] == 6
    assert rgb_account["dropped"] == {"wrong_encoding": 1}
    assert rgb_account["published"] == len(result["masks"]) == 5
    assert rgb_account["without_thermal"] == 2
    thermal = result["accounting"]["thermal"]
    assert thermal["received"] == 5
    assert thermal["unused"]["non_finite"] == 1  # as in the node
    assert thermal["used"] + sum(thermal["unused"].values()) + thermal["buffered"] == 5
    # no /frame: masks are named by their stamps; no ground truth: no scores, but a report of sorts
    assert result["masks"][0]["file"] == f"masks/{100 * SECOND}.png"
    metrics, pictures = score(dataset, result, tmp_path)
    assert "protocols" not in metrics
    assert metrics["accounting"] == result["accounting"]
    assert metrics["drops"] == rgb_account["dropped"]
    assert pictures == []


def test_policy_drop_leaves_frames_without_mask(tmp_path, tiny_bundle):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap", BagOptions(thermal_rate_hz=5))
    dataset = opened(tmp_path / "a.mcap")
    result = run(dataset, tiny_bundle, tmp_path, missing_thermal="drop", slop_s=0.01)
    metrics, _ = score(dataset, result, tmp_path)
    assert metrics["frames"] == 4
    assert metrics["without_mask"] == 3
    assert metrics["drops"] == {"no_thermal": 3}


def test_no_mask_at_all_is_an_error(tmp_path, tiny_bundle):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap", BagOptions(offset_s=10))
    dataset = opened(tmp_path / "a.mcap")
    result = run(dataset, tiny_bundle, tmp_path, missing_thermal="drop")
    with pytest.raises(SartmError, match="7 no_thermal"):
        score(dataset, result, tmp_path)


def test_passes_over_one_bag_are_scored_each(tmp_path, tiny_bundle):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap")
    dataset = opened(tmp_path / "a.mcap")
    result = run(dataset, tiny_bundle, tmp_path)
    result["masks"] += [{**row, "pass": 2} for row in result["masks"]]
    metrics, _ = score(dataset, result, tmp_path)
    assert metrics["frames"] == 14
    assert np.load(tmp_path / "per_frame.npz")["names"][1] == "00000D@2"


def test_a_frame_name_cannot_lead_out_of_the_folder(tmp_path):
    with BagWriter(tmp_path / "a.mcap") as bag:
        bag.image(RGB_TOPIC, SECOND, "", np.zeros((2, 2, 3), np.uint8), "rgb8")
        bag.image(THERMAL_TOPIC, SECOND, "", np.zeros((2, 2), np.uint8), "mono8")
        bag.text(FRAME_TOPIC, SECOND, json.dumps({"stem": "../../evil"}))
    with pytest.raises(SartmError, match="evil"):
        opened(tmp_path / "a.mcap")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stem": 3}', "null"])
def test_frame_messages_that_name_nothing_are_refused(tmp_path, text):
    with BagWriter(tmp_path / "a.mcap") as bag:
        bag.image(RGB_TOPIC, SECOND, "", np.zeros((2, 2, 3), np.uint8), "rgb8")
        bag.image(THERMAL_TOPIC, SECOND, "", np.zeros((2, 2), np.uint8), "mono8")
        bag.text(FRAME_TOPIC, SECOND, text)
    with pytest.raises(SartmError, match=FRAME_TOPIC):
        opened(tmp_path / "a.mcap")


def test_without_ros_the_node_cannot_be_used(tmp_path, monkeypatch):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap")
    monkeypatch.setattr("sartm_core.evaluation.bag.find_spec", lambda name: None)
    with pytest.raises(SartmError, match=r"ROS 2.*remedy"):
        replay_through_node(BagReader(tmp_path / "a.mcap"), "tiny", tmp_path, [])


def fake_python(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\nimport json, pathlib, sys\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_what_the_node_recorded_is_read_back(tmp_path, monkeypatch, tiny_bundle):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap")
    dataset = opened(tmp_path / "a.mcap")
    out = tmp_path / "out"
    masks = run(dataset, tiny_bundle, out)["masks"]
    account = {"sent": 7, "received": 7, "published": 7, "dropped": {}, "in_flight": 0}
    summary = {"p50": 1.0, "p95": 2.0, "p99": 3.0}
    replay = {
        "masks": masks,
        "accounting": account,
        "timing_ms": {"latency": summary, "model": summary, "node_internal": {}},
    }
    body = f"pathlib.Path({str(out)!r}, 'replay.json').write_text({json.dumps(replay)!r})\n"
    body += f"pathlib.Path({str(out)!r}, 'words').write_text(' '.join(sys.argv[1:]))\n"
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path / "python", body))
    monkeypatch.setattr("sartm_core.evaluation.bag.find_spec", lambda name: object())
    result = replay_through_node(dataset.bag, "tiny", out, ["--pace", "lockstep"])
    words = (out / "words").read_text()
    assert words.startswith(f"-m sartm_ros.replay {tmp_path / 'a.mcap'} --model tiny --out {out}")
    assert words.endswith("--pace lockstep")
    metrics, _ = score(dataset, result, out)
    assert metrics["accounting"] == {"rgb": account}
    assert metrics["timing_ms"]["p95"] == 2.0
    assert metrics["frames"] == 7


def test_a_replay_that_fails_is_an_error(tmp_path, monkeypatch):
    make_bag_from_dataset(Frames(), tmp_path / "a.mcap")
    monkeypatch.setattr(sys, "executable", fake_python(tmp_path / "python", "sys.exit(3)"))
    monkeypatch.setattr("sartm_core.evaluation.bag.find_spec", lambda name: object())
    with pytest.raises(SartmError, match="exit code 3"):
        replay_through_node(BagReader(tmp_path / "a.mcap"), "tiny", tmp_path, [])


# The command line


def test_make_info_eval_from_the_command_line(tmp_path, tiny_bundle, capsys):
    bag, out = tmp_path / "drive.mcap", tmp_path / "out"
    words = [
        "--data",
        "synthetic:5",
        "--duration",
        "1",
        "--width",
        "64",
        "--height",
        "48",
        "--thermal-rate",
        "9",
    ]
    assert main(["bag", "make", str(bag), *words, "--offset", "0.02", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["topics"][RGB_TOPIC] == made["topics"][GROUND_TRUTH_TOPIC] == 10
    assert made["topics"][THERMAL_TOPIC] == 9

    assert main(["bag", "info", str(bag), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["topics"][RGB_TOPIC]["count"] == 10
    assert main(["bag", "info", str(bag)]) == 0
    assert "10.0 Hz  /rgb/image_raw" in capsys.readouterr().out

    words = ["--model", str(tiny_bundle), "--thermal-offset", "0.02", "--json"]
    assert main(["bag", "eval", str(bag), "--out", str(out), *words]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert metrics["frames"] == metrics["accounting"]["rgb"]["published"] == 10
    assert metrics["provenance"]["bundle_sha256"]
    assert "mfnet8" in metrics["protocols"]
    assert "<html" in (out / "report.html").read_text()
    assert len(list((out / "masks").glob("*.png"))) == 10


def test_several_bags_get_a_folder_each(tmp_path, tiny_bundle, capsys):
    for name in ("a", "b"):
        make_bag_from_dataset(Frames(), tmp_path / f"{name}.mcap")
    bags = [str(tmp_path / f"{name}.mcap") for name in ("a", "b")]
    out = tmp_path / "out"
    assert main(["bag", "eval", *bags, "--model", str(tiny_bundle), "--out", str(out)]) == 0
    assert "a.mcap: 7 masks for 7 RGB images" in capsys.readouterr().out
    assert (out / "a/metrics.json").is_file()
    assert (out / "b/report.html").is_file()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["info", "absent.mcap"], 1, "absent.mcap"),
        (["eval", "absent.mcap", "--model", "TINY", "--out", "out"], 1, "absent.mcap"),
        (["make", "a.mcap", "--data", "folder:nowhere"], 1, "nowhere"),
        (["make", "a.mcap", "--data", "folder:.", "--duration", "3"], 1, "synthetic:SEED"),
        (["make", "a.mcap", "--data", "synthetic:1", "--drop", "2"], 1, "0 to below 1"),
        (["make", "a.mcap"], 2, "--data"),
        (["eval", "a.mcap", "--model", "TINY", "--out", "o", "--loop", "2"], 2, "--through-node"),
        (["make", "a", "--data", "synthetic:1", "--duration", "1", "--loop", "2"], 2, "--loop"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    words, code, text, tmp_path, tiny_bundle, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [str(tiny_bundle) if word == "TINY" else word for word in words]
    assert main(["bag", *words]) == code
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error
    if code == 1:
        assert error.count("\n") == 1


@pytest.mark.data
def test_real_frames_score_the_same_from_a_bag(tmp_path, tiny_bundle):
    root = sample_data_root()
    assert root is not None
    frames = open_dataset(f"folder:{root / 'mfnet_subset'}", "val")
    make_bag_from_dataset(frames, tmp_path / "a.mcap")
    dataset = opened(tmp_path / "a.mcap")
    metrics, _ = score(dataset, run(dataset, tiny_bundle, tmp_path), tmp_path)
    with load(tiny_bundle, threads=1) as segmenter:
        expected, _ = evaluate(
            segmenter, frames, tmp_path / "set", Plan(), model="tiny", classes=MFNET,
            advance=lambda: None,
        )  # fmt: skip
    assert metrics["frames"] == 46
    assert {key: metrics[key] for key in EQUAL_METRICS} == {
        key: expected[key] for key in EQUAL_METRICS
    }
