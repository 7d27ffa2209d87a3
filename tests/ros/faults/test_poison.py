"""A model that fails on purpose, and is what it was otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sartm_core.bundle import load_bundle
from sartm_core.segmenter import load
from sartm_ros.faults.poison import RAISES, write_poisoned


@pytest.fixture
def poisoned(tiny_bundle: Path, tmp_path: Path) -> Path:
    return write_poisoned(load_bundle(tiny_bundle), tmp_path / "poisoned").path


def test_other_images_get_the_same_mask(tiny_bundle: Path, poisoned: Path) -> None:
    noise = np.random.default_rng(0)
    rgb = noise.integers(0, 256, (96, 128, 3), np.uint8)
    rgb[0, 0, 0] = 200
    thermal = noise.integers(0, 256, (96, 128), np.uint8)
    with load(tiny_bundle) as clean, load(poisoned) as other:
        expected, found = clean(rgb, thermal), other(rgb, thermal)
    assert (found.mask == expected.mask).all()
    assert (found.confidence == expected.confidence).all()


def test_the_bundle_stays_what_it_was_but_for_the_model(tiny_bundle: Path, poisoned: Path) -> None:
    before, after = load_bundle(tiny_bundle), load_bundle(poisoned)
    assert after.precisions == ("fp32",)
    assert (after.name, after.classes, after.thermal) == (
        before.name,
        before.classes,
        before.thermal,
    )
    assert after.sha256() != before.sha256()


def test_the_poison_raises_in_the_engine(poisoned: Path) -> None:
    rgb = np.full((96, 128, 3), 200, np.uint8)
    with load(poisoned) as segmenter:
        segmenter(rgb, None)
        rgb[..., 0] = RAISES
        with pytest.raises(Exception, match="indices"):
            segmenter(rgb, None)
        rgb[..., 0] = 200
        assert segmenter(rgb, None).mask.shape == (96, 128)
