"""Synthetic scenes as a data set: `synthetic:SEED?frames=200&width=320&height=240`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from sartm_core.classes import MFNET, ClassTable
from sartm_core.data.sample import Sample
from sartm_core.errors import SartmError

SPLITS = {None: 0, "train": 0, "val": 1, "test": 2}
"""Each split draws its scenes from a seed range of its own, so they never share a scene."""

_SPLIT_STRIDE = 1_000_000_000
_SEED_STRIDE = 100_000


@dataclass(frozen=True, kw_only=True)
class SyntheticDataset:
    """Scenes made when they are read; the same spec gives the same frames on every machine."""

    seed: int
    frames: int
    width: int
    height: int
    split: str | None

    @classmethod
    def open(cls, where: str, split: str | None = None) -> SyntheticDataset:
        """Parse `SEED?frames=N&width=W&height=H`; what is left out is 200, 320 and 240."""
        if split not in SPLITS:
            raise SartmError(
                "synthetic data have no such split",
                got=split,
                expected="one of " + ", ".join(name for name in SPLITS if name),
                remedy="choose a listed split",
            )
        seed, _, query = where.partition("?")
        sizes = {"frames": "200", "width": "320", "height": "240"}
        options = dict(parse_qsl(query, keep_blank_values=True))
        values = [seed, *{**sizes, **options}.values()]
        if options.keys() - sizes.keys() or not all(value.isdecimal() for value in values):
            raise _bad_spec(where)
        seed_number, frames, width, height = map(int, values)
        if not 1 <= frames <= _SEED_STRIDE or min(width, height) < 32 or seed_number >= 10_000:
            raise _bad_spec(where)
        return cls(seed=seed_number, frames=frames, width=width, height=height, split=split)

    @property
    def name(self) -> str:
        return f"synthetic-{self.seed}"

    @property
    def classes(self) -> ClassTable:
        return MFNET

    @property
    def stems(self) -> tuple[str, ...]:
        return tuple(f"{index:05d}" for index in range(self.frames))

    def read(self, stem: str) -> Sample:
        """Make one scene."""
        from sartm_core.data.synthetic import generate_scene

        if not stem.isdecimal() or int(stem) >= self.frames:
            raise SartmError(
                f"{self.name} has no frame '{stem}'",
                got=stem,
                expected=f"00000 to {self.frames - 1:05d}",
                remedy="pick a name from the stems of the data set",
            )
        first = SPLITS[self.split] * _SPLIT_STRIDE + self.seed * _SEED_STRIDE
        scene = generate_scene(first + int(stem), width=self.width, height=self.height)
        return Sample(
            stem=stem,
            rgb=scene.rgb,
            thermal=scene.thermal,
            label=scene.label,
            night=scene.night,
            thermal_valid=scene.thermal_valid,
        )


def _bad_spec(where: str) -> SartmError:
    return SartmError(
        f"cannot read the synthetic data set '{where}'",
        got=where,
        expected="SEED?frames=N&width=W&height=H, seed below 10000, sides of 32 or more",
        remedy="write for example synthetic:7?frames=200",
    )
