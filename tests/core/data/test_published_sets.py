"""MFNet, MSRS, PST900 and FMB as they are published: what is read, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from sartm_core.classes import class_table
from sartm_core.data.datasets import open_dataset
from sartm_core.data.images import write_png
from sartm_core.errors import SartmError
from tests.published_sets import (
    LAYOUTS,
    SIZE,
    label,
    picture,
    write_mfnet,
    write_split_folders,
)

MFNET_LISTS = {
    "train": ["00010N", "00002D", "00003D"],
    "val": ["00004D"],
    "test": ["00005D", "00006N"],
    "test_day": ["00005D"],
    "test_night": ["00006N"],
}
SPLITS = {"train": ["frame2", "frame10", "frame3"], "test": ["frame4"]}


@pytest.fixture
def mfnet(tmp_path: Path) -> Path:
    return write_mfnet(tmp_path / "MFNet", MFNET_LISTS)


@pytest.mark.parametrize("split", MFNET_LISTS)
def test_mfnet_lists(mfnet: Path, split: str) -> None:
    dataset = open_dataset(f"mfnet:{mfnet}", split)
    assert dataset.stems == tuple(MFNET_LISTS[split])
    assert (dataset.name, dataset.split, dataset.classes.name) == ("MFNet", split, "mfnet")


def test_mfnet_thermal_is_the_fourth_channel(mfnet: Path) -> None:
    dataset = open_dataset(f"mfnet:{mfnet}", "train")
    sample = dataset.read("00010N")
    rgb, thermal = picture(10)
    np.testing.assert_array_equal(sample.rgb, rgb)
    np.testing.assert_array_equal(sample.thermal, thermal)
    np.testing.assert_array_equal(sample.label, label(1))
    assert sample.night
    assert not dataset.read("00002D").night


def test_rtfnets_mirrored_copies_are_skipped_with_one_warning(
    mfnet: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stems = MFNET_LISTS["train"]
    (mfnet / "train.txt").write_text("\n".join([*stems, *(f"{stem}_flip" for stem in stems)]))
    (mfnet / "images/00002D_flip.png").write_bytes((mfnet / "images/00002D.png").read_bytes())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert open_dataset(f"mfnet:{mfnet}", "train").stems == tuple(stems)
    assert [record.getMessage() for record in caplog.records] == [
        f"{mfnet}: 3 mirrored copies (_flip) in its lists are skipped"
    ]


@pytest.mark.parametrize("kind", LAYOUTS)
def test_split_folders(tmp_path: Path, kind: str) -> None:
    write_split_folders(tmp_path / "set", kind, SPLITS)
    train = open_dataset(f"{kind}:{tmp_path / 'set'}", "train")
    assert train.stems == ("frame2", "frame3", "frame10")  # recording order, not the alphabet's
    assert open_dataset(f"{kind}:{tmp_path / 'set'}", "test").stems == ("frame4",)
    assert train.classes == class_table(kind)
    sample = train.read("frame3")
    rgb, thermal = picture(3)
    np.testing.assert_array_equal(sample.rgb, rgb)
    np.testing.assert_array_equal(sample.thermal, thermal)
    np.testing.assert_array_equal(sample.label, label(3))


def test_pst900_ids_have_their_published_names(tmp_path: Path) -> None:
    """The released SARTM told its text encoder another order; a frame's id must mean its name."""
    order = ["background", "fire_extinguisher", "backpack", "hand_drill", "survivor"]
    write_split_folders(tmp_path, "pst900", {"train": [f"frame{number}" for number in range(5)]})
    dataset = open_dataset(f"pst900:{tmp_path}", "train")
    for number, stem in enumerate(dataset.stems):
        ids = dataset.read(stem).label
        assert ids is not None
        info = dataset.classes.classes[int(ids.max())]
        assert info.name == order[number]
        assert not info.words or info.words[0] == order[number].replace("_", " ")


def test_pst900_thermal_is_agc_unless_raw_is_asked_for(tmp_path: Path) -> None:
    write_split_folders(tmp_path, "pst900", {"train": ["frame7"]})
    agc = open_dataset(f"pst900:{tmp_path}?thermal=agc", "train").read("frame7").thermal
    raw = open_dataset(f"pst900:{tmp_path}?thermal=raw", "train").read("frame7").thermal
    assert (agc.dtype, raw.dtype) == (np.uint8, np.uint16)
    np.testing.assert_array_equal(raw, agc.astype(np.uint16) * 100)
    (tmp_path / "train/thermal_raw").rename(tmp_path / "train/away")
    assert open_dataset(f"pst900:{tmp_path}", "train").stems == ("frame7",)
    with pytest.raises(SartmError, match="no folder train/thermal_raw/"):
        open_dataset(f"pst900:{tmp_path}?thermal=raw", "train")


def test_fmb_keeps_0_and_255(tmp_path: Path) -> None:
    write_split_folders(tmp_path, "fmb", {"test": ["00001"]})
    ids = label(14)
    ids[-1] = 255
    write_png(tmp_path / "test/Label/00001.png", ids)
    sample = open_dataset(f"fmb:{tmp_path}", "test").read("00001")
    np.testing.assert_array_equal(sample.label, ids)
    assert sample.label is not None
    assert sample.label[0, 0] == 0


