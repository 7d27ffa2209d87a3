"""Complementary block masking: at most one camera hidden at a pixel, the images untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sartm_core.data.augment import (
    RGB_HIDDEN,
    THERMAL_HIDDEN,
    AugmentConfig,
    TrainingSample,
    augment,
)
from tests.pairs import PLAIN, blocks

MASKED = replace(PLAIN, masking=1.0, mask_block=8)


def sample(config: AugmentConfig, seed: int, modalities: str = "rgb+thermal") -> TrainingSample:
    return augment(*blocks(), config, np.random.default_rng(seed), modalities=modalities)


def hidden(config: AugmentConfig, count: int) -> np.ndarray:
    return np.stack([sample(config, seed).hidden for seed in range(count)])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_each_camera_is_hidden_in_half_of_the_share(share: float) -> None:
    found = hidden(replace(MASKED, mask_share=share), 60)
    assert set(np.unique(found)) <= {0, RGB_HIDDEN, THERMAL_HIDDEN}
    assert (found == RGB_HIDDEN).mean() == pytest.approx(share / 2, abs=0.03)
    assert (found == THERMAL_HIDDEN).mean() == pytest.approx(share / 2, abs=0.03)


def test_blocks_have_the_size_of_the_configuration() -> None:
    offsets = set()
    for image in hidden(replace(MASKED, mask_block=24), 20):
        for axis, length in ((0, 64), (1, 96)):
            changes = np.flatnonzero(np.diff(image.astype(int), axis=axis).any(axis=1 - axis)) + 1
            assert len(set(changes % 24)) == 1
            offsets |= {int(changes[0]) % 24}
            assert len(changes) <= length // 24 + 1
    assert len(offsets) > 5  # borders are not always at the same place


def test_masking_happens_at_its_probability() -> None:
    found = hidden(replace(MASKED, masking=0.25), 400).any(axis=(1, 2))
    assert found.mean() == pytest.approx(0.25, abs=0.07)
    assert not hidden(PLAIN, 20).any()


def test_images_are_not_masked() -> None:
    plain, masked = sample(PLAIN, 3), sample(MASKED, 3)
    assert masked.hidden.any()
    for name in ("rgb", "thermal", "thermal_valid", "label", "present"):
        np.testing.assert_array_equal(getattr(masked, name), getattr(plain, name))


def test_nothing_is_hidden_where_the_other_camera_does_not_see() -> None:
    narrow = replace(MASKED, narrow_view=1.0)
    for seed in range(10):
        result = sample(narrow, seed)
        assert (result.thermal_valid[result.hidden == RGB_HIDDEN] == 1).all()
    for modalities in ("rgb", "thermal"):
        assert not sample(MASKED, 0, modalities).hidden.any()
    for dropped in ("drop_rgb", "drop_thermal"):
        assert not sample(replace(MASKED, **{dropped: 1.0}), 0).hidden.any()
