"""Data sets behind `open_dataset`: what is read, and what is refused in which words."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from sartm_core.classes import MFNET
from sartm_core.data.datasets import open_dataset, sample_data_root
from sartm_core.data.images import read_ids, read_rgb, read_thermal, write_png
from sartm_core.data.sample import is_night
from sartm_core.errors import SartmError
from sartm_core.picture_header import MAX_PIXELS

SIZE = (12, 16)


def write_classes(root: Path, **changes: object) -> None:
    table = {
        "classes": {str(info.id): info.name for info in MFNET.classes},
        "palette": [list(info.color) for info in MFNET.classes],
        "ignore_id": None,
    }
    (root / "classes.json").write_text(json.dumps(table | changes))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Three frames; the second one is at night and has 16-bit thermal."""
    rng = np.random.default_rng(0)
    for index, stem in enumerate(("a1D", "a2N", "a3D")):
        write_png(tmp_path / f"rgb/{stem}.png", rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8))
        thermal = np.full(SIZE, 30000 if index == 1 else 100, np.uint16 if index == 1 else np.uint8)
        (tmp_path / "thermal").mkdir(exist_ok=True)
        PIL.Image.fromarray(thermal).save(tmp_path / f"thermal/{stem}.png")
        write_png(tmp_path / f"label/{stem}.png", np.full(SIZE, index, np.uint8))
    write_classes(tmp_path)
    (tmp_path / "val.txt").write_text("a3D\n\na2N\n")
    return tmp_path


def test_a_folder_is_read_as_it_lies(site: Path) -> None:
    dataset = open_dataset(f"folder:{site}")
    assert dataset.stems == ("a1D", "a2N", "a3D")
    assert (dataset.name, dataset.split, dataset.classes) == (site.name, None, MFNET)
    sample = dataset.read("a2N")
    assert sample.rgb.shape == (*SIZE, 3)
    assert sample.rgb.dtype == np.uint8
    assert sample.thermal.dtype == np.uint16
    assert (sample.thermal == 30000).all()
    assert sample.label is not None
    assert (sample.label == 1).all()
    assert sample.night
    assert not dataset.read("a1D").night
    assert dataset.read("a1D").thermal.dtype == np.uint8


def test_a_list_gives_the_split_in_its_order(site: Path) -> None:
    dataset = open_dataset(f"folder:{site}", "val")
    assert dataset.stems == ("a3D", "a2N")
    assert dataset.split == "val"


def test_labels_may_be_missing_altogether(site: Path) -> None:
    for path in (site / "label").iterdir():
        path.unlink()
    (site / "label").rmdir()
    (site / "classes.json").unlink()
    dataset = open_dataset(f"folder:{site}")
    assert dataset.read("a1D").label is None
    assert dataset.classes.names == ("unlabelled",)


def test_an_own_class_table_keeps_its_names_and_colours(site: Path) -> None:
    write_classes(site, classes={"0": "void", "1": "cow", "2": "x"}, palette=[[0, 0, 0]] * 3)
    classes = open_dataset(f"folder:{site}").classes
    assert classes.names == ("void", "cow", "x")
    write_classes(site, classes={"0": "void", "1": "cow", "2": "x"}, palette=[])
    colors = {info.color for info in open_dataset(f"folder:{site}").classes.classes}
    assert len(colors) == 3


def test_the_ignore_id_of_the_files_becomes_255(site: Path) -> None:
    write_classes(site, ignore_id=0)
    label = open_dataset(f"folder:{site}").read("a1D").label
    assert label is not None
    assert (label == 255).all()


def break_pair(site: Path) -> None:
    (site / "thermal/a2N.png").unlink()


def break_list(site: Path) -> None:
    (site / "val.txt").write_text("a1D\nzz\n")


def break_list_twice(site: Path) -> None:
    (site / "val.txt").write_text("a1D\na1D\n")


def break_escape(site: Path) -> None:
    (site / "val.txt").write_text("../../etc/passwd\n")


def break_label_size(site: Path) -> None:
    write_png(site / "label/a3D.png", np.zeros((6, 8), np.uint8))


def break_label_id(site: Path) -> None:
    write_png(site / "label/a3D.png", np.full(SIZE, 9, np.uint8))


def break_label_colour(site: Path) -> None:
    write_png(site / "label/a3D.png", np.zeros((*SIZE, 3), np.uint8))


def break_text(site: Path) -> None:
    (site / "rgb/a3D.png").write_text("not a picture")


