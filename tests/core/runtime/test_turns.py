"""How sure a ratio of times is that were taken in turns."""

from __future__ import annotations

import numpy as np
import pytest

from sartm_core.runtime.turns import COUNTED, ratio_interval


def test_the_interval_holds_together_what_a_busy_moment_slowed() -> None:
    """Both models at a quarter more in some rounds: the ratio is known as before."""
    slow = np.repeat(np.where(np.arange(40) % 3, 1.0, 1.25), COUNTED)
    ours, theirs = 10 * slow, 40 * slow
    assert ratio_interval(ours, theirs) == pytest.approx((0.25, 0.25))
    noise = np.random.default_rng(0).normal(1, 0.05, (2, len(slow)))
    found = ratio_interval(*(noise * [ours, theirs]))
    assert found is not None
    low, high = found
    assert low < 0.25 < high
    assert high - low < 0.02
    assert ratio_interval(ours, theirs) == ratio_interval(ours, theirs)


def test_few_rounds_have_no_interval() -> None:
    assert ratio_interval([1.0] * 4 * COUNTED, [1.0] * 4 * COUNTED) is None
