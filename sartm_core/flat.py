"""Images without content: a closed shutter, a lens cap, a sensor that is dead or saturated."""

from __future__ import annotations

from sartm_core.frames import Image, ThermalImage

FLAT_SHARE = 0.99
_STEP = 8


def is_flat(image: Image | ThermalImage) -> bool:
    """Whether 99 % of an image have one value; looks at every 8th row and column.

    Args:
        image: HxW or HxWx3.
    """
    sample = image[::_STEP, ::_STEP]
    return bool((sample == sample[0, 0]).mean() >= FLAT_SHARE)
