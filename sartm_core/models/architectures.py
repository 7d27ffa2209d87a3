"""Networks from elsewhere by name, which the same engine trains and evaluates: a dict and a
decorator. Benchmarks register the peers of the student here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sartm_core.models.network import RgbThermalNetwork


class NetworkBuilder(Protocol):
    def __call__(self, encoder: str, classes: int, *, pretrained: bool) -> RgbThermalNetwork: ...


@dataclass(frozen=True)
class Architecture:
    """A network that ``model.architecture`` can name beside the student and the teacher.

    Attributes:
        build: makes it for one of the encoders.
        encoders: what ``model.encoder`` may be.
    """

    build: NetworkBuilder
    encoders: tuple[str, ...]


ARCHITECTURES: dict[str, Architecture] = {}


def register_architecture(
    name: str, encoders: tuple[str, ...]
) -> Callable[[NetworkBuilder], NetworkBuilder]:
    """Make a network known as ``name``."""

    def register(build: NetworkBuilder) -> NetworkBuilder:
        ARCHITECTURES[name] = Architecture(build, encoders)
        return build

    return register
