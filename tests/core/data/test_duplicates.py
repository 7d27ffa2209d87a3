"""Near-duplicates: the signature, and the search against a brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartm_core.data.duplicates import NEAR, Signature, near_duplicates, signature

BITS = 512


def drawn(rng: np.random.Generator, count: int) -> list[Signature]:
    codes = rng.integers(-1, 2, (count, 2, BITS)).astype(np.int8)
    return [Signature(rgb, thermal, None) for rgb, thermal in codes]


def changed(rng: np.random.Generator, frame: Signature, share: float) -> Signature:
    """The signature with a share of its steps turned round."""
    turned = np.where(rng.random(BITS) < share, -1, 1).astype(np.int8)
    return Signature(frame.rgb * turned, frame.thermal * turned, None)


def brute_force(frames: list[Signature], others: list[Signature]) -> dict[int, tuple[int, float]]:
    found = {}
    for index, frame in enumerate(frames):
        distances = []
        for other in others:
            dot = norm = norm_other = 0
            for mine, its in ((frame.rgb, other.rgb), (frame.thermal, other.thermal)):
                dot += int((mine.astype(int) * its).sum())
                norm += int((mine != 0).sum())
                norm_other += int((its != 0).sum())
            distances.append((1 - dot / max(1, norm * norm_other) ** 0.5) / 2)
        if min(distances) <= NEAR:
            found[index] = (int(np.argmin(distances)), min(distances))
    return found


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 0.4), count=st.integers(1, 8))
def test_the_search_equals_a_brute_force(seed: int, share: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    frames = drawn(rng, count)
    others = [*drawn(rng, 3), changed(rng, frames[0], share), Signature(*flat(), None)]
    expected = brute_force(frames, others)
    matches = {match.frame: match for match in near_duplicates(frames, others)}
    assert matches.keys() == expected.keys()
    for frame, (other, distance) in expected.items():
        assert matches[frame].other == other
        assert matches[frame].distance == pytest.approx(distance, abs=1e-5)  # float32


def flat() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(BITS, np.int8), np.zeros(BITS, np.int8)


def test_planted_frames_are_found_among_thousands() -> None:
    rng = np.random.default_rng(0)
    frames, others = drawn(rng, 1500), drawn(rng, 3000)
    planted = {7: 2999, 700: 0, 1499: 1500}
    for frame, other in planted.items():
        frames[frame] = changed(rng, others[other], 0.1)
    found = near_duplicates(frames, others)
    assert {match.frame: match.other for match in found} == planted
    assert not any(match.same for match in found)
    assert near_duplicates([], others) == near_duplicates(frames, []) == []


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 4)).astype(np.uint8)
    pixels = coarse.repeat(20, axis=0).repeat(20, axis=1)
    return pixels[..., :3], pixels[..., 3]


def test_size_brightness_and_noise_do_not_matter() -> None:
    rgb, thermal = scene(1)
    noise = np.random.default_rng(2).normal(0, 4, rgb.shape)
    darker = np.clip(0.6 * rgb + noise, 0, 255).astype(np.uint8)
    small = (rgb[::2, ::2], thermal[::2, ::2])
    frames = [signature(darker, thermal, None), signature(*small, None)]
    for match in near_duplicates(frames, [signature(*scene(1), None)]):
        assert match.same
        assert match.distance < 0.01
    assert len(near_duplicates(frames, [signature(*scene(1), None)])) == 2
    assert near_duplicates(frames, [signature(*scene(3), None)]) == []


def test_black_images_are_told_apart_by_thermal() -> None:
    first, second = np.random.default_rng(0).integers(0, 3, (2, 240, 320, 3)).astype(np.uint8)
    frames = [signature(first, scene(seed)[1], None) for seed in (1, 2)]
    again = signature(second, scene(1)[1], None)  # the noise is another one
    assert [match.frame for match in near_duplicates(frames, [again])] == [0]
    blank = signature(np.zeros_like(first), np.zeros((240, 320), np.uint8), None)
    assert near_duplicates([blank], [blank]) == []


def test_label_agreement_is_over_the_foreground() -> None:
    rgb, thermal = scene(1)
    first, second = (np.zeros((240, 320), np.uint8) for _ in range(2))
    first[:120, :160] = 1
    second[:120, :80] = 1
    second[:60, :80] = 2

    def agreement(one: np.ndarray | None, two: np.ndarray | None) -> float | None:
        (match,) = near_duplicates([signature(rgb, thermal, one)], [signature(rgb, thermal, two)])
        return match.label_agreement

    assert agreement(first, first) == 1
    assert agreement(first, second) == pytest.approx(0.25)
    assert agreement(first, None) is None
    assert agreement(0 * first, 0 * second) is None
