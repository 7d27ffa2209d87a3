"""The frames of a run: read or generated, checked, and split into training and dev frames."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sartm_core.classes import class_table
from sartm_core.data.datasets import open_dataset
from sartm_core.data.images import read_ids, write_png
from sartm_core.data.synthetic import write_folder
from sartm_core.errors import SartmError
from sartm_core.training.config import Config
from sartm_core.training.data import in_ranges, load_data
from tests.published_sets import write_mfnet, write_split_folders
from tests.training_runs import tiny_config


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled frames in folder layout, 00000D to 00005N, all in train.txt."""
    path = tmp_path_factory.mktemp("site") / "site"
    write_folder(path, 6, 0, width=96, height=64, val_share=0.0)
    return path


def with_source(tmp_path: Path, source: str, *overrides: str) -> Config:
    return tiny_config(tmp_path / "run", f"data.sources=[{source}]", *overrides)


@pytest.mark.parametrize(
    ("stem", "inside"),
    [
        ("00121D", True),  # both ends included
        ("00130D", True),
        ("00125N", True),
        ("00120N", False),
        ("00130N", False),
        ("01250N", True),  # the second range
    ],
)
def test_dev_ranges(stem: str, inside: bool) -> None:
    assert in_ranges(stem, ["00121D-00130D", "01200D-01300N"]) == inside


@pytest.mark.parametrize(
    ("stem", "inside"),
    [("00117D", False), ("00118N", True), ("00133D", True), ("00134D", False), ("other", False)],
)
def test_guard_around_dev_ranges(stem: str, inside: bool) -> None:
    assert in_ranges(stem, ["00121D-00130D"], 3) == inside