def break_truncated(site: Path) -> None:
    data = (site / "rgb/a3D.png").read_bytes()
    (site / "rgb/a3D.png").write_bytes(data[: len(data) // 2])


def break_thermal_colour(site: Path) -> None:
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[..., 0] = 200
    write_png(site / "thermal/a3D.png", picture)


def break_twins(site: Path) -> None:
    PIL.Image.new("RGB", SIZE[::-1]).save(site / "rgb/a3D.jpg")


def break_classes_json(site: Path) -> None:
    (site / "classes.json").write_text("[1, 2")


def break_classes_gap(site: Path) -> None:
    write_classes(site, classes={"0": "a", "2": "b"}, palette=[])


def break_classes_palette(site: Path) -> None:
    write_classes(site, palette=[[0, 0, 0]])


def break_no_thermal(site: Path) -> None:
    (site / "thermal").rename(site / "ir")


def read_all(site: Path, split: str) -> None:
    dataset = open_dataset(f"folder:{site}", split)
    for stem in dataset.stems:
        dataset.read(stem)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_pair, r"without a partner.*thermal/a2N"),
        (break_list, r"without a partner.*rgb/zz"),
        (break_escape, r"without a partner.*passwd"),
        (break_list_twice, r"val\.txt names a frame twice.*a1D"),
        (break_label_size, r"a3D\.png does not fit.*8x6.*16x12"),
        (break_label_id, r"label/a3D\.png has labels.*id 9.*0 to 8"),
        (break_label_colour, r"label/a3D\.png does not hold class ids"),
        (break_text, r"rgb/a3D\.png is not an image"),
        (break_truncated, r"rgb/a3D\.png cannot be read"),
        (break_thermal_colour, r"thermal/a3D\.png is not a thermal picture"),
        (break_twins, r"a3D\.jpg and a3D\.png"),
        (break_classes_json, r"classes\.json is not a class table"),
        (break_classes_gap, r"classes\.json is not a class table"),
        (break_classes_palette, r"9 classes, 1 colours"),
        (break_no_thermal, r"no folder thermal/"),
    ],
)
def test_bad_folders_are_refused_naming_the_file(site: Path, spoil, message: str) -> None:
    spoil(site)
    with pytest.raises(SartmError, match=message) as refusal:
        read_all(site, "val")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("spec", "split", "message"),
    [
        ("{site}", None, "expected KIND:PATH"),
        ("zip:{site}", None, "one of folder, mfnet, msrs, pst900, fmb, synthetic"),
        ("folder:", None, "KIND:PATH"),
        ("folder:{site}/nowhere", None, "no such folder"),
        ("folder:{site}", "test", "no split 'test'.*one of val"),
        ("folder:{site}", "../val", "no split"),
        ("synthetic:x", None, "cannot read the synthetic data set"),
        ("synthetic:1?frames=0", None, "cannot read the synthetic data set"),
        ("synthetic:1?speed=9", None, "cannot read the synthetic data set"),
        ("synthetic:1", "other", "one of train, val, test"),
    ],
)
def test_bad_specs_are_refused(site: Path, spec: str, split: str | None, message: str) -> None:
    with pytest.raises(SartmError, match=message):
        open_dataset(spec.format(site=site), split)


def test_unknown_frames_are_refused(site: Path) -> None:
    with pytest.raises(SartmError, match="no frame 'b'"):
        open_dataset(f"folder:{site}").read("b")
    with pytest.raises(SartmError, match="no frame '00005'"):
        open_dataset("synthetic:1?frames=5").read("00005")


def png_with_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and brings almost no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(MAX_PIXELS + 1, 1), (100_000, 100_000)])
def test_an_absurd_header_is_refused_before_decoding(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_with_header(width, height))
    with pytest.raises(SartmError, match=r"huge\.png announces an absurd size"):
        read_rgb(path)


def test_palette_pictures_are_ids_not_colours(tmp_path: Path) -> None:
    ids = np.arange(9, dtype=np.uint8).reshape(3, 3)
    picture = PIL.Image.fromarray(ids).convert("P")
    picture.putpalette([7 * value % 256 for value in range(768)])
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_ids(tmp_path / "mask.png"), ids)


def test_kinds_of_rgb_and_thermal_files(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_png(tmp_path / "grey.png", grey)
    assert (read_rgb(tmp_path / "grey.png") == grey[..., None]).all()
    rgba = np.dstack([grey, grey + 1, grey + 2, np.full_like(grey, 9)])
    PIL.Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "rgba.png"), rgba[..., :3])
    write_png(tmp_path / "three.png", np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_thermal(tmp_path / "three.png"), grey)
    PIL.Image.fromarray(grey.astype(np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(SartmError, match="not an 8-bit colour picture"):
        read_rgb(tmp_path / "deep.png")
    PIL.Image.fromarray(grey).save(tmp_path / "ids.jpg")
    with pytest.raises(SartmError, match="JPEG changes ids"):
        read_ids(tmp_path / "ids.jpg")


def test_synthetic_scenes_are_fixed_by_the_spec() -> None:
    spec = "synthetic:3?frames=4&width=64&height=48"
    dataset = open_dataset(spec)
    assert len(dataset.stems) == 4
    first, again = dataset.read("00001"), open_dataset(spec).read("00001")
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.label, again.label)
    assert first.rgb.shape == (48, 64, 3)
    assert first.label is not None
    assert first.label.shape == first.thermal.shape == (48, 64)
    assert dataset.classes == MFNET
    assert (first.rgb != open_dataset(spec, "val").read("00001").rgb).any()
    assert (first.rgb != dataset.read("00002").rgb).any()


def test_what_synth_writes_opens_as_a_folder(tmp_path: Path) -> None:
    from sartm_core.data.synthetic import write_folder

    write_folder(tmp_path / "out", 3, 1)
    dataset = open_dataset(f"folder:{tmp_path / 'out'}")
    assert len(dataset.stems) == 3
    assert dataset.classes == MFNET
    assert dataset.read(dataset.stems[0]).label is not None


@pytest.mark.parametrize(
    ("stem", "night"), [("00101D", False), ("00701N", True), ("FLIR_00006", False), ("N1", False)]
)
def test_night_is_read_from_the_name(stem: str, night: bool) -> None:
    assert is_night(stem) == night


def test_the_data_root_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARTM_DATA", str(tmp_path))
    assert sample_data_root() == tmp_path
    monkeypatch.setenv("SARTM_DATA", str(tmp_path / "nowhere"))
    assert sample_data_root() is None


@pytest.mark.data
def test_real_frames_open_as_they_lie() -> None:
    dataset = open_dataset(f"folder:{sample_data_root()}/mfnet_subset", "val")
    assert len(dataset.stems) == 46
    sample = dataset.read("01101N")
    assert sample.night
    assert sample.label is not None
    assert sample.rgb.shape == (480, 640, 3)
    assert sample.label.max() < len(MFNET)
