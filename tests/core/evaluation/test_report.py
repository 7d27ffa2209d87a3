"""The report: sections appear with their data, names are escaped, nothing comes from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sartm_core.classes import MFNET, ClassTable
from sartm_core.evaluation.corruptions import CORRUPTIONS
from sartm_core.evaluation.detail import Detail
from sartm_core.evaluation.evaluate import timing_section
from sartm_core.evaluation.report import ERROR_COLORS, Picture, error_picture, write_report
from sartm_core.evaluation.tally import Tally
from sartm_core.evaluation.verdict import verdict

EVIL = "<script>alert('x')</script>"


def some_details(tally: Detail) -> dict:
    """Sections beyond the confusion matrix, with every kind of corruption."""
    row = {"miou": 0.4, "retained": 0.8}
    rows = {"1": row, "2": row, "3": {"miou": None, "retained": None}, "mean": row}
    corruptions = dict.fromkeys((*CORRUPTIONS, "mean"), rows)
    worst = [{"name": EVIL, "agreement": 0.25, "note": EVIL}]
    return {**tally.sections(), "corruptions": corruptions, "worst_frames": worst}


def some_metrics(classes: ClassTable = MFNET, *, details: bool = False, **sections: object) -> dict:
    rng = np.random.default_rng(0)
    tally, detail = Tally(classes), Detail(classes)
    for index in range(6):
        truth = rng.integers(0, 4, (20, 30)).astype(np.uint8)
        mask = np.where(rng.random(truth.shape) < 0.8, truth, 6).astype(np.uint8)
        tally.add(f"{index}", truth, mask, night=index % 2 == 1)
        detail.add(truth, mask, rng.integers(0, 256, truth.shape).astype(np.uint8))
    if details:
        sections = {**some_details(detail), **sections}
    return {
        "dataset": "site",
        "split": "val",
        "model": "model-x",
        "classes": [
            {"id": info.id, "name": info.name, "color": list(info.color)}
            for info in classes.classes
        ],
        **tally.summary(),
        "confusion": tally.total().tolist(),
        **sections,
    }


def picture(**changes: object) -> Picture:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:20] = 1
    values = {
        "name": "frame-7",
        "prediction": mask,
        "rgb": np.full((40, 60, 3), 90, np.uint8),
        "thermal": np.full((20, 30), 90, np.uint8),
        "truth": np.roll(mask, 3),
    }
    return Picture(**{**values, **changes})


class Page(HTMLParser):
    """Ids of sections, and everything that a tag points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag == "section":
            self.sections.append(values["id"] or "")
        self.links += [values[key] or "" for key in ("src", "href") if key in values]
        if tag == "img":
            assert values["alt"]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(tmp_path: Path, metrics: dict, pictures: tuple[Picture, ...] = ()) -> Page:
    return Page(write_report(metrics, pictures, tmp_path).read_text())


TIMING = timing_section([{"pre": 1.0, "infer": 20.0 + k, "post": 0.5} for k in range(50)])
ACCOUNTS = {
    "sent": 100,
    "rgb": {"received": 100, "published": 97, "dropped": {"overwritten": 3}, "in_flight": {}},
    "thermal": {"received": 50, "used": 50, "unused": {}, "buffered": 0, "lost_in_transport": None},
}


def test_all_sections_with_all_data(tmp_path: Path) -> None:
    whole = some_metrics()
    metrics = some_metrics(
        details=True,
        modalities={"rgb+thermal": whole, "rgb": whole, "mean": {"protocols": whole["protocols"]}},
        shuffle_thermal=whole,
        timing_ms=TIMING,
        accounting=ACCOUNTS,
        provenance={"git_rev": "abc", "versions": {"numpy": "2"}},
    )
    example = picture(section="corruptions", name="thermal_shift", rgb=None, truth=None)
    shown = (picture(), picture(rgb=None), picture(truth=None), example)
    result = page(tmp_path, metrics, shown)
    assert result.sections == [
        "verdict",
        "classes",
        "conditions",
        "corruptions",
        "protocols",
        "confusion",
        "object-size",
        "calibration",
        "worst-frames",
        "pictures",
        "timing",
        "accounting",
        "provenance",
    ]
    assert not result.open
    assert "script" not in result.tags
    assert all(link.startswith("data:") for link in result.links)
    assert sum(link.startswith("data:image/webp") for link in result.links) == 5 + 4 + 3 + 1


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, ["verdict"]),
        ({"timing_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}}, ["verdict", "timing"]),
        ({"drops": {"overwritten": 3}}, ["verdict", "accounting"]),
        ({"accounting": ACCOUNTS}, ["verdict", "accounting"]),
    ],
)
def test_sections_without_data_are_left_out(
    tmp_path: Path, sections: dict, expected: list[str]
) -> None:
    metrics = {"dataset": "bag", "model": "m", "classes": [], **sections}
    assert page(tmp_path, metrics).sections == expected


