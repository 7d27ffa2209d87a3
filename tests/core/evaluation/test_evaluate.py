"""Running a model over a data set, scoring masks of any method, and the two commands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sartm_core.classes import MFNET, PST900, ClassInfo, ClassTable
from sartm_core.cli import main
from sartm_core.data.datasets import open_dataset
from sartm_core.data.images import read_ids, write_png
from sartm_core.data.sample import Sample, is_night
from sartm_core.errors import SartmError
from sartm_core.evaluation.evaluate import Plan, evaluate, fit_to_label, id_map, shuffled_partners
from sartm_core.evaluation.robustness import frozen_sources
from sartm_core.evaluation.score import score
from sartm_core.evaluation.tally import Tally
from sartm_core.frames import Segmentation
from tests.bundles import CAR, PERSON

SHAPE = (24, 32)
STEMS = ("1D", "2D", "3D", "4N", "5N")


@dataclass
class Site:
    """Frames whose label can be read off either image: thermal = label, red = label."""

    name = "site"
    classes = MFNET
    stems = STEMS
    split = "val"

    def read(self, stem: str) -> Sample:
        label = np.zeros(SHAPE, np.uint8)
        label[int(stem[0]) * 3 :, 5:20] = PERSON
        label[:5, :] = CAR
        return Sample(
            stem=stem,
            rgb=np.repeat(label[..., None], 3, axis=2),
            thermal=label.copy(),
            label=label,
            night=is_night(stem),
        )


class Copier:
    """A model that sees people in the thermal image and cars in the RGB image."""

    def __call__(self, rgb, thermal, thermal_valid=None) -> Segmentation:
        mask = np.zeros(SHAPE, np.uint8)
        if rgb is not None:
            mask[rgb[..., 0] == CAR] = CAR
        if thermal is not None:
            mask[thermal == PERSON] = PERSON
        return Segmentation(mask, mask, {"pre": 1.0, "infer": 10.0, "post": 2.0})


def run(out: Path, **plan: object) -> dict:
    metrics, _ = evaluate(
        Copier(),
        Site(),
        out,
        Plan(**plan),
        model="copier",
        classes=MFNET,
        advance=lambda: None,
    )
    return json.loads(json.dumps(metrics, allow_nan=False))


def test_a_perfect_model_scores_one(tmp_path: Path) -> None:
    metrics = run(tmp_path)
    assert metrics["protocols"]["mfnet8"]["miou"] == 1.0
    assert metrics["protocols"]["mfnet8"]["present"] == 2
    assert metrics["frames"] == 5
    assert {name: part["frames"] for name, part in metrics["subsets"].items()} == {
        "day": 3,
        "night": 2,
    }
    assert metrics["timing_ms"]["p50"] == 13.0
    assert metrics["timing_ms"]["stages"]["infer"]["p95"] == 10.0
    assert np.sum(metrics["confusion"]) == 5 * SHAPE[0] * SHAPE[1]
    assert "modalities" not in metrics
    assert "shuffle_thermal" not in metrics


def test_per_frame_matrices_add_up(tmp_path: Path) -> None:
    metrics = run(tmp_path)
    saved = np.load(tmp_path / metrics["per_frame"])
    assert saved["names"].tolist() == list(STEMS)
    assert saved["confusion"].dtype == np.int64
    assert saved["night"].tolist() == [False, False, False, True, True]
    np.testing.assert_array_equal(saved["confusion"].sum(axis=0), metrics["confusion"])


def test_modalities_switch_cameras_off(tmp_path: Path) -> None:
    modalities = run(tmp_path, modalities=("rgb+thermal", "rgb", "thermal"))["modalities"]
    iou = {name: part["protocols"]["mfnet8"]["iou"] for name, part in list(modalities.items())[:3]}
    assert (iou["rgb"]["car"], iou["rgb"]["person"]) == (1.0, 0.0)
    assert (iou["thermal"]["car"], iou["thermal"]["person"]) == (0.0, 1.0)
    assert modalities["mean"]["protocols"]["mfnet8"]["miou"] == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_shuffled_thermal_costs_what_depends_on_it(tmp_path: Path) -> None:
    metrics = run(tmp_path, shuffle_thermal=True)
    shuffled = metrics["shuffle_thermal"]
    assert shuffled["frames"] == 5
    assert shuffled["subsets"]["night"]["protocols"]["mfnet8"]["iou"]["person"] < 1.0
    assert metrics["protocols"]["mfnet8"]["iou"]["person"] == 1.0
    assert run(tmp_path, shuffle_thermal=True)["shuffle_thermal"] == shuffled


def test_corruptions_cost_what_depends_on_their_camera(tmp_path: Path) -> None:
    # Of Copier, cars are lost when RGB changes at all, people when thermal does.
    names = ("over_exposure", "thermal_shift", "thermal_freeze")
    section = run(tmp_path, corruptions=names)["corruptions"]
    assert list(section) == [*names, "mean"]
    assert list(section["thermal_shift"]) == ["1", "2", "3", "mean"]
    assert section["over_exposure"]["1"] == {"miou": 0.5, "retained": 0.5}
    assert 0.5 < section["thermal_shift"]["3"]["retained"] < 0.95
    # A freeze leaves the first frame of a run as it is, and all cars.
    frozen = [section["thermal_freeze"][strength]["miou"] for strength in ("1", "2", "3")]
    assert 0.5 < frozen[2] <= frozen[1] < frozen[0] < 1
    means = [section[name]["2"]["retained"] for name in names]
    assert section["mean"]["2"]["retained"] == pytest.approx(np.mean(means))
    means = [section[name]["mean"]["retained"] for name in names]
    assert section["mean"]["mean"]["retained"] == pytest.approx(np.mean(means))
    assert run(tmp_path, corruptions=names)["corruptions"] == section


def test_a_frozen_camera_stops_in_the_same_run() -> None:
    tally = Tally(MFNET)
    label = np.zeros(SHAPE, np.uint8)
    for number in (*range(101, 113), 130):
        for suffix in "DN":
            tally.add(f"{number:05d}{suffix}", label, label, night=suffix == "N")
    sources = frozen_sources(tally)
    assert [sources["00112D", strength] for strength in (1, 2, 3)] == ["00111D", "00109D", "00102D"]
    assert [sources["00103N", strength] for strength in (1, 2, 3)] == ["00102N", "00101N", "00101N"]
    assert sources["00130D", 3] == "00130D"


def test_what_the_confusion_matrix_does_not_show(tmp_path: Path) -> None:
    metrics = run(tmp_path, modalities=("rgb", "thermal"))
    assert metrics["modality"] == "rgb"
    assert metrics["boundary"]["iou"]["car"] == 1.0
    assert metrics["boundary"]["iou"]["person"] == 0.0
    sizes = metrics["object_size"]["sizes"]
    assert (
        sum(size["classes"].get("car", {"objects": 0})["objects"] for size in sizes.values()) == 5
    )
    assert metrics["calibration"]["pixels"] > 0
    assert metrics["interval"] == {
        "protocol": "mfnet8", "miou": 0.5, "low": None, "high": None, "level": 0.95, "blocks": 2,
    }  # fmt: skip
    worst = metrics["worst_frames"]
    assert [row["name"] for row in worst] == list(STEMS)  # ever fewer people to miss
    assert worst[0]["note"] == "person: 0 % found"
    assert worst[0]["agreement"] == pytest.approx(5 * 32 / (5 * 32 + 19 * 15))


@pytest.mark.parametrize("count", [2, 3, 10, 41])
def test_no_frame_keeps_its_thermal_image(count: int) -> None:
    names = [f"f{index}" for index in range(count)]
    for seed in range(5):
        partners = shuffled_partners(names, seed)
        assert sorted(partners) == sorted(partners.values()) == sorted(names)
        assert all(name != partner for name, partner in partners.items())


def test_masks_are_kept_and_score_the_same(tmp_path: Path) -> None:
    metrics = run(tmp_path, write_masks=True)
    again, _, _ = score(tmp_path / metrics["masks"], Site(), advance=lambda: None)
    for section in ("protocols", "subsets", "confusion", "frames"):
        assert again[section] == metrics[section]


def test_the_mask_is_brought_to_the_label_never_the_label_to_the_mask() -> None:
    label = np.zeros((8, 12), np.uint8)
    mask = np.array([[1, 2], [3, 255]], np.uint8)
    fitted = fit_to_label(mask, label)
    assert fitted.shape == label.shape
    assert set(np.unique(fitted)) == {1, 2, 3, 255}
    assert (fitted[:4, :6] == 1).all()


def test_classes_are_matched_by_name() -> None:
    names = ("unlabelled", "person", "car")
    model = ClassTable("m", tuple(ClassInfo(i, n, (0, 0, 0)) for i, n in enumerate(names)))
    table = id_map(model, MFNET)
    assert table[:3].tolist() == [0, PERSON, CAR]
    assert table[255] == 255
    with pytest.raises(SartmError, match="survivor"):
        id_map(PST900, MFNET)


def test_unknown_modalities_are_refused() -> None:
    with pytest.raises(SartmError, match="got depth"):
        Plan(modalities=("rgb", "depth"))
    with pytest.raises(SartmError, match=r"rgb\+thermal first"):
        Plan(modalities=("rgb",), shuffle_thermal=True)


def test_frames_without_labels_cannot_be_scored(tmp_path: Path) -> None:
    class Unlabelled(Site):
        def read(self, stem: str) -> Sample:
            sample = super().read(stem)
            return Sample(**{**vars(sample), "label": None})

    with pytest.raises(SartmError, match="no label for frame 1D"):
        evaluate(
            Copier(),
            Unlabelled(),
            tmp_path,
            Plan(),
            model="copier",
            classes=MFNET,
            advance=lambda: None,
        )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of four frames in which people are warm and cars are red."""
    root = tmp_path / "site"
    for index in range(4):
        label = np.zeros((96, 128), np.uint8)
        label[10 : 30 + 5 * index, 20:60] = CAR
        label[50:, 70 : 90 + index] = PERSON
        rgb = np.zeros((96, 128, 3), np.uint8)
        rgb[label == CAR, 0] = 255
        stem = f"{index}{'DN'[index % 2]}"
        write_png(root / f"rgb/{stem}.png", rgb)
        write_png(root / f"thermal/{stem}.png", np.where(label == PERSON, 255, 0).astype(np.uint8))
        write_png(root / f"label/{stem}.png", label)
    table = {str(info.id): info.name for info in MFNET.classes}
    (root / "classes.json").write_text(json.dumps({"classes": table}))
    (root / "val.txt").write_text("0D\n1N\n3N\n")
    return root


