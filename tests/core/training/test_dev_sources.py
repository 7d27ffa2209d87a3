"""Dev lists of their own: whole lists of data sets, none of whose frames is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sartm_core.data.synthetic import write_folder
from sartm_core.errors import SartmError
from sartm_core.training.config import Config
from sartm_core.training.data import load_data, load_dev_frames
from tests.training_runs import tiny_config


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty labelled frames, 00000D to 00039N: train holds 36, val the last four."""
    path = tmp_path_factory.mktemp("site") / "site"
    write_folder(path, 40, 0, width=32, height=32, val_share=0.0)
    stems = sorted(picture.stem for picture in (path / "rgb").iterdir())
    (path / "train.txt").write_text("".join(f"{stem}\n" for stem in stems[:36]))
    (path / "val.txt").write_text("".join(f"{stem}\n" for stem in stems[36:]))
    return path


def run(tmp_path: Path, site: Path, split: str, dev: str, *overrides: str) -> Config:
    return tiny_config(
        tmp_path / "run",
        f"data.sources=[{{dataset: 'folder:{site}', split: {split}}}]",
        f"data.dev_sources=[{{dataset: 'folder:{site}', split: {dev}}}]",
        *overrides,
    )


@pytest.mark.parametrize(("split", "dev", "expected"), [("train", "val", 4), ("fit", "dev", 4)])
def test_a_dev_list_is_evaluated_and_not_trained_on(
    site: Path, tmp_path: Path, split: str, dev: str, expected: int
) -> None:
    (source,), frames = load_data(run(tmp_path, site, split, dev))
    trained = {f"site/{frame.stem}" for frame in source.frames}
    assert len(frames) == expected
    assert not trained & {frame.stem for frame in frames}


def test_ranges_and_dev_lists_add_up(site: Path, tmp_path: Path) -> None:
    config = run(tmp_path, site, "train", "val", "data.dev=[00002D-00003N]")
    (source,), frames = load_data(config)
    assert (len(source.frames), len(frames)) == (34, 6)


@pytest.mark.parametrize(("split", "dev"), [("train", "dev"), ("val", "val")])
def test_a_dev_list_that_is_trained_on_is_refused(
    site: Path, tmp_path: Path, split: str, dev: str
) -> None:
    with pytest.raises(
        SartmError, match=r"frames of data\.dev_sources are trained on; got 4, such"
    ):
        load_data(run(tmp_path, site, split, dev))


def test_dev_frames_alone_need_no_other_frames(site: Path, tmp_path: Path) -> None:
    """Ranges are read out of their sources, lists without looking at what is trained on."""
    config = run(tmp_path, site, "train", "val", "data.dev=[00002D-00003N]")
    assert [frame.stem for frame in load_dev_frames(config)] == [
        frame.stem for frame in load_data(config)[1]
    ]
    listed = run(tmp_path, site, "gone", "val")
    assert [frame.stem for frame in load_dev_frames(listed)] == [
        f"site/{number:05d}{'DN'[number % 2]}" for number in range(36, 40)
    ]