def test_names_are_escaped(tmp_path: Path) -> None:
    metrics = some_metrics(details=True, model=EVIL, dataset=EVIL, provenance={EVIL: EVIL})
    metrics["classes"][3]["name"] = EVIL
    for part in (metrics, *metrics["subsets"].values()):
        for scores in part["protocols"].values():
            scores["iou"][EVIL] = scores["iou"].pop("bike")
    result = page(tmp_path, metrics, (picture(name=EVIL, note=EVIL),))
    assert "script" not in result.tags
    assert "&lt;script&gt;" in (tmp_path / "report.html").read_text()


def test_pictures_are_moderate_in_size(tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3)).astype(np.uint8)
    mask = np.zeros((1080, 1920), np.uint8)
    path = write_report(some_metrics(), [picture(rgb=large, prediction=mask, truth=mask)], tmp_path)
    assert path.stat().st_size < 1_000_000


def test_the_error_picture_tells_the_kinds_of_error_apart() -> None:
    truth = np.array([[0, 1, 1, 1, 0, 255, 1]], np.uint8)
    mask = np.array([[0, 1, 0, 2, 2, 2, 255]], np.uint8)
    painted = error_picture(np.zeros((1, 7, 3), np.uint8), mask, truth)
    kinds = [
        {color: kind for kind, color in ERROR_COLORS.items()}.get(tuple(map(int, pixel)), "")
        for pixel in painted[0]
    ]
    assert kinds == ["", "correct", "missed", "wrong class", "false alarm", "", "missed"]


def test_the_verdict_says_what_the_numbers_mean() -> None:
    metrics = some_metrics(timing_ms=TIMING, accounting=ACCOUNTS)
    metrics["modalities"] = {"rgb": some_metrics()}
    metrics["modalities"]["rgb"]["protocols"]["mfnet8"]["miou"] = 0.1
    said = " ".join(verdict(metrics))
    miou = metrics["protocols"]["mfnet8"]["miou"]
    assert f"Mean IoU {miou:.3f} under mfnet8, over the 3 of 8 classes" in said
    assert re.search(r"never shows guardrail, yet [\d,]+ pixels", said)
    assert f"Without thermal the score is 0.100, {miou - 0.1:.3f} lower" in said
    metrics["corruptions"] = {
        "fog": {"mean": {"miou": 0.1, "retained": 0.25}},
        "thermal_shift": {"mean": {"miou": 0.2, "retained": 0.5}},
        "mean": {"mean": {"miou": 0.15, "retained": 0.375}},
    }
    metrics["interval"] = {"low": 0.4, "high": 0.6, "level": 0.95, "blocks": 7}
    said = " ".join(verdict(metrics))
    assert "keeps 38 % of its score on average, and least under fog (25 %)" in said
    assert "95 % interval 0.400 to 0.600, from 7 blocks" in said
    assert "Of 100 received RGB frames 97 got a mask and 3 were dropped" in said
    assert verdict({})[0].startswith("There is no ground truth")


def test_the_gallery_takes_hard_frames_and_a_spread() -> None:
    tally = Tally(MFNET)
    for index in range(10):
        truth = np.ones((10, 10), np.uint8)
        mask = truth.copy()
        mask[: index % 5] = 0  # frames 4 and 9 are the worst
        tally.add(f"f{index}", truth, mask, night=False)
    shown = tally.showcase(4)
    assert {name for name, _ in shown[:2]} == {"f4", "f9"}
    assert len({name for name, _ in shown}) == 4
    assert "among the hardest; 60 % of the foreground right" in shown[0][1]
    assert len(tally.showcase(50)) == 10
    assert Tally(MFNET).showcase(4) == []