def command(*words: object) -> int:
    return main([str(word) for word in words])


def test_the_evaluate_command(
    site: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("--data", f"folder:{site}", "--split", "val", "--out", out, "--masks", "--json")
    assert command("evaluate", tiny_bundle, *words) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert metrics["protocols"]["mfnet8"]["miou"] == 1.0
    assert (metrics["dataset"], metrics["split"], metrics["frames"]) == ("site", "val", 3)
    assert len(metrics["provenance"]["bundle_sha256"]) == 64
    assert metrics["provenance"]["git_rev"]
    assert metrics["provenance"]["versions"]["numpy"]
    assert "tiny" in (out / "report.html").read_text()
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["0D.png", "1N.png", "3N.png"]


def test_corruptions_on_the_command_line(
    site: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("--data", f"folder:{site}", "--split", "val", "--out", out)
    assert command("evaluate", tiny_bundle, *words, "--corrupt", "low_light, thermal_shift") == 0
    assert "corrupted, mean      kept 0." in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["corruptions"]) == ["low_light", "thermal_shift", "mean"]
    page = (out / "report.html").read_text()
    assert page.count("0D under low light") == page.count("0D under thermal shift") == 1
    assert command("evaluate", tiny_bundle, *words, "--corrupt", "snow") == 1
    assert "all or some of low_light" in capsys.readouterr().err


def test_predicted_masks_score_as_evaluate_does(
    site: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = ("--rgb", site / "rgb", "--thermal", site / "thermal")
    assert command("predict", tiny_bundle, *cameras, "--out", tmp_path / "m", "--overlay") == 0
    capsys.readouterr()
    assert command("score", tmp_path / "m", "--data", f"folder:{site}", "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["protocols"]["mfnet9"]["miou"] == 1.0
    assert metrics["frames"] == 4


def test_score_in_words(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--data", f"folder:{site}", "--split", "val", "--out", tmp_path / "out")
    assert command("score", site / "label", *words) == 0
    said = capsys.readouterr().out
    assert "mfnet8               mIoU 1.000  (2 of 8 classes present)" in said
    assert "report:" in said
    assert (tmp_path / "out/per_frame.npz").is_file()


def test_masks_of_another_size_are_counted(site: Path, tmp_path: Path) -> None:
    for path in (site / "label").iterdir():
        write_png(tmp_path / "m" / path.name, np.ascontiguousarray(read_ids(path)[::2, ::2]))
    metrics, _, _ = score(tmp_path / "m", open_dataset(f"folder:{site}"), advance=lambda: None)
    assert metrics["resized_masks"] == 4
    assert metrics["protocols"]["mfnet8"]["miou"] > 0.9


def spoil_missing(masks: Path) -> None:
    (masks / "1N.png").unlink()


def spoil_ids(masks: Path) -> None:
    write_png(masks / "1N.png", np.full((96, 128), 77, np.uint8))


def spoil_colour(masks: Path) -> None:
    write_png(masks / "1N.png", np.zeros((96, 128, 3), np.uint8))


def spoil_text(masks: Path) -> None:
    (masks / "1N.png").write_text("no")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, "lacks 1 of 3 masks"),
        (spoil_ids, "the mask has ids that are not in the class table; got 77"),
        (spoil_colour, "does not hold class ids"),
        (spoil_text, "is not an image"),
    ],
)
def test_bad_masks_are_one_line_on_stderr(
    site: Path, spoil, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = (site / "label").rename(site.parent / "masks")
    (site / "label").mkdir()
    for path in masks.iterdir():
        (site / "label" / path.name).write_bytes(path.read_bytes())
    spoil(masks)
    assert command("score", masks, "--data", f"folder:{site}", "--split", "val") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "1N.png" in captured.err
    assert len(captured.err.strip().splitlines()) == 1
