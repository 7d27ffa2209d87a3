"""`fit` and `dev`: blocks of train that never touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.data.datasets import open_dataset
from sartm_core.data.images import write_png
from sartm_core.data.splits import DEV_SHARE, GUARD, MIN_FRAMES, carve, recording_order
from sartm_core.errors import SartmError

PUBLISHED = {"pst900": 597, "msrs": 1083, "fmb": 1220}


def names(total: int) -> list[str]:
    return [f"run_frame{index}" for index in range(total)]


@given(total=st.integers(MIN_FRAMES, 1500), seed=st.integers(0, 99))
def test_fit_and_dev_are_apart_and_fixed(total: int, seed: int) -> None:
    train = names(total)
    fit, dev = carve(train)
    shuffled = [train[index] for index in np.random.default_rng(seed).permutation(total)]
    assert carve(shuffled) == (fit, dev)  # the order in the list does not matter
    place = {stem: index for index, stem in enumerate(train)}
    in_fit, in_dev = (np.array([place[stem] for stem in part]) for part in (fit, dev))
    assert (np.diff(in_fit) > 0).all()
    assert (np.diff(in_dev) > 0).all()
    # disjoint, with at least GUARD frames between any two of them
    assert np.abs(in_fit[:, None] - in_dev[None]).min() == GUARD + 1
    blocks = int((np.diff(in_dev) > 1).sum()) + 1
    assert len(fit) + len(dev) + 2 * GUARD * blocks == total
    assert blocks >= 2
    assert abs(len(dev) - DEV_SHARE * total) <= blocks / 2 + 1
    # spread: as many in the first half of the recording as in the second
    assert abs((in_dev < total / 2).mean() - 0.5) <= 0.5 / blocks + 0.1


@pytest.mark.parametrize(("kind", "total"), PUBLISHED.items())
def test_published_sets_lose_little(kind: str, total: int) -> None:
    fit, dev = carve(names(total))
    assert 0.095 < len(dev) / total < 0.105, kind
    assert len(fit) / total > 0.82


def test_the_blocks_are_these() -> None:
    """The carve-out is fixed: figures chosen on it stay comparable from version to version."""
    fit, dev = carve(f"{number:05d}{'D' if number < 151 else 'N'}" for number in range(101, 201))
    assert dev == tuple(
        [f"{number:05d}D" for number in range(124, 129)]
        + [f"{number:05d}N" for number in range(174, 179)]
    )
    assert len(fit) == 100 - 10 - 4 * GUARD


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(SartmError, match=r"too few frames.*29 frames.*30 or more"):
        carve(names(MIN_FRAMES - 1))


def test_numbers_in_names_count_as_numbers() -> None:
    stems = ["2_bag10_f9", "10_bag1_f1", "2_bag9_f10", "2_bag10_f10", "bag", ""]
    assert sorted(stems, key=recording_order) == [
        "", "2_bag9_f10", "2_bag10_f9", "2_bag10_f10", "10_bag1_f1", "bag",
    ]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a train list only."""
    for index in range(40):
        for part, shape in (("rgb", (8, 8, 3)), ("thermal", (8, 8))):
            write_png(tmp_path / part / f"{index:03d}.png", np.full(shape, index, np.uint8))
    (tmp_path / "train.txt").write_text("\n".join(f"{index:03d}" for index in range(36)))
    return tmp_path


def test_a_folder_with_a_train_list_has_fit_and_dev(site: Path) -> None:
    fit, dev = (open_dataset(f"folder:{site}", split) for split in ("fit", "dev"))
    assert (fit.stems, dev.stems) == carve(open_dataset(f"folder:{site}", "train").stems)
    assert dev.split == "dev"
    assert dev.read(dev.stems[0]).rgb[0, 0, 0] == int(dev.stems[0])
    with pytest.raises(SartmError, match=f"no frame '{fit.stems[0]}'"):
        dev.read(fit.stems[0])


def test_lists_of_these_names_come_first(site: Path) -> None:
    (site / "dev.txt").write_text("039\n")
    assert open_dataset(f"folder:{site}", "dev").stems == ("039",)


def test_without_train_there_is_no_dev(site: Path) -> None:
    (site / "train.txt").rename(site / "val.txt")
    with pytest.raises(SartmError, match=r"no split 'dev'.*one of val;"):
        open_dataset(f"folder:{site}", "dev")
