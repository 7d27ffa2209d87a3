"""Kerbs, the class that MFNet calls curve."""

from __future__ import annotations

import numpy as np

from sartm_core.data.synthetic.canvas import FAR_M, NEAR_M, Canvas, paint, shaded
from sartm_core.data.synthetic.climate import Climate, Prop, pick
from sartm_core.data.synthetic.solids import Placement
from sartm_core.data.synthetic.world import Item

KERB = 4

_SECTION_M = 12.0
_RING_M = 5 * _SECTION_M


def make_kerb(rng: np.random.Generator, climate: Climate, side: float) -> Prop:
    """12 m of kerb stone along the road."""
    color = pick(rng, ((170, 168, 162), (195, 192, 185), (140, 138, 134)))
    celsius = climate.ground + (4.0 if climate.night else -2.0)
    high, broad = float(rng.uniform(0.12, 0.2)), side * float(rng.uniform(0.18, 0.3))
    face = paint(shaded(color, 0.75), celsius + 1.0, KERB)
    top = paint(color, celsius, KERB)
    along = np.linspace(-_SECTION_M / 2, _SECTION_M / 2, 9)

    def draw(canvas: Canvas, place: Placement) -> None:
        z = np.clip(place.z + along, NEAR_M + 0.05, FAR_M)
        if z[0] == z[-1]:
            return
        base = np.stack((np.full_like(z, place.d), np.zeros_like(z), z), axis=1)
        edge = base + (0.0, high, 0.0)
        back = edge + (broad, 0.0, 0.0)
        canvas.fill([(np.vstack((base, edge[::-1])), face), (np.vstack((edge, back[::-1])), top)])

    return Prop(draw, 0.3, _SECTION_M / 2, 0.0)


def kerb_items(rng: np.random.Generator, climate: Climate, half_width: float) -> list[Item]:
    """Kerbs along both sides of a road; now and then a side has none, or gaps."""
    items: list[Item] = []
    for side in (-1.0, 1.0):
        if rng.random() < 0.85:
            kerb = make_kerb(rng, climate, side)
            step = _SECTION_M if rng.random() < 0.7 else 2 * _SECTION_M
            for s in np.arange(_SECTION_M / 2, _RING_M, step).tolist():
                items.append(Item(kerb, side * half_width, s, ring=_RING_M, behind=6.5))
    return items