@pytest.mark.parametrize("kind", LAYOUTS)
def test_sets_without_val_have_fit_and_dev(tmp_path: Path, kind: str) -> None:
    train = [f"frame{index}" for index in range(30)]
    write_split_folders(tmp_path, kind, {"train": train, "test": ["frame99"]})
    fit, dev = (open_dataset(f"{kind}:{tmp_path}", split).stems for split in ("fit", "dev"))
    assert fit
    assert dev
    assert not {*fit} & {*dev}
    assert {*fit, *dev} < {*train}
    with pytest.raises(SartmError, match=r"no split 'val'.*one of train, test, fit, dev"):
        open_dataset(f"{kind}:{tmp_path}", "val")


def no_image(root: Path) -> None:
    (root / "MFNet/images/00003D.png").unlink()


def no_label(root: Path) -> None:
    (root / "MFNet/labels/00003D.png").unlink()


def no_alpha(root: Path) -> None:
    write_png(root / "MFNet/images/00003D.png", picture(3)[0])


def no_lists(root: Path) -> None:
    for path in (root / "MFNet").glob("*.txt"):
        path.unlink()


def no_images(root: Path) -> None:
    (root / "MFNet/images").rename(root / "MFNet/rgb")


def alien_id(root: Path) -> None:
    write_png(root / "MFNet/labels/00003D.png", label(9))


def read_all(spec: str) -> None:
    dataset = open_dataset(spec, "train")
    for stem in dataset.stems:
        dataset.read(stem)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_image, r"without a partner; got 1 missing: images/00003D;.*in images, labels"),
        (no_label, r"without a partner; got 1 missing: labels/00003D"),
        (no_alpha, r"images/00003D\.png does not hold RGB and thermal; got pixel mode RGB"),
        (no_lists, r"has no lists of frames.*train\.txt"),
        (no_images, r"not a data set in mfnet layout; got no folder images/"),
        (alien_id, r"labels/00003D\.png has labels that the class table 'mfnet'.*id 9.*0 to 8"),
    ],
)
def test_bad_mfnet_folders_are_refused_naming_the_file(
    mfnet: Path, tmp_path: Path, spoil, message: str
) -> None:
    spoil(tmp_path)
    with pytest.raises(SartmError, match=message):
        read_all(f"mfnet:{mfnet}")


@pytest.mark.parametrize("kind", LAYOUTS)
def test_bad_split_folders_are_refused_naming_the_file(tmp_path: Path, kind: str) -> None:
    rgb_folder, thermal_folder, label_folder = LAYOUTS[kind]
    write_split_folders(tmp_path, kind, SPLITS)
    strange = len(class_table(kind))
    write_png(tmp_path / f"train/{label_folder}/frame2.png", label(strange))
    with pytest.raises(SartmError, match=rf"train/{label_folder}/frame2\.png.*id {strange}"):
        open_dataset(f"{kind}:{tmp_path}", "train").read("frame2")
    write_png(tmp_path / f"train/{label_folder}/frame3.png", np.zeros((6, 8), np.uint8))
    width = f"{SIZE[1]}x{SIZE[0]}"
    with pytest.raises(SartmError, match=rf"frame3\.png does not fit .*got label 8x6, .*{width}"):
        open_dataset(f"{kind}:{tmp_path}", "train").read("frame3")
    (tmp_path / f"train/{thermal_folder}/frame10.png").unlink()
    with pytest.raises(SartmError, match=f"1 missing: train/{thermal_folder}/frame10;"):
        open_dataset(f"{kind}:{tmp_path}", "train")
    (tmp_path / f"test/{rgb_folder}/frame4.png").unlink()
    with pytest.raises(SartmError, match=f"1 missing: test/{rgb_folder}/frame4;"):
        open_dataset(f"{kind}:{tmp_path}", "test")


@pytest.mark.parametrize(
    ("spec", "split", "message"),
    [
        ("pst900:{site}", None, "needs a split; got none; expected one of train"),
        ("pst900:{site}", "test", "no split 'test'; got test; expected one of train, fit, dev"),
        ("pst900:{site}?thermal=kelvin", "train", "thermal=agc"),
        ("pst900:{site}?colour=1", "train", "thermal=agc"),
        (
            "pst900:{site}/train",
            "train",
            "in pst900 layout; got no folder train/rgb/",
        ),
        ("msrs:{site}/nowhere", "train", "no such folder"),
        ("fmb:{site}", "train", "in fmb layout; got no folder train/Visible/"),
    ],
)
def test_bad_specs_are_refused(tmp_path: Path, spec: str, split: str | None, message: str) -> None:
    write_split_folders(tmp_path, "pst900", {"train": ["frame1"]})
    with pytest.raises(SartmError, match=message):
        open_dataset(spec.format(site=tmp_path), split)


def test_published_pictures_of_other_kinds(tmp_path: Path) -> None:
    """FMB and MSRS copies hold thermal as three equal channels, RGB also as JPEG."""
    write_split_folders(tmp_path, "msrs", {"train": ["00001D"]})
    rgb, thermal = picture(1)
    write_png(tmp_path / "train/ir/00001D.png", np.repeat(thermal[..., None], 3, axis=2))
    (tmp_path / "train/vi/00001D.png").unlink()
    PIL.Image.fromarray(rgb).save(tmp_path / "train/vi/00001D.jpg", quality=95)
    sample = open_dataset(f"msrs:{tmp_path}", "train").read("00001D")
    np.testing.assert_array_equal(sample.thermal, thermal)
    assert sample.rgb.shape == rgb.shape
