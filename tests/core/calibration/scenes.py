"""Frames with the same outlines in both cameras, and a thermal camera that is off."""

from __future__ import annotations

import cv2
import numpy as np

from sartm_core.registration import Matrix

SIZE = (320, 240)


def frames(
    count: int, truth: Matrix, *, shuffled: bool = False, size: tuple[int, int] = SIZE
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(RGB, thermal) of random shapes of other brightness in each; each camera also sees its own.

    Args:
        truth: [3,3] RGB pixels to thermal pixels.
        shuffled: thermal of other scenes.
    """
    scenes = [_scene(np.random.default_rng(seed), size) for seed in range(count)]
    if shuffled:
        scenes = [(scenes[i][0], scenes[(i + count // 2) % count][1]) for i in range(count)]
    return [
        (np.repeat(rgb[..., None], 3, axis=2),
         np.asarray(cv2.warpPerspective(thermal, truth, size, borderMode=cv2.BORDER_REPLICATE)))
        for rgb, thermal in scenes
    ]  # fmt: skip


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    pictures = [np.full(size[::-1], 120, np.uint8) for _ in range(2)]
    for number in range(36):
        centre = tuple(int(v) for v in rng.uniform((0, 0), size))
        axes = tuple(int(v) for v in rng.uniform(8, 40, 2))
        angle = float(rng.uniform(0, 180))
        for index, picture in enumerate(pictures):
            level = int(rng.uniform(20, 235))
            if number % 3 != 2 or index == number // 3 % 2:
                cv2.ellipse(picture, centre, axes, angle, 0, 360, level, -1, cv2.LINE_AA)
    noisy = [p + rng.normal(0, 4, p.shape) for p in pictures]
    return tuple(np.clip(p, 0, 255).astype(np.uint8) for p in noisy)