def test_dev_frames_leave_training_in_every_real_source(site: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    synthetic = "{dataset: synthetic, frames: 4, width: 96, height: 64}"
    sources, dev = load_data(
        with_source(tmp_path, f"{folder}, {synthetic}", "data.dev=[00002D-00003N]")
    )
    assert [Path(sample.stem).name for sample in dev] == ["00002D", "00003N"]
    assert [frame.stem for frame in sources[0].frames] == ["00000D", "00001N", "00004D", "00005N"]
    assert len(sources[1].frames) == 4


def test_neighbours_of_dev_frames_are_left_out(site: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    (source,), dev = load_data(
        with_source(tmp_path, folder, "data.dev=[00002D-00003N]", "data.guard=1")
    )
    assert len(dev) == 2
    assert [frame.stem for frame in source.frames] == ["00000D", "00005N"]


def test_folder_frames_equal_what_was_written(site: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    (source,), dev = load_data(with_source(tmp_path, folder))
    assert dev == []
    assert source.labelled is not None
    assert source.labelled.all()
    assert [frame.night for frame in source.frames] == [False, True] * 3
    assert all(frame.label.shape == frame.thermal.shape == (64, 96) for frame in source.frames)
    assert all(frame.thermal_valid.all() for frame in source.frames)


def test_synthetic_data_set_keeps_its_field_of_view(tmp_path: Path) -> None:
    listed = "{dataset: 'synthetic:3?frames=4&width=96&height=64', split: val}"
    (source,), _ = load_data(with_source(tmp_path, listed))
    for frame in source.frames:
        assert frame.thermal_valid.shape == (64, 96)
        assert not frame.thermal[frame.thermal_valid == 0].any()


@pytest.mark.parametrize(("period", "nights"), [("day", 0), ("night", 4)])
def test_period_of_generated_scenes(tmp_path: Path, period: str, nights: int) -> None:
    generated = f"{{dataset: synthetic, frames: 4, width: 96, height: 64, period: {period}}}"
    (source,), _ = load_data(with_source(tmp_path, generated))
    assert sum(frame.night for frame in source.frames) == nights


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.dev=[09000D-09001D]", "data.dev names no frame"),
        ("data.dev=[00000D-00009N]", "no frames of 'folder:.*' are left for training"),
        ("data.classes=pst900", r"classes that the run does not have \(data.classes\)"),
    ],
)
def test_data_that_do_not_fit_the_run(
    site: Path, tmp_path: Path, override: str, message: str
) -> None:
    config = with_source(tmp_path, f"{{dataset: 'folder:{site}', split: train}}", override)
    with pytest.raises(SartmError, match=message):
        load_data(config)


def test_frames_of_a_part_of_the_classes(site: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    (alone,), _ = load_data(with_source(tmp_path / "a", folder))
    (joined,), _ = load_data(with_source(tmp_path / "b", folder, "data.classes=mfnet+pst900"))
    assert joined.labelled is not None
    assert joined.labelled.sum() == 9 < len(joined.labelled)
    for one, other in zip(alone.frames, joined.frames, strict=True):
        np.testing.assert_array_equal(one.label, other.label)  # MFNet's ids come first


@pytest.mark.parametrize(
    ("classes", "mfnet_ids", "pst_ids"),
    [
        # MFNet's nine come first; PST900's survivor has a first word of its own.
        ("mfnet+pst900", [0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 9, 10, 11, 12]),
        ("pst900+mfnet", [0, 5, 6, 7, 8, 9, 10, 11, 12], [0, 1, 2, 3, 4]),
    ],
)
def test_sets_of_different_classes_are_joined(
    tmp_path: Path, classes: str, mfnet_ids: list[int], pst_ids: list[int]
) -> None:
    stems = [f"{number:05d}D" for number in range(1, 9)]
    mfnet = write_mfnet(tmp_path / "mf", {"train": stems})
    pst = write_split_folders(tmp_path / "pst", "pst900", {"train": ["1", "2", "3", "4"]})
    listed = (
        f"{{dataset: 'mfnet:{mfnet}', split: train}}, {{dataset: 'pst900:{pst}', split: train}}"
    )
    sources, _ = load_data(with_source(tmp_path, listed, f"data.classes={classes}"))
    for source, kind, root, ids in zip(
        sources, ("mfnet", "pst900"), (mfnet, pst), (mfnet_ids, pst_ids), strict=True
    ):
        assert source.labelled is not None
        assert np.flatnonzero(source.labelled).tolist() == sorted(ids)
        assert len(source.labelled) == 13
        dataset = open_dataset(f"{kind}:{root}", "train")
        shown: set[int] = set()
        for frame in source.frames:
            own = dataset.read(frame.stem).label
            assert own is not None
            np.testing.assert_array_equal(frame.label, np.array(ids)[own])
            shown |= set(np.unique(frame.label).tolist())
        assert shown == set(ids)


@pytest.fixture
def orchard(site: Path, tmp_path: Path) -> Path:
    """The site's frames with three classes of its own."""
    folder = tmp_path / "orchard"
    shutil.copytree(site, folder)
    for path in (folder / "label").iterdir():
        write_png(path, np.minimum(read_ids(path), 2))
    names = {"0": "soil", "1": "trunk", "2": "picker"}
    (folder / "classes.json").write_text(json.dumps({"classes": names}))
    return folder


def test_classes_of_ones_own(orchard: Path, tmp_path: Path) -> None:
    """The run needs the folder, what it leaves behind does not."""
    from sartm_core.export.export import export_bundle
    from sartm_core.training.train import train

    folder = f"{{dataset: 'folder:{orchard}', split: train}}"
    own = f"data.classes='folder:{orchard}'"
    run = train(with_source(tmp_path, folder, own, "train.steps=1"))
    shutil.rmtree(orchard)
    bundle = export_bundle(run.checkpoint, tmp_path / "bundle", pool=8)
    assert bundle.classes.names == ("soil", "trunk", "picker")
    assert bundle.classes.by_name("picker").words == ("picker",)


def test_classes_of_ones_own_join_published_ones(orchard: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{orchard}', split: train}}"
    config = with_source(tmp_path, folder, f"data.classes='pst900+folder:{orchard}'")
    (source,), _ = load_data(config)
    assert source.labelled is not None
    table = class_table(config.data.classes)
    assert [table.names[i] for i in np.flatnonzero(source.labelled)][1:] == ["trunk", "picker"]
    assert len(table) == 7


def test_dev_frames_stay_as_their_camera_gave_them(site: Path, tmp_path: Path) -> None:
    """They run through the whole line of a robot, which normalises thermal itself."""
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    overrides = ("data.dev=[00002D-00003N]", "data.classes=pst900+mfnet")
    _, dev = load_data(with_source(tmp_path, folder, *overrides))
    dataset = open_dataset(f"folder:{site}", "train")
    ids = np.array([0, 5, 6, 7, 8, 9, 10, 11, 12])
    for sample, stem in zip(dev, ("00002D", "00003N"), strict=True):
        raw = dataset.read(stem)
        assert sample.stem == f"site/{stem}"
        assert sample.night == raw.night
        np.testing.assert_array_equal(sample.rgb, raw.rgb)
        np.testing.assert_array_equal(sample.thermal, raw.thermal)
        assert sample.label is not None
        assert raw.label is not None
        np.testing.assert_array_equal(sample.label, ids[raw.label])


def test_frame_without_label_is_refused_by_name(site: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    for part in ("rgb", "thermal"):
        (bare / part).mkdir(parents=True)
        (bare / part / "a.png").write_bytes((site / part / "00000D.png").read_bytes())
    (bare / "classes.json").write_bytes((site / "classes.json").read_bytes())
    with pytest.raises(SartmError, match=r"frame 'a' of '.*' has no label.*distill\.teachers"):
        load_data(with_source(tmp_path, f"{{dataset: 'folder:{bare}'}}"))


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Three pairs of two sizes, without labels and without a class table."""
    path, rng = tmp_path / "unlabelled", np.random.default_rng(0)
    for index, shape in enumerate([(70, 100), (66, 99), (70, 100)]):
        for part, channels in (("rgb", (3,)), ("thermal", ())):
            (path / part).mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (*shape, *channels)).astype(np.uint8)
            write_png(path / part / f"FLIR_0000{index}.png", image)
    return path


TAUGHT = ("distill.teachers=[a.ckpt]", "distill.logits=1")


def test_frames_without_labels_where_teachers_tell(
    site: Path, unlabelled: Path, tmp_path: Path
) -> None:
    both = f"{{dataset: 'folder:{site}', split: train}}, {{dataset: 'folder:{unlabelled}'}}"
    sources, dev = load_data(with_source(tmp_path, both, *TAUGHT, "data.dev=[00002D-00003N]"))
    assert [frame.label.shape for frame in sources[1].frames] == [(70, 100), (66, 99), (70, 100)]
    assert all((frame.label == 255).all() for frame in sources[1].frames)
    assert sources[1].frames_of == {}
    assert sources[1].labelled is not None
    assert sources[1].labelled.all()  # nothing is said about any class
    assert len(dev) == 2
    with pytest.raises(SartmError, match="has no label"):
        load_data(with_source(tmp_path, both, "distill.teachers=[a]", "distill.feature=1"))


def test_dev_frames_need_labels(site: Path, unlabelled: Path, tmp_path: Path) -> None:
    folder = f"{{dataset: 'folder:{site}', split: train}}"
    listed = f"data.dev_sources=[{{dataset: 'folder:{unlabelled}'}}]"
    with pytest.raises(SartmError, match="frame 'FLIR_00000' of 'unlabelled' has no label"):
        load_data(with_source(tmp_path, folder, *TAUGHT, listed))
    inside = f"{folder}, {{dataset: 'folder:{unlabelled}'}}"
    ranges = "data.dev=[00002D-00003N,FLIR_00000-FLIR_00001]"
    sources, dev = load_data(with_source(tmp_path, inside, *TAUGHT, ranges))
    assert [sample.stem for sample in dev] == ["site/00002D", "site/00003N"]
    assert [frame.stem for frame in sources[1].frames] == ["FLIR_00002"]
