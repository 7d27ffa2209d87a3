"""Two cameras on a shaking robot, over a textured world: motion that is known at every moment."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sartm_core.time_offset import TimeOffsetEstimator

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
SIZE = (96, 72)
_PATH_HZ = 200.0
_World = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """What bags are made of; see ``sartm_core.data.synthetic.Scene``."""

    rgb: npt.NDArray[np.uint8]
    thermal: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    night: bool = False


class ShakyCamera:
    """Renders either camera at any time.

    Args:
        seed: of the world, the motion and the noise.
        shake: standard deviation of the camera's path, pixels.
        period_s: the motion repeats after this, None = never.
        brightness: of the RGB picture, 0 = night.
        world: RGB picture as grey levels and thermal picture, HxW; None = random textures.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        shake: float = 6.0,
        period_s: float | None = None,
        brightness: float = 1.0,
        world: tuple[_World, _World] | None = None,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._rgb, self._thermal = world or self._random_world()
        self._path = shake * np.stack([self._wander(), self._wander()], axis=1)
        self._period_s = period_s
        self._brightness = brightness

    def rgb(self, time_s: float) -> npt.NDArray[np.uint8]:
        grey = self._noisy(self._brightness * self._view(self._rgb, time_s, 1.0))
        return np.repeat(grey[..., None], 3, axis=2)

    def thermal(self, time_s: float) -> npt.NDArray[np.uint8]:
        return self._noisy(self._view(self._thermal, time_s, 0.8))

    def render(self, time_s: float) -> Picture:
        thermal = self.thermal(time_s)
        return Picture(self.rgb(time_s), thermal, np.zeros_like(thermal))

    def _random_world(self) -> tuple[_World, _World]:
        """Common edges, and texture that only one of the two sees; thermal partly inverted."""
        common, only_rgb, only_thermal = (
            cv2.GaussianBlur(self._rng.normal(size=(256, 256)).astype(np.float32), (0, 0), 4)
            for _ in range(3)
        )
        sign = np.where(self._rng.random((8, 8)) < 0.5, -1, 1).astype(np.float32)
        sign = cv2.resize(sign, (256, 256), interpolation=cv2.INTER_NEAREST)
        rgb, thermal = common + 0.5 * only_rgb, sign * common + 0.5 * only_thermal
        return 128 + 40 * rgb / rgb.std(), 100 + 25 * thermal / thermal.std()

    def _wander(self) -> npt.NDArray[np.float64]:
        """A random path of slow and quick motion, 60 s."""
        count = int(60 * _PATH_HZ)
        frequency = np.fft.rfftfreq(count, 1 / _PATH_HZ)
        spectrum = np.fft.rfft(self._rng.normal(size=count)) / (1 + (frequency / 0.8) ** 2)
        spectrum[0] = 0
        path = np.fft.irfft(spectrum, count)
        return np.asarray(path / path.std())

    def _view(self, world: _World, time_s: float, zoom: float) -> _World:
        if self._period_s is not None:
            time_s %= self._period_s
        index, part = divmod(time_s * _PATH_HZ, 1.0)
        before, after = self._path[int(index)], self._path[int(index) + 1]
        x, y = before + part * (after - before)
        corner = [(w - zoom * side) / 2 for w, side in zip(world.shape[::-1], SIZE, strict=True)]
        matrix = np.array(((zoom, 0, corner[0] + x), (0, zoom, corner[1] + y)), np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(world, matrix, SIZE, flags=flags, borderMode=cv2.BORDER_REFLECT),
            np.float32,
        )

    def _noisy(self, picture: _World) -> npt.NDArray[np.uint8]:
        noise = 2 * self._rng.standard_normal(picture.shape, np.float32)
        return np.asarray(np.clip(picture + noise + 3, 0, 255), np.uint8)


def times(
    rate: float, seconds: float, seed: int, *, jitter_s: float = 0.003, drop: float = 0.0
) -> npt.NDArray[np.float64]:
    """When a camera takes its images, seconds from the start."""
    rng = np.random.default_rng(seed)
    count = int(rate * seconds)
    taken = 1.0 + np.arange(count) / rate + rng.uniform(-jitter_s, jitter_s, count)
    return taken[rng.random(count) >= drop]


def feed(
    estimator: TimeOffsetEstimator,
    rgb: ShakyCamera,
    thermal: ShakyCamera,
    *,
    offset_s: float = 0.0,
    rates: tuple[float, float] = (30.0, 9.0),
    seconds: float = 12.0,
    drop: float = 0.0,
) -> None:
    """Show both cameras to an estimator; thermal stamps are ``offset_s`` behind.

    Each camera's images come in order; which camera's come first makes no difference.
    """
    for time_s in times(rates[0], seconds, 1, drop=drop):
        estimator.add_rgb(rgb.rgb(time_s), START_NS + round(time_s * SECOND))
    for time_s in times(rates[1], seconds, 2, drop=drop):
        stamp = START_NS + round((time_s - offset_s) * SECOND)
        estimator.add_thermal(thermal.thermal(time_s), stamp)
